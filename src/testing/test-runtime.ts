/**
 * A runtime for tests: runs in memory, time that stands until it is advanced, logs that are collected, and processes that die.
 *
 *  T1 `restart` and the crashes end the life of the runtime inside as SIGKILL ends a process: what was not committed is gone. The
 *     test runtime and its run handles stay usable and go on with the next life.
 *  T2 Waiting for a run (`result`, `until`, `crashed`) ends after `patienceMs` of real time with an error that says what it waits for.
 */

import { AssertionError } from 'node:assert';
import type { Approval } from '../app/approval-record.ts';
import { createRuntime } from '../app/create-runtime.ts';
import type { Runtime } from '../app/create-runtime.ts';
import type { ResumeHookOptions } from '../app/resume-hook.ts';
import type { RuntimeOptions } from '../app/runtime-options.ts';
import { createRunHandle } from '../app/run-handle.ts';
import type { RunHandle, RunHandleParts } from '../app/run-handle.ts';
import { toRunInfo } from '../app/run-info.ts';
import type { RunInfo } from '../app/run-info.ts';
import type { Start, StartInput, UntypedStart } from '../app/start-input.ts';
import { systemClock } from '../runtime/clock.ts';
import { DurableError } from '../runtime/errors.ts';
import { seededRandom, systemIds } from '../runtime/ids.ts';
import type { Registrable } from '../runtime/registrable.ts';
import type { Hint, Page, Run, RunQuery, RunStatus, Store } from '../runtime/store.ts';
import { MAX_VALUE_BYTES } from '../runtime/codec.ts';
import { withLargeValues } from '../runtime/value-store.ts';
import { memoryStore } from '../stores/memory/memory-store.ts';
import { createStreamReader } from '../streams/reader.ts';
import type { StreamReader } from '../streams/reader.ts';
import { expireLeases } from './leases.ts';
import { collectLogs } from './logs.ts';
import type { LogLine } from './logs.ts';
import { manualClock } from './manual-clock.ts';
import type { ManualClock } from './manual-clock.ts';
import { explainRun, withPatience } from './patience.ts';
import type { AwaitedRun } from './patience.ts';
import { createProcess } from './process.ts';
import type { CrashPoint, Process } from './process.ts';

export interface TestRuntimeOptions extends Omit<RuntimeOptions, 'store' | 'clock' | 'logger'> {
  /** Default: a new memory store on the runtime's clock. Give one of your own the same clock. */
  store?: Store;
  /** Default: a new one. */
  clock?: ManualClock;
  /** How long to wait for a run, in real milliseconds, before the wait fails. Default 4,000. */
  patienceMs?: number;
}

/** What a deploy changes. */
export type Redeploy = Pick<TestRuntimeOptions, 'agents' | 'workflows' | 'version' | 'worker'>;

export interface TestRuntime extends Runtime {
  readonly clock: ManualClock;
  /** The store itself; it outlives the lives of the runtime. */
  readonly store: Store;
  /** What all lives have logged, oldest first. */
  readonly logs: readonly LogLine[];
  /** Commits of the present life that recorded something: where `crashAfterCommit` can strike. */
  readonly commits: number;
  /** All runs, oldest first. */
  runs(): Promise<RunInfo[]>;
  /** Resolves when the run has the status, as it is then. Rejects if it ends in another one. */
  until(run: RunHandle | string, status: RunStatus): Promise<RunInfo>;
  /** Resolves when the run waits for a person, with its oldest open approval. Rejects if it ends before. */
  pendingApproval(run: RunHandle | string): Promise<Approval>;
  /**
   * Kills the present life, if it lives, and begins the next one on the same store, with other agents or workflows if they are
   * given. What the dead one held is due at once: no time passes.
   */
  restart(changes?: Redeploy): Promise<void>;
  /** The life ends once its `n`-th commit from now on is applied; nobody gets the answer. Go on with `restart()`. */
  crashAfterCommit(n: number): void;
  /** The life ends when its `n`-th commit from now on is asked for; it is not applied. Go on with `restart()`. */
  crashBeforeCommit(n: number): void;
  /** Resolves when the crash that was asked for has come. */
  crashed(): Promise<void>;
  /** Ends at once, whatever executes. */
  close(): Promise<void>;
}

/** Long enough that a test may advance days at a time: each lease has three ticks, each tick costs real time. */
const WORKER = { leaseMs: 3_600_000, pollMs: 3_600_000 };
/** Behind the store's hints, in real time. */
const POLL_MS = 20;
const ENDED: ReadonlySet<RunStatus> = new Set<RunStatus>(['completed', 'failed', 'cancelled']);

/** Creates a runtime for a test. Throws as `createRuntime` does. Close it when the test ends. */
export function createTestRuntime(options: TestRuntimeOptions = {}): TestRuntime {
  return new LivesOfARuntime(options);
}

class LivesOfARuntime implements TestRuntime {
  readonly clock: ManualClock;
  readonly store: Store;
  readonly logs: LogLine[] = [];
  readonly #handles: RunHandleParts;
  readonly #patienceMs: number;
  /** Whoever waits for a run's status. */
  readonly #looking = new Set<() => void>();
  #options: TestRuntimeOptions;
  #process: Process;
  #runtime: Runtime;
  #armed = false;
  #closed = false;
  readonly start: Start = ((target, input) => this.#start(target, input)) as UntypedStart as Start;

  constructor(options: TestRuntimeOptions) {
    this.clock = options.clock ?? manualClock();
    this.store = options.store ?? memoryStore({ clock: this.clock });
    const store = withLargeValues(this.store, { maxBytes: MAX_VALUE_BYTES, clock: this.clock });
    this.#handles = {
      store,
      clock: this.clock,
      reader: createStreamReader({ store, clock: this.clock }),
    };
    this.#patienceMs = options.patienceMs ?? 4_000;
    this.#options = options;
    this.#process = this.#newProcess();
    this.#runtime = this.#begin();
  }

  get commits(): number {
    return this.#process.commits;
  }

  async #start(target: Registrable | string, input?: StartInput): Promise<RunHandle> {
    const { id } = await this.#call('start a run', (runtime) => (runtime.start as UntypedStart)(target, input));
    return this.getRun(id);
  }

  /** T1: bound to the store and not to a life. */
  getRun<RESULT>(id: string): RunHandle<RESULT> {
    const handle = createRunHandle<RESULT>(this.#handles, id);
    const { result } = handle;
    return Object.defineProperties(handle, {
      result: { value: () => this.#patiently(result(), { id, status: 'ended' }) },
    });
  }

  async runs(): Promise<RunInfo[]> {
    const runs: Run[] = [];
    let page: Page<Run> | undefined;
    do {
      page = await this.store.list({ limit: 500, ...(page?.cursor == null ? {} : { cursor: page.cursor }) });
      runs.push(...page.items);
    } while (page.cursor !== null);
    return runs.toReversed().map(toRunInfo);
  }

  until(run: RunHandle | string, status: RunStatus): Promise<RunInfo> {
    const awaited = { id: idOf(run), status };
    return this.#patiently(
      this.#look(awaited, (row) => (row.status === status ? toRunInfo(row) : undefined)),
      awaited,
    );
  }

  pendingApproval(run: RunHandle | string): Promise<Approval> {
    const awaited = { id: idOf(run), status: 'waiting for an approval' };
    const oldest = async (): Promise<Approval | undefined> =>
      (await this.approvals.list({ run: awaited.id })).items.at(-1);
    return this.#patiently(this.#look(awaited, oldest), awaited);
  }

  async restart(changes: Redeploy = {}): Promise<void> {
    this.#assertOpen();
    const ended = this.#process;
    ended.kill();
    await ended.ended;
    await expireLeases(this.store, ended.nonces);
    this.#options = { ...this.#options, ...changes };
    this.#armed = false;
    this.#process = this.#newProcess();
    this.#runtime = this.#begin();
  }

  crashAfterCommit(n: number): void {
    this.#arm({ n, when: 'after' });
  }

  crashBeforeCommit(n: number): void {
    this.#arm({ n, when: 'before' });
  }

  async crashed(): Promise<void> {
    const process = this.#process;
    if (!this.#armed) {
      throw new AssertionError({
        message: 'No crash was asked for: call crashAfterCommit(n) or crashBeforeCommit(n) first.',
      });
    }
    await withPatience(process.ended, {
      ms: this.#patienceMs,
      explain: async () => {
        const runs = (await this.runs()).map(({ id, status }) => `"${id}" is ${status}`).join(', ');
        return new AssertionError({
          message: `The crash did not come: there were ${process.commits} commits. ${runs}.`,
        });
      },
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#process.kill();
    await this.#process.ended;
    await this.store.close();
  }

  get questions(): Runtime['questions'] {
    return this.#alive('answer questions').questions;
  }

  get approvals(): Runtime['approvals'] {
    return this.#alive('answer approvals').approvals;
  }

  async resumeHook(token: string, payload?: unknown, options?: ResumeHookOptions): Promise<void> {
    await this.#call('resume a hook', (runtime) => runtime.resumeHook(token, payload, options));
  }

  resumeWebhook(...args: Parameters<Runtime['resumeWebhook']>): Promise<Response> {
    return this.#call('resume a webhook', (runtime) => runtime.resumeWebhook(...args));
  }

  async addToolOutput(...args: Parameters<Runtime['addToolOutput']>): Promise<void> {
    await this.#call('add the output of a tool', (runtime) => runtime.addToolOutput(...args));
  }

  async thread(...args: Parameters<Runtime['thread']>): ReturnType<Runtime['thread']> {
    return this.#call('read a thread', (runtime) => runtime.thread(...args));
  }

  get streams(): StreamReader {
    return this.#handles.reader;
  }

  get agents(): readonly string[] {
    return Object.keys(this.#options.agents ?? {});
  }

  watch(listener: (hint: Hint) => void): () => void {
    return this.store.watch?.(listener) ?? (() => {});
  }

  async resume(id: string): Promise<void> {
    await this.#call('resume a run', (runtime) => runtime.resume(id));
  }

  async list(query?: RunQuery): Promise<Page<RunInfo>> {
    return this.#call('list runs', (runtime) => runtime.list(query));
  }

  async ledgerTotals(...args: Parameters<Runtime['ledgerTotals']>): ReturnType<Runtime['ledgerTotals']> {
    return this.#call('sum the ledger', (runtime) => runtime.ledgerTotals(...args));
  }

  async ledger(...args: Parameters<Runtime['ledger']>): ReturnType<Runtime['ledger']> {
    return this.#call('read the ledger', (runtime) => runtime.ledger(...args));
  }

  drive(...args: Parameters<Runtime['drive']>): ReturnType<Runtime['drive']> {
    return this.#call('drive runs', (runtime) => runtime.drive(...args));
  }

  async gc(...args: Parameters<Runtime['gc']>): Promise<number> {
    return this.#call('remove runs', (runtime) => runtime.gc(...args));
  }

  #newProcess(): Process {
    const onCommit = (): void => {
      for (const look of this.#looking) look();
    };
    return createProcess({ store: this.store, clock: this.clock, onCommit });
  }

  #begin(): Runtime {
    const { worker, patienceMs: _, ...options } = this.#options;
    return createRuntime({
      // Retries come after the same delays in each run of a test.
      ids: { ...systemIds(), random: seededRandom(1) },
      ...options,
      store: this.#process.store,
      clock: this.#process.clock,
      logger: collectLogs(this.logs),
      worker: worker === false ? false : { ...WORKER, ...worker },
    });
  }

  #alive(what: string): Runtime {
    this.#assertOpen();
    if (this.#process.alive) return this.#runtime;
    throw new DurableError(
      'runtime_closed',
      `Cannot ${what}: the crash that the test asked for has come. Call restart() first.`,
    );
  }

  /** A call that the life does not outlive rejects; it may have been applied. */
  #call<T>(what: string, call: (runtime: Runtime) => Promise<T>): Promise<T> {
    const runtime = this.#alive(what);
    const died = this.#process.ended.then(() => {
      throw new DurableError(
        'runtime_closed',
        `The process died while the test asked to ${what}: it may have happened or not. Call restart(), then look.`,
      );
    });
    return Promise.race([call(runtime), died]);
  }

  #assertOpen(): void {
    if (this.#closed)
      throw new DurableError(
        'runtime_closed',
        'Cannot use this test runtime: it was closed. Create one for each test.',
      );
  }

  #arm(point: CrashPoint): void {
    if (!Number.isInteger(point.n) || point.n < 1) {
      throw new DurableError(
        'invalid_argument',
        `Cannot crash at commit ${point.n}: commits are counted from 1, the next one.`,
      );
    }
    this.#alive('crash');
    this.#armed = true;
    this.#process.arm(point);
  }

  /** Looks whenever something may have changed, until there is an answer. */
  async #look<T>(awaited: AwaitedRun, answer: (run: Run) => T | undefined | Promise<T | undefined>): Promise<T> {
    let wake = (): void => {};
    const look = (): void => wake();
    this.#looking.add(look);
    const unwatch = this.store.watch?.(look);
    try {
      for (;;) {
        const changed = new Promise<void>((resolve) => (wake = resolve));
        const run = await this.store.get(awaited.id);
        const found = run === null ? undefined : await answer(run);
        if (found !== undefined) return found;
        if (run === null || ENDED.has(run.status)) throw await this.#explain(awaited);
        const cancelPoll = systemClock().schedule(wake, POLL_MS);
        await changed;
        cancelPoll();
      }
    } finally {
      this.#looking.delete(look);
      unwatch?.();
    }
  }

  #patiently<T>(wait: Promise<T>, awaited: AwaitedRun): Promise<T> {
    return withPatience(wait, { ms: this.#patienceMs, explain: () => this.#explain(awaited) });
  }

  #explain(awaited: AwaitedRun): Promise<Error> {
    const halted = this.#process.alive ? undefined : 'Its process is dead: call restart().';
    return explainRun({ store: this.store, clock: this.clock, logs: this.logs, halted }, awaited);
  }
}

function idOf(run: RunHandle | string): string {
  return typeof run === 'string' ? run : run.id;
}
