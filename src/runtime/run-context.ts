/** What user code and the agent see of a run: `RunContext` over the run's core. */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Presence } from './presence.ts';
import { addAppend } from './append.ts';
import type { Payload } from './codec.ts';
import { currentFrame } from './context.ts';
import type { Append, Application, MessageBuffer, NewScope, Operation, RunContext } from './context.ts';
import { DurableError } from './errors.ts';
import type { JournalEvent } from './event.ts';
import { closingMeta, wasClosed } from './hook-closing.ts';
import type { ClosedHook } from './hook-closing.ts';
import type { Entry } from './journal.ts';
import type { Logger } from './logger.ts';
import { readLineage } from './lineage.ts';
import { deliverNotice } from './notices.ts';
import type { Notice, Via } from './notices.ts';
import { performOperation } from './operations.ts';
import type { OperationsOptions } from './operations.ts';
import { runChild } from './child-run.ts';
import type { RunCore } from './run-core.ts';
import { sleepUntil } from './run-timer.ts';
import { RunScope } from './run-scope.ts';
import { askStore, askUntilAnswered } from './store-question.ts';
import { hasBegun } from './store.ts';
import { signHex } from './signature.ts';
import type { LedgerScope, LedgerTotals, NewHook, NewRun, Run, StreamPage } from './store.ts';

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
    return this.#core.messages.buffer('');
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
    const { messages } = this.#core;
    for (let wait = messages.allReleased(); wait !== undefined; wait = messages.allReleased()) await wait;
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
    return sleepUntil(this.#core, key, { until, signal });
  }

  buffer(key: string): MessageBuffer {
    return this.#core.messages.buffer(key);
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
    core.messages.refuse(hook.key, times);
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

  child(key: string, run: NewRun): Promise<unknown> {
    return runChild(this.#core, key, run);
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

  lineage(isSpokenTo: (run: Run) => boolean): ReturnType<typeof readLineage> {
    return readLineage(this.#core, { run: this.run, isSpokenTo });
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

function leaveAfter(presence: Presence, result: unknown): void {
  if (!(result instanceof Promise)) {
    presence.leave();
    return;
  }
  const leave = (): void => presence.leave();
  result.then(leave, leave);
}
