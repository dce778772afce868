/**
 * Keyed operations: steps, turns, tools, agent calls.
 *
 *  P1 The completion is recorded once; afterwards the body never runs again.
 *  P2 Each attempt has the same idempotency key, `<run id>/<key>`, and a higher attempt number, across crashes too.
 *  P3 A failure of a turn is never recorded: the error goes to the caller, who may ask again.
 *  P4 What a body throws because its run leaves the process is no failure: the body runs again where the run goes on.
 */

import type { Presence } from './presence.ts';
import { backoffMs, STEP_BACKOFF } from './backoff.ts';
import { stringifyThrown, stringifyValue } from './codec.ts';
import { currentFrame } from './context.ts';
import type { Operation } from './context.ts';
import type { Difference } from './divergence.ts';
import { momentOf } from './duration.ts';
import { DurableError, FatalError, RetryableError } from './errors.ts';
import type { ErrorCode } from './errors.ts';
import type { EventType } from './event.ts';
import type { Entry } from './journal.ts';
import { addAppend } from './append.ts';
import type { Await } from './asks.ts';
import type { Body, RunCore } from './run-core.ts';
import { RunScope } from './run-scope.ts';
import { SUSPECT_ATTEMPTS } from './store.ts';

/** Delays up to this are waited for in place; longer ones are timers of the run. */
const INLINE_DELAY_MS = 1_000;

interface KindEvents {
  completed: EventType;
  failed: EventType;
  retrying: EventType;
}

const EVENTS: Record<Operation<unknown>['kind'], KindEvents> = {
  step: { completed: 'step_completed', failed: 'step_failed', retrying: 'step_retrying' },
  turn: { completed: 'turn_completed', failed: 'turn_failed', retrying: 'turn_failed' },
  tool: { completed: 'tool_completed', failed: 'tool_failed', retrying: 'tool_retrying' },
  agent: { completed: 'agent_completed', failed: 'agent_failed', retrying: 'step_retrying' },
};

export interface OperationsOptions {
  core: RunCore;
  /** Code and journal differ. */
  diverged: (difference: Difference) => void;
  /** Commits the keys in flight before a body of a run that keeps crashing starts. */
  suspect: (key: string) => Promise<void>;
}

export function performOperation<T>(options: OperationsOptions, operation: Operation<T>): Promise<T> {
  const { core } = options;
  const scope = core.scope();
  if (core.cancelled !== undefined && !scope.shielded) return Promise.reject(core.cancelled);
  const entry = core.journal.completion(operation.key);
  if (entry !== undefined) return replayed(options, operation, entry) as Promise<T>;
  if (core.asks.isOpen(operation.key)) return Promise.reject(duplicateKey(core, operation.key));
  return core
    .wait<Entry>({
      scope,
      state: 'held',
      unawaited: operation.unawaited,
      arm: (settle, leaf) => new OpenOperation(options, { operation, scope, leaf, settle }).begin(),
    })
    .then((completed) => outcomeOf(core, completed)) as Promise<T>;
}

function replayed(
  options: OperationsOptions,
  operation: Pick<Operation<unknown>, 'key' | 'kind' | 'unawaited'>,
  entry: Entry,
): Promise<unknown> {
  const { core } = options;
  const events = EVENTS[operation.kind];
  const { type } = entry.event;
  if (type !== events.completed && type !== events.failed) {
    const why = 'the code asks for it as another kind';
    options.diverged({ key: operation.key, recorded: type, asked: operation.kind, why });
    return new Promise(() => {});
  }
  const { key, unawaited } = operation;
  if (core.isReleased(key)) return outcomeOf(core, entry);
  return core
    .wait<Entry>({ scope: core.scope(), state: 'held', unawaited, arm: (settle) => core.ask(key, settle) })
    .then((released) => outcomeOf(core, released));
}

/** A record that cannot be read parks the run; nothing goes on with it (P8 of the design: not of its own journal). */
async function outcomeOf(core: RunCore, { event }: Entry): Promise<unknown> {
  let value: unknown;
  try {
    const { large } = event;
    if (large?.isLoaded === false) await large.load();
    value = event.value;
    large?.unload();
  } catch (error) {
    core.broken(error);
    return new Promise(() => {});
  }
  if (event.type.endsWith('_failed')) throw value;
  return value;
}

interface OpenOptions<T> {
  operation: Operation<T>;
  scope: RunScope;
  leaf: Presence;
  settle: Await<Entry>;
}

class OpenOperation<T> {
  readonly #options: OperationsOptions;
  readonly #core: RunCore;
  readonly #operation: Operation<T>;
  readonly #scope: RunScope;
  readonly #settle: Await<Entry>;
  readonly #firstAttempt: number;
  #presence: Presence;
  #detached = false;
  /** That of the last attempt. */
  #attempted: RunScope | undefined;

  constructor(options: OperationsOptions, open: OpenOptions<T>) {
    this.#options = options;
    this.#core = options.core;
    this.#operation = open.operation;
    this.#scope = open.scope;
    this.#presence = open.leaf;
    this.#settle = open.settle;
    this.#firstAttempt = nextAttempt(options.core, open.operation);
  }

  /** Answers what to do when the await was rejected from outside. */
  begin(): () => void {
    const { key } = this.#operation;
    const unask = this.#core.ask(key, {
      resolve: (entry) => {
        this.#presence.leave();
        this.#settle.resolve(entry);
      },
      reject: (error) => this.#settle.reject(error),
    });
    if (this.#core.mayStart || this.#replaysBelow) this.#start();
    else this.#core.hold(() => this.#start(), true);
    return () => {
      this.#detached = true;
      this.#presence.leave();
      unask();
    };
  }

  /** A tool or agent call that replay has to enter: what is recorded below it is asked for by its body. */
  get #replaysBelow(): boolean {
    const { kind, key } = this.#operation;
    if (kind !== 'tool' && kind !== 'agent') return false;
    return this.#core.active && !this.#core.dropped && this.#core.queue.replaysBelow(`${key}/`);
  }

  #start(): void {
    if (this.#detached) return;
    const { kind, key } = this.#operation;
    if (kind === 'tool' || kind === 'agent') {
      const leaf = this.#presence;
      this.#presence = this.#scope.presence.scope(kind === 'agent' ? key : null);
      if (kind === 'agent') this.#core.addAgent(this.#presence);
      leaf.leave();
    } else this.#presence.set('busy');
    this.#attempts().catch((error: unknown) => this.#core.broken(error));
  }

  async #attempts(): Promise<void> {
    let attempt = this.#firstAttempt;
    let failures = this.#retryFacts().length;
    const delayedTo = this.#retryFacts().at(-1)?.dueAt;
    if (delayedTo !== undefined && delayedTo > this.#core.storeNow()) {
      await this.#pauseUntil(delayedTo);
      await this.#ready();
    }
    for (; !this.#core.dropped; attempt += 1) {
      if (this.#needsRecord) await this.#recordStart(attempt);
      const outcome = await this.#attempt(attempt);
      if (this.#core.dropped || 'left' in outcome) return;
      if ('value' in outcome) return this.#complete(outcome.value, attempt);
      if (this.#operation.kind === 'turn') return this.#reject(outcome.error);
      if (this.#detached) return;
      failures += 1;
      if (!isRetryable(outcome.error) || failures > (this.#operation.retries ?? 0))
        return this.#fail(outcome.error, attempt);
      const delay = this.#delayOf(outcome.error, failures);
      if ('invalid' in delay) return this.#fail(delay.invalid, attempt);
      await this.#delay(outcome.error, { attempt, ...delay });
      this.#core.messages.rewind(`${this.#operation.key}/`, { upTo: this.#core.releasedSeq });
    }
  }

  /** User code may ask for a moment that there is none of. */
  #delayOf(error: unknown, failures: number): { now: number; dueAt: number } | { invalid: unknown } {
    const now = this.#core.storeNow();
    const after = RetryableError.is(error) ? error.retryAfter : undefined;
    if (after === undefined) return { now, dueAt: now + backoffMs(STEP_BACKOFF, failures, this.#core.ids.random()) };
    try {
      return { now, dueAt: momentOf(after, { now, where: `retryAfter of "${this.#operation.key}"` }) };
    } catch (invalid) {
      return { invalid };
    }
  }

  get #needsRecord(): boolean {
    return this.#operation.recordStart === true || this.#core.run.attempts >= SUSPECT_ATTEMPTS;
  }

  async #recordStart(attempt: number): Promise<void> {
    const { key, recordStart, label } = this.#operation;
    if (recordStart === true) {
      await new Promise<void>((resolve) => {
        this.#core.record({ type: 'tool_started', key, attempt });
        this.#core.pending.settled.push(resolve);
      });
    }
    if (this.#core.run.attempts >= SUSPECT_ATTEMPTS)
      await this.#options.suspect(label === undefined ? key : `${key} (${label})`);
  }

  #attempt(attempt: number): Promise<BodyOutcome<T>> {
    const { key, toolCallId, startsTimeout, kind, body, label, onChild, place } = this.#operation;
    const controller = new AbortController();
    const open: Body = {
      key,
      label: label ?? key,
      presence: this.#presence,
      shielded: this.#scope.shielded,
      abort: (reason) => controller.abort(reason),
    };
    this.#core.bodies.add(open);
    const scope = new RunScope({
      path: key,
      kind: kind === 'turn' ? 'step' : kind,
      parent: this.#scope,
      presence: this.#presence,
      onChild,
      place,
      metadata: {
        key,
        idempotencyKey: `${this.#core.run.id}/${key}`,
        attempt,
        startedAt: this.#core.storeNow(),
        signal: controller.signal,
        ...(toolCallId === undefined ? {} : { toolCallId }),
      },
    });
    this.#attempted = scope;
    const { context } = this.#core;
    return new Promise((resolve) => {
      let cancelTimeout: (() => void) | undefined;
      const startTimeout = (): void => {
        cancelTimeout ??= this.#timeout({ controller, attempt, expired: (error) => done({ error }) });
      };
      if (startsTimeout !== true) startTimeout();
      const done = (outcome: { value: T } | { error: unknown }): void => {
        scope.end();
        cancelTimeout?.();
        resolve(outcome);
      };
      currentFrame
        .run({ context, scope }, () => callBody(() => body({ attempt, signal: controller.signal, startTimeout })))
        .then(
          (value) => {
            const drained = scope.drained();
            if (drained === undefined) done({ value });
            else void drained.then(() => done({ value }));
          },
          (error: unknown) => done({ error }),
        );
    }).then((outcome) => {
      // P4: it stays among the bodies, as one that did not end.
      if ('error' in (outcome as BodyOutcome<T>) && isLeaving(controller.signal)) return { left: true };
      this.#core.bodies.delete(open);
      return outcome as BodyOutcome<T>;
    });
  }

  #timeout(options: {
    controller: AbortController;
    attempt: number;
    expired: (error: DurableError) => void;
  }): (() => void) | undefined {
    const { controller, attempt, expired } = options;
    const { key, kind, timeoutMs } = this.#operation;
    if (timeoutMs === undefined) return undefined;
    return this.#core.clock.schedule(() => {
      const error = new DurableError(
        'step_timeout',
        `The ${kind} "${key}" took longer than its timeout of ${timeoutMs} ms (attempt ${attempt}). Raise its timeout, or let it do less at once.`,
        { retryable: true, details: { key, attempt, timeoutMs } },
      );
      controller.abort(error);
      expired(error);
    }, timeoutMs);
  }

  async #delay(error: unknown, options: { attempt: number; now: number; dueAt: number }): Promise<void> {
    const { attempt, now, dueAt } = options;
    const { key, kind } = this.#operation;
    this.#core.logger.warn(
      { step: key, attempt, code: 'step_failed', err: error, retryInMs: dueAt - now },
      `a ${kind} failed and is tried again`,
    );
    if (dueAt - now <= INLINE_DELAY_MS) {
      this.#core.retrying += 1;
      await new Promise<void>((resolve) => this.#core.clock.schedule(resolve, dueAt - now));
      await this.#ready();
      this.#core.retrying -= 1;
    } else {
      this.#core.record({ type: EVENTS[kind].retrying, key, attempt, dueAt, text: stringifyThrown(error) });
      await this.#pauseUntil(dueAt);
      await this.#ready();
    }
  }

  /** A wait of the run: it may suspend meanwhile. */
  #pauseUntil(dueAt: number): Promise<void> {
    const leaf =
      this.#operation.kind === 'tool' || this.#operation.kind === 'agent'
        ? this.#presence.leaf('waiting')
        : this.#presence;
    leaf.set('waiting');
    return new Promise((resolve) => {
      this.#core.timers.at(dueAt, () => {
        if (leaf === this.#presence) leaf.set('busy');
        else leaf.leave();
        resolve();
      });
    });
  }

  #ready(): Promise<void> {
    return this.#core.mayStart ? Promise.resolve() : new Promise((resolve) => this.#core.hold(resolve));
  }

  #complete(value: T, attempt: number): void {
    const { key, kind, meta, alongside } = this.#operation;
    try {
      const text = stringifyValue(value, `the result of the ${kind} "${key}"`);
      const facts = meta?.(value);
      this.#attempted?.completes();
      this.#core.record({
        type: EVENTS[kind].completed,
        key,
        attempt,
        text,
        ...(facts === undefined ? {} : { meta: facts }),
      });
    } catch (error) {
      if (kind === 'turn') this.#reject(error);
      else this.#fail(error, attempt);
      return;
    }
    if (alongside !== undefined) addAppend(this.#core, alongside(value));
  }

  #fail(error: unknown, attempt: number): void {
    const { key, kind } = this.#operation;
    this.#core.logger.warn({ step: key, attempt, code: 'step_failed', err: error }, `a ${kind} failed`);
    this.#core.record({ type: EVENTS[kind].failed, key, attempt, text: stringifyThrown(error) });
  }

  #reject(error: unknown): void {
    this.#core.asks.forget(this.#operation.key);
    this.#presence.leave();
    if (!this.#detached) this.#settle.reject(error);
  }

  #retryFacts(): Array<{ dueAt?: number; attempt?: number }> {
    const { key, kind } = this.#operation;
    return kind === 'turn' ? [] : this.#core.journal.facts(key).filter((event) => event.type === EVENTS[kind].retrying);
  }
}

/** `left`: aborted, because the run leaves this process. */
type BodyOutcome<T> = { value: T } | { error: unknown } | { left: true };

function isLeaving({ aborted, reason }: AbortSignal): boolean {
  return aborted && (DurableError.is(reason, 'runtime_closed') || DurableError.is(reason, 'lease_lost'));
}

/** Synchronous throws become rejections; the body itself is called at once. */
async function callBody<T>(body: () => Promise<T> | T): Promise<T> {
  return body();
}

/** One more than the last attempt that is on record, and than those that died with their process since. */
function nextAttempt<T>(core: RunCore, { key }: Operation<T>): number {
  const last = core.journal.lastFact(key);
  const attempt = last?.event.attempt ?? 0;
  if (last === undefined || attempt === 0) return 1 + core.lostAttempts();
  // A recorded start is that of the attempt that died.
  return last.event.type === 'tool_started' ? attempt + 1 : attempt + 1 + core.lostAttempts(last.seq);
}

/** What would be the same once more: misuse, and a doubt that was settled. */
const LASTING: readonly ErrorCode[] = ['inside_step', 'outside_run', 'tool_in_doubt'];

function isRetryable(error: unknown): boolean {
  return !FatalError.is(error) && !LASTING.some((code) => DurableError.is(error, code));
}

function duplicateKey(core: RunCore, key: string): DurableError {
  return new DurableError(
    'duplicate_key',
    `Cannot start "${key}" in run "${core.run.id}": an operation with this key is open already. Explicit keys must be unique: add ` +
      'what tells the two apart (an id, an index) to the key, or leave it out.',
    { details: { key } },
  );
}
