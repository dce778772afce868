/** Composes store, worker, agents and workflows into a runtime. */

import { plainWayIn } from '../runtime/admission.ts';
import type { WayIn } from '../runtime/admission.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { DurableError } from '../runtime/errors.ts';
import { systemIds } from '../runtime/ids.ts';
import type { Ids } from '../runtime/ids.ts';
import type { Keyring } from '../runtime/keyring.ts';
import { consoleLogger } from '../runtime/logger.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Registrable } from '../runtime/registrable.ts';
import type { Registry } from '../runtime/registry.ts';
import { toWorkerQueues } from '../runtime/worker-queues.ts';
import { tellOfOtherQueues } from './other-queues.ts';
import { UntakenStarts } from './untaken-starts.ts';
import type { Hint, LedgerQuery, LedgerScope, LedgerTotals, Page, RunQuery } from '../runtime/store.ts';
import type { StreamSettings } from '../runtime/upkeep.ts';
import { codeOf } from '../runtime/store-calls.ts';
import { withLargeValues } from '../runtime/value-store.ts';
import type { ValueStore } from '../runtime/value-store.ts';
import { assertDriven, Driving } from '../runtime/driving.ts';
import type { Drive, DriveOptions } from '../runtime/driving.ts';
import { Worker } from '../runtime/worker.ts';
import { findAskingAgent } from './asking-agent.ts';
import { createApprovals } from './approvals.ts';
import type { Approvals } from './approvals.ts';
import { createQuestions } from './questions.ts';
import type { Questions } from './questions.ts';
import { addToolOutput } from './tool-outputs.ts';
import type { ToolOutput } from './tool-outputs.ts';
import { readThread } from './threads.ts';
import type { Thread, ThreadOptions } from './threads.ts';
import { createStreamReader } from '../streams/reader.ts';
import type { StreamReader } from '../streams/reader.ts';
import { assertToken, resumeHook } from './resume-hook.ts';
import type { ResumeHookOptions } from './resume-hook.ts';
import { resumeWebhook } from './resume-webhook.ts';
import type { ResumeWebhookOptions } from './resume-webhook.ts';
import { createRunHandle, runNotFound } from './run-handle.ts';
import type { RunHandle } from './run-handle.ts';
import { DueNotices } from './due-notices.ts';
import { checkScope } from './ledger-scope.ts';
import { toRunInfos } from './blocked-runs.ts';
import { toLedgerEntry } from './run-info.ts';
import type { LedgerEntry, RunInfo } from './run-info.ts';
import { applicationOf, checkOptions, registryOf, secretsOf, valueBytesOf } from './runtime-options.ts';
import type { RuntimeOptions } from './runtime-options.ts';
import { openKeyring } from './runtime-keys.ts';
import { startedId } from './started-run.ts';
import { splitStart } from './start-input.ts';
import type { Start, StartInput, UntypedStart } from './start-input.ts';
import { toStreamSettings } from './stream-options.ts';

export interface Runtime {
  /**
   * Starts a run; resolves when it is stored. An agent takes `{ prompt | message | messages, id?, thread?, whenBusy?, ... }`, a workflow
   * `(workflow, { input, id?, ... })`. The id makes it idempotent: the same id and input is the same run. Throws `run_conflict`,
   * `thread_busy`, `workflow_not_found`, `secret_unknown`, `invalid_argument`, `value_not_serializable`.
   */
  readonly start: Start;
  /** Throws `run_not_found` on first use of the handle if there is no such run. */
  getRun<RESULT = unknown, CHUNK = unknown>(id: string): RunHandle<RESULT, CHUNK>;
  /** Resolves when the payload is stored. Throws `hook_not_found`, `hook_already_resumed`, `hook_closed`, `payload_invalid`. */
  resumeHook(token: string, payload?: unknown, options?: ResumeHookOptions): Promise<void>;
  /**
   * Brings a webhook an HTTP request and resolves with the answer for its sender, once the request is stored: what the route
   * `/webhooks/:token` of `createApp` does. Throws `hook_not_found`, `hook_already_resumed`, `hook_closed`, `method_not_allowed`, `body_too_large`,
   * `signature_invalid`, `verifier_missing`, `webhook_unanswered`.
   */
  resumeWebhook(token: string, request: Request, options?: ResumeWebhookOptions): Promise<Response>;
  /** Lets a parked run go on. Throws `run_not_found`, and `invalid_argument` if it is not parked. */
  resume(id: string): Promise<void>;
  /** Tool calls that wait for a person, and their answers. */
  readonly approvals: Approvals;
  /** What workflows and tools ask people, and the answers. */
  readonly questions: Questions;
  /** Brings a run the output of a client-side tool. Throws `hook_not_found`, `hook_already_resumed`. */
  addToolOutput(run: string, output: ToolOutput): Promise<void>;
  /** A conversation. Throws `thread_not_found`. */
  thread(id: string, options?: ThreadOptions): Promise<Thread>;
  /** Runs, newest first. */
  list(query?: RunQuery): Promise<Page<RunInfo>>;
  /** The streams of runs as they are stored, for servers. */
  readonly streams: StreamReader;
  /** The names of the agents that are registered here. */
  readonly agents: readonly string[];
  /** Tells when something may have changed: hints, which may be lost. The answer ends it. */
  watch(listener: (hint: Hint) => void): () => void;
  /** One entry per model attempt, failed and aborted ones included; oldest first. */
  ledger(query?: LedgerQuery): Promise<Page<LedgerEntry>>;
  /** What a run, a thread or a tenant has used: the sums of its ledger, those of removed runs among them. Costs the same however long it is. */
  ledgerTotals(scope: LedgerScope): Promise<LedgerTotals>;
  /**
   * Executes the runs that are due, until none is or the time is up; then they yield at boundaries. For `worker: { background: false }`.
   * Throws `invalid_argument` for other runtimes.
   */
  drive(options: DriveOptions): Promise<Drive>;
  /** Removes ended runs. Answers how many. */
  gc(options: { olderThanMs: number; limit?: number }): Promise<number>;
  /** Stops claiming, yields runs at boundaries, after `graceMs` (default 5,000) aborts bodies; then closes the store. */
  close(options?: { graceMs?: number }): Promise<void>;
}

/** Creates a runtime and opens its worker. Throws `duplicate_name`, `invalid_argument` before anything has an effect. */
export function createRuntime(options: RuntimeOptions): Runtime {
  checkOptions(options);
  const registry = registryOf(options);
  const secrets = secretsOf(options);
  const clock = options.clock ?? systemClock();
  const ids = options.ids ?? systemIds();
  const logger = options.logger ?? consoleLogger();
  const streams = toStreamSettings(options.streams, valueBytesOf(options));
  const queues = options.worker === false ? [] : toWorkerQueues(registry, options.worker?.queues);
  return new DurableRuntime({ options, registry, queues, clock, ids, logger, secrets, streams });
}

interface Opened {
  keys: Keyring;
  worker: () => Worker | undefined;
  driving: Driving | null;
  wayIn: WayIn;
}

interface Parts {
  options: RuntimeOptions;
  registry: Registry;
  /** What this process executes. */
  queues: readonly string[];
  clock: Clock;
  ids: Ids;
  logger: Logger;
  secrets: readonly string[];
  streams: StreamSettings;
}

class DurableRuntime implements Runtime {
  readonly #parts: Parts;
  readonly #store: ValueStore;
  readonly #handles: { store: ValueStore; clock: Clock; reader: StreamReader };
  readonly #opened: Promise<Opened>;
  #closing: Promise<void> | undefined;
  /** Starts and messages that the store has not answered: one may bring a claim. */
  readonly #arriving = new Set<Promise<unknown>>();
  readonly #notices: DueNotices | undefined;
  readonly #untaken: UntakenStarts;
  readonly approvals: Approvals;
  readonly questions: Questions;
  readonly #deliver: WayIn['deliver'] = async (delivery) => {
    const { wayIn } = await this.#ready();
    return this.#tracked(wayIn.deliver(delivery));
  };
  readonly start: Start = ((target, input) => this.#start(target, input)) as UntypedStart as Start;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { onDue } = parts.options;
    this.#notices = onDue === undefined ? undefined : new DueNotices(onDue, parts);
    const answering = {
      clock: parts.clock,
      ids: parts.ids,
      logger: parts.logger,
      store: async () => {
        await this.#ready();
        return this.#store;
      },
      deliver: this.#deliver,
    };
    this.questions = createQuestions({
      ...answering,
      schemaOf: async ({ run, tokenHash }) => (await this.#ready()).worker()?.hookSchema(run, tokenHash),
    });
    this.approvals = createApprovals({
      ...answering,
      agentOf: (asked) => findAskingAgent(parts.options, asked),
      budgetApproval: parts.options.budget?.approval,
      keyOf: async (id) => (await this.#ready()).keys.find(id),
    });
    this.#store = withLargeValues(parts.options.store, { maxBytes: valueBytesOf(parts.options), clock: parts.clock });
    this.#untaken = new UntakenStarts({ ...parts, store: this.#store });
    this.#handles = {
      store: this.#store,
      clock: parts.clock,
      reader: createStreamReader({ store: this.#store, clock: parts.clock }),
    };
    this.#opened = this.#open();
    this.#opened.catch((error: unknown) =>
      parts.logger.error({ code: codeOf(error), err: error }, 'the runtime could not open its store'),
    );
  }

  async #start(target: Registrable | string, input: StartInput = {}): Promise<RunHandle> {
    const { registry, ids } = this.#parts;
    const definition = registry.find(target);
    const { keys, wayIn } = await this.#ready();
    const { content, ...given } = splitStart(definition, input);
    const run = await registry.newRun(
      definition,
      { ...given, id: given.id ?? `run_${ids.next()}`, input: content },
      keys,
    );
    const result = await this.#tracked(wayIn.start(run));
    if (result === undefined)
      throw new DurableError('store_unavailable', 'The store did not answer a start.', { retryable: true });
    if (result.kind === 'conflict' && result.run.id === run.id && (await keys.isSameStart(result.run, run))) {
      return createRunHandle(this.#handles, run.id);
    }
    return createRunHandle(this.#handles, startedId(result, run));
  }

  getRun<RESULT>(id: string): RunHandle<RESULT> {
    return createRunHandle<RESULT>(this.#handles, id);
  }

  async resumeHook(token: string, payload: unknown = null, options: ResumeHookOptions = {}): Promise<void> {
    assertToken(token);
    const { worker } = await this.#ready();
    const { clock, ids } = this.#parts;
    const parts = { store: this.#store, clock, ids, deliver: this.#deliver, worker: worker() };
    return resumeHook(parts, payload, { ...options, token });
  }

  async resumeWebhook(token: string, request: Request, options: ResumeWebhookOptions = {}): Promise<Response> {
    await this.#ready();
    const { ids, logger } = this.#parts;
    return resumeWebhook({ ...this.#handles, ids, logger, deliver: this.#deliver }, request, { ...options, token });
  }

  async resume(id: string): Promise<void> {
    await this.#ready();
    const answer = await this.#store.control(id, 'resume');
    if (answer.kind === 'not_found') throw runNotFound(id);
    if (answer.kind === 'refused') {
      throw new DurableError(
        'invalid_argument',
        `Cannot resume the run "${id}": it is ${answer.run.status}, not parked. To wake a hook, call resumeHook(token).`,
        {
          details: { run: id, status: answer.run.status },
        },
      );
    }
  }

  async addToolOutput(run: string, output: ToolOutput): Promise<void> {
    await this.#ready();
    return addToolOutput({ store: this.#store, deliver: this.#deliver, ids: this.#parts.ids }, run, output);
  }

  async thread(id: string, options: ThreadOptions = {}): Promise<Thread> {
    await this.#ready();
    return readThread(this.#store, id, options);
  }

  get agents(): readonly string[] {
    return Object.keys(this.#parts.options.agents ?? {});
  }

  get streams(): StreamReader {
    return this.#handles.reader;
  }

  watch(listener: (hint: Hint) => void): () => void {
    return this.#store.watch?.(listener) ?? (() => {});
  }

  async list(query: RunQuery = {}): Promise<Page<RunInfo>> {
    if (query.status !== undefined && !Array.isArray(query.status)) {
      throw new DurableError(
        'invalid_argument',
        `Cannot list runs with the status ${JSON.stringify(query.status)}: it is a list, such as ["waiting", "parked"].`,
      );
    }
    await this.#ready();
    const { items, cursor } = await this.#store.list(query);
    return { items: await toRunInfos(items, { store: this.#store, now: this.#parts.clock.now() }), cursor };
  }

  async ledger(query: LedgerQuery = {}): Promise<Page<LedgerEntry>> {
    await this.#ready();
    const { items, cursor } = await this.#store.ledger(query);
    return { items: items.map(toLedgerEntry), cursor };
  }

  async ledgerTotals(scope: LedgerScope): Promise<LedgerTotals> {
    checkScope(scope);
    await this.#ready();
    const [totals] = await this.#store.ledgerTotals([scope]);
    if (totals === undefined)
      throw new DurableError('store_unavailable', 'The store did not sum its ledger.', { retryable: true });
    return totals;
  }

  async drive(options: DriveOptions): Promise<Drive> {
    const { driving } = await this.#ready();
    const drive = await assertDriven(driving).drive(options);
    await this.#notices?.settled();
    return drive;
  }

  async gc({ olderThanMs, limit = 1_000 }: { olderThanMs: number; limit?: number }): Promise<number> {
    if (typeof olderThanMs !== 'number' || !(olderThanMs >= 0)) {
      throw new DurableError(
        'invalid_argument',
        'Cannot remove runs without their age: write gc({ olderThanMs: 7 * 86_400_000 }).',
      );
    }
    await this.#ready();
    return this.#store.gc({ olderThanMs, limit });
  }

  close({ graceMs = 5_000 }: { graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    const opened = await this.#opened.catch(() => null);
    await Promise.allSettled(this.#arriving);
    this.#untaken.close();
    await (opened?.driving ?? opened?.worker())?.close(graceMs);
    await this.#notices?.settled();
    await this.#store.close();
  }

  async #tracked<T>(arrival: Promise<T>): Promise<T> {
    this.#arriving.add(arrival);
    try {
      return await arrival;
    } finally {
      this.#arriving.delete(arrival);
    }
  }

  async #open(): Promise<Opened> {
    const { options, registry, queues, clock, ids, logger } = this.#parts;
    const keys = await openKeyring({
      ...this.#parts,
      store: this.#store,
      isClosing: () => this.#closing !== undefined,
    });
    const { streams } = this.#parts;
    const application = applicationOf(options);
    const around = (way: WayIn): WayIn => this.#notices?.around(way) ?? way;
    const watched = (way: WayIn): WayIn => this.#untaken.around(around(way));
    const plain = plainWayIn(this.#store);
    if (options.worker === false) return { keys, worker: () => undefined, driving: null, wayIn: watched(plain) };
    const workerOptions = options.worker;
    const makeWorker = (idle?: (nextDueInMs: number | null) => void): Worker =>
      new Worker(
        {
          ...(idle === undefined ? {} : { idle }),
          left: (due) => void this.#notices?.tell(due),
          store: this.#store,
          clock,
          ids,
          logger,
          registry,
          queues,
          keys,
          streams,
          maxValueBytes: valueBytesOf(options),
          application,
        },
        workerOptions,
      );
    if (workerOptions?.background === false) {
      const driving = new Driving({ clock, makeWorker, wayIn: plain });
      return { keys, worker: () => driving.worker, driving, wayIn: around(driving.wayIn) };
    }
    const worker = makeWorker();
    if (this.#closing === undefined) {
      worker.open();
      void tellOfOtherQueues({ store: this.#store, registry, queues, logger });
    }
    return { keys, worker: () => worker, driving: null, wayIn: watched(worker.admission) };
  }

  #ready(): Promise<Opened> {
    if (this.#closing !== undefined) {
      throw new DurableError(
        'runtime_closed',
        'Cannot use this runtime: it was closed. Create a new one with createRuntime.',
      );
    }
    return this.#opened;
  }
}
