/** What user code and the agent see of a run: `RunContext` over the run's core. */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Presence } from './presence.ts';
import { addAppend } from './append.ts';
import { stringifyValue } from './codec.ts';
import type { Payload } from './codec.ts';
import { currentFrame } from './context.ts';
import type { Append, Application, MessageBuffer, NewScope, Operation, RunContext } from './context.ts';
import { DurableError } from './errors.ts';
import type { JournalEvent } from './event.ts';
import { closingMeta, wasClosed } from './hook-closing.ts';
import type { ClosedHook } from './hook-closing.ts';
import type { Entry } from './journal.ts';
import type { Logger } from './logger.ts';
import { childStarted, readLineage } from './lineage.ts';
import { deliverNotice, showNotices } from './notices.ts';
import type { Notice, Via } from './notices.ts';
import { performOperation } from './operations.ts';
import type { OperationsOptions } from './operations.ts';
import type { Await, RunCore } from './run-core.ts';
import { RunScope } from './run-scope.ts';
import { askStore, askUntilAnswered } from './store-question.ts';
import { hasBegun } from './store.ts';
import { signHex } from './signature.ts';
import type { EndStatus, LedgerScope, LedgerTotals, NewHook, NewRun, Run, StreamPage } from './store.ts';

export interface LiveRunContextOptions extends OperationsOptions {
  secret: Uint8Array;
  application: Application | undefined;
  guards: Guard[];
  childRun: (parent: Run, target: unknown, options: { id: string; input: unknown }) => Promise<NewRun>;
}

/** Somebody who takes care of divergence under a prefix. */
export interface Guard {
  prefix: string;
  diverged: (error: DurableError) => void;
}

export class LiveRunContext implements RunContext {
  readonly #options: LiveRunContextOptions;
  readonly #core: RunCore;

  constructor(options: LiveRunContextOptions) {
    this.#options = options;
    this.#core = options.core;
  }

  get run(): Run {
    return this.#core.run;
  }

  get logger(): Logger {
    return this.#core.logger;
  }

  get publicUrl(): string | undefined {
    return this.#options.application?.publicUrl;
  }

  get agentDefaults(): object | undefined {
    return this.#options.application?.agentDefaults;
  }

  get signal(): AbortSignal {
    return this.#core.controller.signal;
  }

  get replaying(): boolean {
    return this.#core.queue.replaying;
  }

  get checkpoints(): readonly JournalEvent[] {
    return this.#core.journal.checkpoints;
  }

  get userMessages(): MessageBuffer {
    return this.#core.buffer('');
  }

  now(): number {
    return this.#core.now();
  }

  storeNow(): number {
    return this.#core.storeNow();
  }

  sign(text: string): string {
    return signHex(this.#options.secret, text);
  }

  scope(): RunScope {
    return this.#core.scope();
  }

  nextKey(name: string): string {
    return this.#core.scope().nextKey(name);
  }

  within<T>(options: NewScope, body: () => T): T {
    const parent = this.#core.scope();
    const presence = options.kind === 'agent' ? parent.presence.scope(options.path) : parent.presence;
    if (options.kind === 'agent') this.#core.addAgent(presence);
    const scope = new RunScope({ ...options, parent, presence });
    const result = currentFrame.run({ context: this, scope }, body);
    if (presence !== parent.presence) leaveAfter(presence, result);
    return result;
  }

  perform<T>(operation: Operation<T>): Promise<T> {
    return performOperation(this.#options, operation);
  }

  recorded(key: string): JournalEvent | undefined {
    return this.#core.journal.completion(key)?.event;
  }

  facts(key: string): JournalEvent[] {
    return this.#core.journal.facts(key);
  }

  journal(prefix: string): JournalEvent[] {
    return this.#core.journal.under(prefix);
  }

  append(batch: Append): Promise<void> {
    return this.#core.wait<void>({
      scope: this.#core.scope(),
      state: 'busy',
      arm: (settle) => {
        addAppend(this.#core, batch);
        this.#core.pending.settled.push(() => settle.resolve());
        this.#core.request();
        return () => {};
      },
    });
  }

  async moveCheckpoint(make: () => Append): Promise<void> {
    for (let wait = this.#core.messagesReleased(); wait !== undefined; wait = this.#core.messagesReleased()) await wait;
    await this.append({ ...make(), checkpoint: true });
  }

  async guard<T>(prefix: string, body: () => Promise<T>): Promise<T> {
    const { guards } = this.#options;
    let guard: Guard | undefined;
    const diverged = new Promise<never>((_, reject) => {
      guard = {
        prefix,
        diverged: (error) => {
          this.#core.abandon(prefix, error);
          reject(error);
        },
      };
      guards.push(guard);
    });
    const left = (): void => this.#leaveGuarded(prefix);
    const ended = body();
    try {
      // Told before the race is decided: what it reports comes first.
      return await Promise.race([diverged, ended.finally(left)]);
    } finally {
      guards.splice(guards.indexOf(guard as Guard), 1);
    }
  }

  /** The guarded code has ended: what it should have asked for and did not is a divergence, unless the run was stopped. */
  #leaveGuarded(prefix: string): void {
    const core = this.#core;
    const stray = core.queue.unasked(prefix, (entry) => core.isAsked(entry));
    if (stray === undefined || core.dropped) return;
    const { key, type } = stray.event;
    if (core.cancelled !== undefined) core.queue.discard(prefix);
    else this.#options.diverged({ key, recorded: type, asked: 'nothing', why: 'its code ended without it' });
  }

  sleep(key: string, until: number | Date, signal?: AbortSignal): Promise<void> {
    const core = this.#core;
    const scope = core.scope();
    if (core.isReleased(key)) return Promise.resolve();
    if (core.journal.completion(key) !== undefined)
      return core
        .wait({ scope, state: 'held', arm: abortable((settle) => core.ask(key, settle), signal) })
        .then(() => undefined);
    const started = core.journal.facts(key).find((event) => event.type === 'timer_started');
    const dueAt = started?.dueAt ?? (until instanceof Date ? until.getTime() : core.storeNow() + until);
    return core
      .wait<unknown>({
        scope,
        state: 'held',
        arm: abortable((settle, leaf) => {
          const unask = core.ask(key, settle);
          let disarm = (): void => {};
          let live = true;
          const start = (): void => {
            if (!live) return;
            if (started === undefined) core.record({ type: 'timer_started', key, dueAt });
            leaf.set('waiting');
            disarm = core.timers.at(dueAt, () => {
              leaf.set('busy');
              core.record({ type: 'timer_fired', key });
            });
          };
          if (core.mayStart) start();
          else core.hold(start, started === undefined);
          return () => {
            live = false;
            disarm();
            unask();
          };
        }, signal),
      })
      .then(() => undefined);
  }

  buffer(key: string): MessageBuffer {
    return this.#core.buffer(key);
  }

  createHook(
    hook: NewHook,
    { schema, onCreate }: { schema?: StandardSchemaV1 | undefined; onCreate?: () => void } = {},
  ): void {
    const core = this.#core;
    if (schema !== undefined) core.hookSchemas.set(hook.tokenHash, schema);
    if (core.journal.facts(hook.key).some((event) => event.type === 'hook_created')) return;
    if (core.journal.completion(hook.key) !== undefined) return;
    const create = (): void => {
      onCreate?.();
      core.pending.hooks.push(hook);
      core.record({ type: 'hook_created', key: hook.key, meta: { kind: hook.kind, tokenHash: hook.tokenHash } });
    };
    if (core.queue.replaying || !core.active) core.hold(create, true);
    else create();
  }

  reopenHook(hook: NewHook, times: number): void {
    const core = this.#core;
    core.refusals.set(hook.key, times);
    const opened = core.journal.facts(hook.key).filter((event) => event.type === 'hook_created').length;
    if (opened > times) return;
    core.pending.hooks.push(hook);
    core.record({
      type: 'hook_created',
      key: hook.key,
      meta: { kind: hook.kind, tokenHash: hook.tokenHash, again: times },
    });
  }

  async closeHook(key: string, hook: ClosedHook, { unawaited }: { unawaited?: boolean } = {}): Promise<boolean> {
    const core = this.#core;
    if (core.isReleased(key)) return wasClosed(core.journal.completion(key)?.event);
    const { event } = await core.wait<Entry>({
      scope: core.scope(),
      unawaited,
      state: 'held',
      arm: (settle, leaf) => {
        const unask = core.ask(key, settle);
        let live = true;
        const start = (): void => {
          if (!live) return;
          leaf.set('busy');
          core.record({ type: 'hook_closed', key, meta: closingMeta(hook, true) });
        };
        if (core.journal.completion(key) === undefined) {
          if (core.mayStart) start();
          else core.hold(start, true);
        }
        return () => {
          live = false;
          unask();
        };
      },
    });
    return wasClosed(event);
  }

  async noteHook(tokenHash: string, note: Payload): Promise<void> {
    if (await this.#core.store.note(tokenHash, note)) return;
    throw new DurableError('hook_not_found', `Cannot note anything of a hook of run "${this.run.id}": it is gone.`);
  }

  childRun(target: unknown, options: { id: string; input: unknown }): Promise<NewRun> {
    return this.#options.childRun(this.run, target, options);
  }

  async child(key: string, run: NewRun): Promise<unknown> {
    const core = this.#core;
    core.assertNotCancelled(core.scope());
    // Ids that are derived from the parent's are nobody else's.
    const isDerived = run.id.startsWith(`${core.run.id}.`);
    const answered = { yet: false };
    const confirm = (): void => {
      if (!isDerived) void this.#confirmChild(run.id, { key, answered });
    };
    const { onChild, place } = core.scope();
    const start = (): void => {
      onChild?.(run);
      core.pending.starts.push({ ...run, parent: { run: core.run.id, key } });
      core.record(childStarted(key, { ...run, senders: place?.senders?.() ?? [] }));
      core.pending.settled.push(confirm);
    };
    const isStarted = core.journal.facts(key).some((event) => event.type === 'child_started');
    if (core.mayStart && !isStarted) start();
    else if (!isStarted || !isDerived) core.hold(isStarted ? confirm : start, !isStarted);
    core.children.set(key, run.id);
    const hideNotices = showNotices(core, key);
    try {
      const message = await core.buffer(key).take();
      core.children.delete(key);
      if (message.status === 'completed') return message.value;
      throw message.value ?? childEnded(run.id, message.status);
    } finally {
      hideNotices();
      answered.yet = true;
    }
  }

  /**
   * A parent would wait for ever for the end of a run that is not its child. Looked at after the start was committed, when it is
   * certain whose the id is; the answer is journaled, as replay must not ask again. Busy meanwhile: the run does not go to wait.
   */
  async #confirmChild(id: string, { key, answered }: { key: string; answered: { yet: boolean } }): Promise<void> {
    const core = this.#core;
    if (answered.yet) return;
    const leaf = core.root.presence.leaf('busy');
    let other: Run | null | undefined;
    while (other === undefined && !core.dropped && !answered.yet) {
      other = await core.store.get(id).catch(() => undefined);
      if (other === undefined) await new Promise<void>((resolve) => core.clock.schedule(resolve, CONFIRM_RETRY_MS));
    }
    leaf.leave();
    if (other === undefined || other === null || core.dropped || answered.yet) return;
    if (other.parent?.run === core.run.id && other.parent.key === key) return;
    const error = new DurableError(
      'run_conflict',
      `Cannot start the child "${id}" of run "${core.run.id}": there is a run with this id already (workflow "${other.workflow}", ${other.status}). Give the child another id, or leave it out.`,
      { details: { run: id, workflow: other.workflow, status: other.status } },
    );
    core.children.delete(key);
    core.record({ type: 'hook_conflict', key, meta: { child: id }, text: stringifyValue(error, 'an error') });
  }

  emit(stream: string, chunks: Payload[]): Promise<void> | undefined {
    if (this.#core.dropped) {
      this.#core.strayed();
      return new Promise(() => {});
    }
    return this.#core.misled ? new Promise(() => {}) : this.#core.outbox.emit(stream, chunks);
  }

  emittedTo(stream: string): number {
    return this.#core.outbox.emittedTo(stream);
  }

  checkRoom(stream: string, chunk: Payload, options?: { held?: number }): void {
    this.#core.outbox.checkRoom(stream, chunk, options);
  }

  closeStream(stream: string): void {
    this.#core.outbox.close(stream);
  }

  flush(): Promise<void> {
    return this.#core.outbox.flush();
  }

  async readStream(stream: string, from: number): Promise<StreamPage> {
    const page = await askStore(this.#core, (store) => store.read(this.run.id, stream, { from, maxBytes: 1_048_576 }));
    if (page === null)
      throw new DurableError('run_not_found', `Cannot read the stream "${stream}": the run "${this.run.id}" is gone.`);
    if (page.expired !== undefined)
      throw new DurableError(
        'offset_expired',
        `Cannot go on with the stream "${stream}" of run "${this.run.id}" from ${from} on: retention has removed its chunks before ` +
          `${page.expired.before}. Keep more chunks than one answer has.`,
        { details: { run: this.run.id, stream, from, ...page.expired } },
      );
    return page;
  }

  async isFollowed(): Promise<boolean> {
    const { thread, tenant } = this.run;
    if (thread === null) return false;
    const { items } = await this.#core.store.list({ thread, tenant, status: ['queued'], limit: 1 });
    return items.length > 0;
  }

  lineage(): ReturnType<typeof readLineage> {
    return readLineage(this.#core, this.run);
  }

  notify(via: Via, notice: Notice): Promise<void> {
    return deliverNotice(this.#core.store, via, notice);
  }

  aside<T>(work: () => Promise<T>): Promise<T> {
    return askStore(this.#core, work);
  }

  ledgerTotals(scopes: readonly LedgerScope[]): Promise<LedgerTotals[]> {
    return askUntilAnswered(this.#core, (store) => store.ledgerTotals(scopes));
  }

  async threadRuns(): Promise<Run[]> {
    const { thread, tenant, id } = this.run;
    if (thread === null) return [];
    const runs = await this.#core.store.thread(thread, tenant);
    const own = runs.findIndex((run) => run.id === id);
    return (own < 0 ? runs : runs.slice(0, own)).filter(hasBegun);
  }
}

const CONFIRM_RETRY_MS = 500;

/** The error for a child that left none: somebody ended it from outside. */
function childEnded(run: string, status: EndStatus | null): DurableError {
  const details = { run, status };
  if (status === 'failed') return new DurableError('run_failed', `The child run "${run}" was terminated.`, { details });
  return new DurableError('cancelled', `The child run "${run}" was cancelled.`, { details });
}

function leaveAfter(presence: Presence, result: unknown): void {
  if (!(result instanceof Promise)) {
    presence.leave();
    return;
  }
  const leave = (): void => presence.leave();
  result.then(leave, leave);
}

type Arm = (settle: Await<unknown>, presence: Presence) => () => void;

/** An await that its code takes back. The code does so in answer to what was released, so it does the same on replay. */
function abortable(arm: Arm, signal: AbortSignal | undefined): Arm {
  if (signal === undefined) return arm;
  return (settle, presence) => {
    const takeBack = (): void => {
      disarm();
      settle.reject(signal.reason);
    };
    signal.addEventListener('abort', takeBack, { once: true });
    const left = (): void => signal.removeEventListener('abort', takeBack);
    const disarm = arm(
      {
        resolve: (value) => {
          left();
          settle.resolve(value);
        },
        reject: (error) => {
          left();
          settle.reject(error);
        },
      },
      presence,
    );
    return () => {
      left();
      disarm();
    };
  };
}
