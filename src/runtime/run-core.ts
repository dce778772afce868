/**
 * The state of one run in this process that its parts share: journal, release queue, messages, pending commit, chunks, presence.
 * It knows nothing of leases; `held-run.ts` drives it.
 *
 *  K1 A completion resolves an await only through the release queue, after its commit.
 *  K2 After cancel was released, pending and later awaits outside a shield reject with `cancelled`.
 *  K3 A dropped continuation's awaits never settle.
 */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { Asks } from './asks.ts';
import type { Await } from './asks.ts';
import { Presence } from './presence.ts';
import type { PresenceState } from './presence.ts';
import type { Clock } from './clock.ts';
import { COMPLETIONS, currentFrame } from './context.ts';
import type { RunContext } from './context.ts';
import { DurableError } from './errors.ts';
import { loadLarge } from './event.ts';
import type { EventDraft } from './event.ts';
import { wasClosed } from './hook-closing.ts';
import type { Ids } from './ids.ts';
import type { Entry, Journal } from './journal.ts';
import type { LargeValues } from './large-values.ts';
import type { Logger } from './logger.ts';
import { Outbox } from './outbox.ts';
import type { StreamLimits } from './outbox.ts';
import { emptyPending, pendingEvent } from './pending.ts';
import type { Pending } from './pending.ts';
import { ReleaseQueue } from './release.ts';
import type { BusyAgent } from './release.ts';
import { RunMessages } from './run-messages.ts';
import { RunScope } from './run-scope.ts';
import type { Run, Store } from './store.ts';
import { Timers } from './timers.ts';

export interface RunCoreOptions {
  /** Of its streams. */
  limits?: StreamLimits;
  /** Of one value that it records. */
  maxValueBytes: number;
  values: LargeValues;
  run: Run;
  store: Store;
  clock: Clock;
  ids: Ids;
  logger: Logger;
  journal: Journal;
  /** Asks for a commit at the end of this macrotask. */
  request: () => void;
  /** Asks to be part of the process's next flush of chunks. */
  requestFlush: () => void;
  /** Something changed that may let the run suspend, end or start held bodies. */
  evaluate: () => void;
  /** The run is still this process's, by its clock. */
  leaseHolds: () => boolean;
  /** Something failed that no code of the run can catch: the run must not go on. */
  broken: (error: unknown) => void;
  /** Code of a dropped continuation asks for something durable. */
  strayed: () => void;
}

/** A body that is open: a step, a turn, a tool. */
export interface Body {
  key: string;
  label: string;
  presence: Presence;
  shielded: boolean;
  abort: (reason: unknown) => void;
}

export class RunCore {
  run: Run;
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly logger: Logger;
  readonly journal: Journal;
  readonly maxValueBytes: number;
  /** Puts large values out of line, and loads them. */
  readonly values: LargeValues;
  readonly queue: ReleaseQueue;
  readonly asks: Asks = new Asks();
  readonly messages: RunMessages;
  readonly outbox: Outbox;
  readonly timers: Timers;
  readonly root: RunScope;
  readonly controller: AbortController = new AbortController();
  readonly bodies: Set<Body> = new Set();
  /** Operations that wait in place between two attempts: what they tried is not on record. */
  retrying = 0;
  /** Schemas of hooks that this continuation created, by token hash. */
  readonly hookSchemas: Map<string, StandardSchemaV1> = new Map();
  /** Children that have not ended: run ids by key. */
  readonly children: Map<string, string> = new Map();
  readonly request: () => void;
  readonly evaluate: () => void;
  readonly #leaseHolds: () => boolean;
  readonly broken: (error: unknown) => void;
  readonly strayed: () => void;
  pending: Pending = emptyPending();
  /** Position of the last completion that the code has seen, or that a checkpoint has covered. */
  releasedSeq = -1;
  /** Set when cancel was released. */
  cancelled: DurableError | undefined;
  /** Claims without progress before this one that the journal does not know of yet. */
  recoveries = 0;
  /** Those whose event is on its way into the journal. */
  recoveriesInFlight = 0;
  /** Hook rows are in the commit that is under way: it may be refused yet. */
  hooksInFlight = false;
  /** The commit that is under way gives the run up: what would start now would run without a lease. */
  leaving = false;
  /** False while a body must not start: draining, suspended, stale. */
  active = true;
  dropped = false;
  /** Something of its journal cannot be read, and its code may have been told so: what it makes of that is not kept. */
  misled = false;
  /** The last await of user code that settled has led to no other yet: the code may await something plain, which nobody sees. */
  codeMayRun = true;
  /** The context that user code sees; set once by the held run. */
  context!: RunContext;
  #now: number;
  #storeTime: { now: number; at: number };
  /** Those of the held that the journal has nothing of. */
  #heldAnew = 0;
  readonly #cancellable = new Map<(error: unknown) => void, RunScope>();
  readonly #agents = new Set<Presence>();
  #held: Array<() => void> = [];
  /** Of the times of the events that were recorded here, which an estimate may pass in either direction. */
  #latest = 0;

  constructor(options: RunCoreOptions) {
    this.run = options.run;
    this.store = options.store;
    this.clock = options.clock;
    this.ids = options.ids;
    this.logger = options.logger;
    this.journal = options.journal;
    this.maxValueBytes = options.maxValueBytes;
    this.values = options.values;
    this.request = options.request;
    this.evaluate = options.evaluate;
    this.#leaseHolds = options.leaseHolds;
    this.broken = options.broken;
    this.strayed = options.strayed;
    this.#now = options.journal.checkpoints.at(-1)?.at ?? options.run.createdAt;
    this.#storeTime = { now: options.run.updatedAt, at: options.clock.monotonic() };
    this.root = new RunScope({ path: '', kind: 'workflow', parent: null, presence: Presence.root(options.evaluate) });
    this.timers = new Timers(options.clock, () => this.storeNow());
    this.outbox = new Outbox(options);
    this.queue = new ReleaseQueue({
      clock: options.clock,
      deliver: (entry) => this.#deliver(entry),
      prepare: (entry) => (this.isAsked(entry) ? loadLarge(entry.event) : undefined),
      busyAgents: () => this.#busyAgents(),
      onRest: options.evaluate,
      broken: options.broken,
    });
    const replayable = this.journal.replayable();
    this.messages = new RunMessages({
      run: options.run.id,
      journal: this.journal,
      replayable,
      wait: (wait) => this.wait({ scope: this.scope(), ...wait }),
      isReleased: (key) => this.isReleased(key),
    });
    this.queue.load(replayable);
  }

  /** The store's clock, estimated from its last answer. */
  storeNow(): number {
    return Math.floor(this.#storeTime.now + (this.clock.monotonic() - this.#storeTime.at));
  }

  /** Not before any event that was recorded or released here. */
  latest(): number {
    return Math.max(this.storeNow(), this.#now, this.#latest);
  }

  /** An answer of the store said what time it is. */
  syncTime(now: number): void {
    this.#storeTime = { now, at: this.clock.monotonic() };
  }

  /** Time of the last released event. */
  now(): number {
    return this.#now;
  }

  scope(): RunScope {
    const frame = currentFrame.getStore();
    return frame !== undefined && frame.context === this.context ? (frame.scope as RunScope) : this.root;
  }

  /** Adds an event to the next commit. Throws what encoding throws. */
  record(draft: Omit<EventDraft, 'at'>): void {
    if (this.misled && draft.type !== 'message_received' && draft.type !== 'cancel_requested') return;
    if (draft.type === 'message_received') this.messages.receive(draft.key);
    const at = this.storeNow();
    this.#latest = Math.max(this.#latest, at);
    const entry = pendingEvent({ ...draft, at }, this.maxValueBytes);
    if (draft.reference !== undefined) entry.event.large?.stored(entry.payload, (stored) => this.values.expand(stored));
    this.pending.events.push(entry);
    this.request();
  }

  /** The commit was applied: its events are the journal's, its completions wait for their release. */
  committed(pending: Pending, head: number): void {
    const first = head - pending.events.length;
    pending.events.forEach(({ event }, index) => {
      const entry = { seq: first + index, event };
      this.journal.add(entry);
      if (event.type === 'run_recovered') this.recoveriesInFlight = 0;
      if (isCompletion(entry)) this.queue.push(entry);
    });
    // What was tried and lost before a checkpoint was nothing of what comes after it.
    if (pending.checkpoint !== null) {
      this.releasedSeq = Math.max(this.releasedSeq, first + pending.checkpoint);
      this.#now = Math.max(this.#now, pending.events[pending.checkpoint]?.event.at ?? 0);
    }
    for (const settled of pending.settled) settled();
    this.queue.kick();
  }

  /** Bodies may start now: nothing is replayed, no hook row is on its way, the run is active and this process's. */
  get mayStart(): boolean {
    if (!this.active || this.leaving || this.queue.replaying || this.dropped) return false;
    const hooksStored = this.pending.hooks.length === 0 && !this.hooksInFlight;
    return hooksStored && this.#leaseHolds();
  }

  /** Calls `start` when bodies may start, in the order of asking. `isNew`: the journal has nothing of it. */
  hold(start: () => void, isNew = false): void {
    if (this.dropped) this.strayed();
    if (isNew) this.#heldAnew += 1;
    this.#held.push(isNew ? () => ((this.#heldAnew -= 1), start()) : start);
    this.evaluate();
  }

  /** Something is asked for that the journal has nothing of, and it is the code's answer to what was released last. */
  get asksAnew(): boolean {
    return this.#heldAnew > 0 && !this.codeMayRun;
  }

  startHeld(): void {
    while (this.mayStart) {
      const start = this.#held.shift();
      if (start === undefined) return;
      start();
    }
  }

  get holding(): boolean {
    return this.#held.length > 0;
  }

  /** Throws `cancelled` where a durable call must not go on. */
  assertNotCancelled(scope: RunScope): void {
    if (this.cancelled !== undefined && !scope.shielded) throw this.cancelled;
  }

  /**
   * An await that settles through `arm`, counts as `state` and rejects on cancel. The disarm function that `arm` answers is
   * called when the await was rejected from outside. `unawaited`: no code goes on when it settles.
   */
  wait<T>(options: {
    scope: RunScope;
    state: PresenceState;
    unawaited?: boolean | undefined;
    arm: (settle: Await<T>, presence: Presence) => () => void;
  }): Promise<T> {
    const { scope, state, arm, unawaited = false } = options;
    if (!unawaited) this.codeMayRun = false;
    if (this.dropped) this.strayed();
    if (this.cancelled !== undefined && !scope.shielded) return Promise.reject(this.cancelled);
    return new Promise((resolve, reject) => {
      const presence = scope.presence.leaf(state);
      const done = (): void => {
        if (!unawaited) this.codeMayRun = true;
        this.#cancellable.delete(onCancel);
        presence.leave();
      };
      const settle: Await<T> = {
        resolve: (value) => {
          done();
          resolve(value);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      };
      const onCancel = (error: unknown): void => {
        disarm();
        settle.reject(error);
      };
      this.#cancellable.set(onCancel, scope);
      let disarm = (): void => {};
      try {
        disarm = arm(settle, presence);
      } catch (error) {
        settle.reject(error);
      }
    });
  }

  /** The completion of a key reaches `settle` when it is released. */
  ask(key: string, settle: Await<Entry>): () => void {
    const unask = this.asks.add(key, settle);
    this.queue.kickSoon();
    return unask;
  }

  /** The scope under the prefix starts anew: what is open there is aborted and may be asked for again. */
  abandon(prefix: string, reason: unknown): void {
    this.queue.discard(prefix);
    for (const body of this.bodies) if (body.key.startsWith(prefix)) body.abort(reason);
    this.asks.abandon(prefix);
  }

  isAsked(entry: Entry): boolean {
    const { type, key } = entry.event;
    return type === 'message_received' || type === 'cancel_requested' || type === 'hook_conflict' || this.asks.has(key);
  }

  isReleased(key: string): boolean {
    return this.asks.isReleased(key) || (this.journal.completion(key) !== undefined && !this.journal.takesPart(key));
  }

  /** Attempts that died with their process since the last completion that this run's code has seen, and since a position. */
  lostAttempts(since = -1): number {
    return this.recoveries + this.recoveriesInFlight + this.journal.recoveredAfter(Math.max(since, this.releasedSeq));
  }

  addAgent(presence: Presence): void {
    this.#agents.add(presence);
  }

  /** The continuation is dropped: nothing of it is awaited any more (K3). */
  drop(reason: DurableError): void {
    this.dropped = true;
    this.active = false;
    this.queue.stop();
    this.timers.stop();
    this.controller.abort(reason);
    for (const body of this.bodies) body.abort(reason);
    this.#held = [];
    this.#cancellable.clear();
  }

  #busyAgents(): BusyAgent[] {
    const busy: BusyAgent[] = [];
    for (const agent of this.#agents) {
      if (!agent.open) this.#agents.delete(agent);
      else if (agent.state !== 'waiting' && agent.agentPath !== null) {
        busy.push({ path: `${agent.agentPath}/`, isHeld: agent.state === 'held' });
      }
    }
    return busy;
  }

  #deliver(entry: Entry): boolean {
    const { event } = entry;
    if (!this.isAsked(entry)) return false;
    this.#now = Math.max(this.#now, event.at);
    this.releasedSeq = Math.max(this.releasedSeq, entry.seq);
    if (event.type === 'message_received') this.messages.release(event);
    else if (event.type === 'cancel_requested') this.#cancel();
    else if (event.type === 'hook_conflict') this.messages.releaseConflict(event);
    else {
      if (wasClosed(event)) this.messages.releaseClosing(event);
      this.asks.release(entry);
    }
    return true;
  }

  #cancel(): void {
    if (this.cancelled !== undefined) return;
    const error = new DurableError(
      'cancelled',
      `The run "${this.run.id}" was cancelled. Clean up inside shield(), then let the error pass.`,
      {
        details: { run: this.run.id },
      },
    );
    this.cancelled = error;
    this.controller.abort(error);
    for (const [reject, scope] of this.#cancellable) if (!scope.shielded) reject(error);
    for (const body of this.bodies) if (!body.shielded) body.abort(error);
  }
}

function isCompletion({ event }: Entry): boolean {
  return COMPLETIONS.has(event.type);
}
