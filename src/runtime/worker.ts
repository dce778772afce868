/**
 * The loop that claims runs and executes them in this process.
 *
 *  W1 A worker executes at most `concurrency` runs, and at most one whose last claims made no progress.
 *  W2 Suspended continuations stay warm for a while (at most `warm.max`, `warm.ms`); then they are dropped and the run
 *     is replayed when something happens to it.
 *  W3 A lease is extended by commits and heartbeats. A worker that cannot extend it gives the run up before it ends; one
 *     that stalled past it begins and writes nothing until a claim tells who holds the run.
 *  W4 A place that gets free is for a run that a claim has left behind. What became due since then is told by a hint.
 */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { LRUCache } from 'lru-cache';
import { Admission } from './admission.ts';
import type { ClaimedAt } from './admission.ts';
import { readClaimed } from './claimed-run.ts';
import { Committer } from './committer.ts';
import type { DurableError } from './errors.ts';
import { HeldRun } from './held-run.ts';
import type { HeldRunHost } from './held-run-host.ts';
import { isUnreadable } from './handback.ts';
import { withFields } from './logger.ts';
import { PollPace } from './poll-pace.ts';
import { RunCore } from './run-core.ts';
import { SUSPECT_ATTEMPTS } from './store.ts';
import { codeOf, StoreCalls } from './store-calls.ts';
import type { Claim, ClaimResult, Hint } from './store.ts';
import { WORKER_DEFAULTS } from './worker-options.ts';
import type { WorkerOptions, WorkerParts } from './worker-options.ts';
import { Upkeep } from './upkeep.ts';

/** Between two questions for news of all runs, where the store cannot say which has some. */
const SWEEP_MS = 1_000;

export class Worker implements HeldRunHost {
  /** The way in for what this process starts and delivers. */
  readonly admission: Admission;
  readonly #parts: WorkerParts;
  readonly #options: Required<Omit<WorkerOptions, 'queues'>>;
  readonly #upkeep: Upkeep;
  readonly #committer: Committer;
  readonly #calls: StoreCalls;
  readonly #executing = new Map<string, HeldRun>();
  /** Runs that were claimed and do not execute yet, with their attempts. */
  readonly #loading = new Map<string, number>();
  /** Claims on their way, and what becomes of them. */
  readonly #arriving = new Set<Promise<void>>();
  readonly #warm: LRUCache<string, HeldRun>;
  readonly #pace: PollPace;
  #state: 'idle' | 'open' | 'closing' | 'closed' = 'idle';
  #polling = false;
  #pollAgain = false;
  /** The last claim may have left due runs behind. */
  #hasLeftBehind = true;
  #cancelPoll: (() => void) | undefined;
  #cancelTick: (() => void) | undefined;
  #cancelSweep: (() => void) | undefined;
  #unwatch: (() => void) | undefined;
  #lastTick = 0;
  #lastSweep = 0;
  #emptied: Array<() => void> = [];

  constructor(parts: WorkerParts, options: WorkerOptions = {}) {
    this.#parts = parts;
    this.#options = { ...WORKER_DEFAULTS, ...options };
    this.#pace = new PollPace({ ...parts, pollMs: { set: options.pollMs, normal: WORKER_DEFAULTS.pollMs } });
    this.#calls = new StoreCalls(parts, this.#options.storeTimeoutMs);
    this.#upkeep = new Upkeep({ ...parts, calls: this.#calls });
    const { applied } = this.#upkeep;
    this.#committer = new Committer({ ...parts, applied, timeoutMs: this.#options.storeTimeoutMs });
    this.admission = new Admission({
      ...parts,
      leaseMs: this.#options.leaseMs,
      hasRoom: () => this.#hasRoom,
      take: (claim, at) => this.#track(this.#take(claim, at)),
      look: () => this.look(),
    });
    this.#warm = new LRUCache({
      max: Math.max(1, this.#options.warm.max), // 0 would mean no limit
      ttl: this.#options.warm.ms,
      perf: { now: () => Math.max(1, parts.clock.monotonic()) },
      ttlResolution: 0, // else it sets a timer of its own
      // Not `dispose`: that is called in mid-change, and a drop changes the cache.
      disposeAfter: (held, _id, reason) => {
        if (reason !== 'delete') held.evict();
      },
    });
  }

  /** There is room for one more run. */
  get #hasRoom(): boolean {
    return this.#state === 'open' && this.#executing.size + this.#loading.size < this.#options.concurrency;
  }

  open(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'open';
    const { clock, store } = this.#parts;
    this.#lastTick = clock.monotonic();
    this.#unwatch = store.watch?.((hint) => this.#hinted(hint));
    this.#scheduleTick();
    if (!store.capabilities.push) this.#scheduleSweep();
    this.#upkeep.open();
    this.look();
  }

  /** Looks for due runs now. */
  look(): void {
    this.#pollIn(0);
  }

  /** The schema of a hook whose run is in this process's memory. */
  hookSchema(run: string, tokenHash: string): StandardSchemaV1 | undefined {
    return (this.#executing.get(run) ?? this.#warm.peek(run))?.core.hookSchemas.get(tokenHash);
  }

  /** Whether a run in this process's memory has, or had, a hook of this token with a schema. */
  hasHookSchema(tokenHash: string): boolean {
    const inMemory = [...this.#executing.values(), ...this.#warm.values()];
    return inMemory.some(({ core }) => core.hookSchemas.has(tokenHash));
  }

  /** Stops claiming, yields at boundaries, after `graceMs` aborts what runs and yields. */
  async close(graceMs: number): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closing';
    this.#cancelPoll?.();
    this.#unwatch?.();
    this.#warm.purgeStale();
    for (const held of Array.from(this.#warm.values())) {
      held.drop('runtime_closed', `The run "${held.id}" waits; it goes on in another process.`);
    }
    for (const held of this.#executing.values()) {
      if (held.state === 'stale') this.stale(held);
      else held.drain('boundary');
    }
    while (this.#arriving.size > 0) await Promise.all(this.#arriving);
    await this.#untilEmpty(graceMs);
    for (const held of this.#executing.values()) held.drain('now');
    // After its lease a run goes on elsewhere anyway.
    await this.#untilEmpty(Math.min(this.#options.storeTimeoutMs, this.#options.leaseMs));
    for (const held of this.#executing.values()) {
      held.drop(
        'runtime_closed',
        `The run "${held.id}" could not be yielded before the runtime closed; it goes on when its lease has ended.`,
      );
    }
    this.#cancelTick?.();
    this.#cancelSweep?.();
    await this.#upkeep.close();
    this.#state = 'closed';
  }

  request(held: HeldRun): void {
    this.#committer.request(held);
  }

  requestFlush(held: HeldRun): void {
    this.#committer.requestFlush(held);
  }

  suspended(held: HeldRun, dueAt: number | null): void {
    this.#remove(held);
    if (dueAt !== null) this.#parts.left?.({ run: held.id, dueAt });
    if (this.#state === 'open') this.#keepWarm(held);
    else held.drop('runtime_closed', `The run "${held.id}" waits; it goes on in another process.`);
    if (dueAt === null) this.#lookForNext();
    else this.look();
  }

  /** W2 */
  #keepWarm(held: HeldRun): void {
    if (this.#options.warm.max > 0) this.#warm.set(held.id, held);
    else held.evict();
  }

  finished(held: HeldRun, how: 'ended' | 'parked' | 'yielded' | 'lost'): void {
    if (how === 'lost') this.#upkeep.left(held.id);
    if (how === 'lost' && this.#warm.peek(held.id) === held) this.#warm.delete(held.id);
    this.#remove(held);
    if (how === 'yielded') this.#parts.left?.({ run: held.id, dueAt: this.#parts.clock.now() });
    else this.#lookForNext();
  }

  /** W4. Without hints of what others do it is looked anyway, and where somebody waits for there being nothing more to do. */
  #lookForNext(): void {
    const { store, idle } = this.#parts;
    if (this.#hasLeftBehind || !store.capabilities.push || idle !== undefined) this.look();
  }

  stale(held: HeldRun): void {
    if (this.#state === 'open') this.look();
    else
      held.drop('runtime_closed', `The run "${held.id}" goes on elsewhere: its lease ended before the runtime closed.`);
  }

  wake(held: HeldRun): void {
    const { evicted } = held;
    void this.#calls.wake(held.id, () => (evicted ? this.#state === 'open' : held.state === 'suspended'));
  }

  /** A run of which nothing was heard for a while is alive: the next one of its kind may come. */
  progressed(): void {
    this.look();
  }

  #remove(held: HeldRun): void {
    if (this.#executing.get(held.id) === held) this.#executing.delete(held.id);
    if (this.#executing.size === 0) for (const resolve of this.#emptied.splice(0)) resolve();
  }

  #untilEmpty(ms: number): Promise<void> {
    if (this.#executing.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.schedule(resolve, ms);
      this.#emptied.push(() => {
        cancel();
        resolve();
      });
    });
  }

  #hinted(hint: Hint): void {
    if (hint.kind === 'due') this.look();
    else if (hint.kind === 'run') this.#executing.get(hint.run)?.heartbeat();
    else if (hint.kind === 'any') {
      this.look();
      this.#sweep();
    }
  }

  /** Where the store cannot say which run has news, all are asked, once a second. */
  #sweep(): void {
    const now = this.#parts.clock.monotonic();
    if (now - this.#lastSweep < SWEEP_MS) return;
    this.#lastSweep = now;
    for (const held of this.#executing.values()) held.heartbeat();
  }

  /** No hint comes from other processes. */
  #scheduleSweep(): void {
    this.#cancelSweep = this.#parts.clock.schedule(() => {
      this.#sweep();
      this.#scheduleSweep();
    }, SWEEP_MS);
  }

  #pollIn(delay: number): void {
    if (this.#state !== 'open') return;
    if (this.#polling) {
      this.#pollAgain ||= delay === 0;
      return;
    }
    this.#cancelPoll?.();
    if (delay === 0) {
      this.#polling = true;
      this.#cancelPoll = undefined;
      this.#parts.clock.defer(() => this.#track(this.#poll()));
    } else {
      this.#cancelPoll = this.#parts.clock.schedule(() => this.look(), delay);
    }
  }

  async #poll(): Promise<void> {
    let next: number;
    try {
      const result = await this.#claim();
      next = this.#pace.after(result);
      if (result !== null) this.#tellIdle(result);
    } catch (error) {
      next = this.#pace.afterFailure();
      this.#parts.logger.warn({ code: codeOf(error), err: error, retryInMs: next }, 'runs could not be claimed');
    }
    this.#polling = false;
    const again = this.#pollAgain || (next <= 0 && this.#hasRoom);
    this.#pollAgain = false;
    this.#pollIn(again ? 0 : Math.max(next, 1));
  }

  #tellIdle({ claims, nextDueInMs }: ClaimResult): void {
    const isBusy = claims.length + this.#executing.size + this.#loading.size > 0 || this.#pollAgain;
    if (!isBusy && nextDueInMs !== 0) this.#parts.idle?.(nextDueInMs);
  }

  async #claim(): Promise<ClaimResult | null> {
    const { queues, clock } = this.#parts;
    const limit = this.#options.concurrency - this.#executing.size - this.#loading.size + this.#staleCount();
    if (queues.length === 0) return { claims: [], nextDueInMs: null, now: 0 };
    this.#hasLeftBehind = true;
    if (limit <= 0 || this.#state !== 'open') return null;
    const claimedAt = clock.monotonic();
    const suspects = this.#hasSuspect() ? 0 : 1;
    const nonce = this.admission.nonce();
    const request = { nonce, leaseMs: this.#options.leaseMs, queues, limit, suspects };
    const result = await this.#calls
      .inTime((store) => store.claim(request))
      .catch((error: unknown) => {
        this.admission.keep(nonce);
        throw error;
      });
    const hasSuspect = suspects === 0 || result.claims.some(({ run }) => run.attempts >= SUSPECT_ATTEMPTS);
    this.#hasLeftBehind = hasSuspect || result.nextDueInMs === 0;
    for (const claim of result.claims) this.#track(this.#take(claim, { claimedAt, now: result.now }));
    if (this.#staleCount() > 0) await this.#dropTakenOver();
    return result;
  }

  /** W1. A stale one waits for its claim and must not stand in its own way. */
  #hasSuspect(): boolean {
    for (const attempts of this.#loading.values()) if (attempts >= SUSPECT_ATTEMPTS) return true;
    for (const { core, state } of this.#executing.values())
      if (core.run.attempts >= SUSPECT_ATTEMPTS && state !== 'stale') return true;
    return false;
  }

  #staleCount(): number {
    return [...this.#executing.values()].filter(({ state }) => state === 'stale').length;
  }

  /** Stale runs that another worker has claimed meanwhile. */
  async #dropTakenOver(): Promise<void> {
    for (const held of this.#executing.values()) {
      if (held.state !== 'stale' || this.#loading.has(held.id)) continue;
      const row = await this.#calls.inTime((store) => store.get(held.id));
      if (row === null || row.epoch > held.epoch) {
        if (held.state === 'stale')
          held.drop(
            'lease_lost',
            `The lease of run "${held.id}" was lost while this process stalled; another worker has it.`,
          );
      }
    }
  }

  async #take(claim: Claim, options: ClaimedAt): Promise<void> {
    const { run } = claim;
    if (this.#state !== 'open') return this.#leave(claim);
    if (this.#loading.has(run.id)) return;
    const held = this.#executing.get(run.id) ?? this.#warm.peek(run.id);
    this.#loading.set(run.id, run.attempts);
    try {
      await held?.leaving();
      if (held?.goesOnWith(claim) === true) await this.#continue(held, claim, options);
      else await this.#begin(claim, options);
    } catch (error) {
      this.#parts.logger.error({ run: run.id, code: codeOf(error), err: error }, 'a claimed run could not be loaded');
      if (held?.state === 'suspended') held.drop('lease_lost', `The run "${run.id}" could not be loaded to go on.`);
      if (isUnreadable(error)) await this.#leave(claim, error);
    } finally {
      this.#loading.delete(run.id);
    }
  }

  #leave(claim: Claim, unreadable?: DurableError): Promise<void> {
    const { leaseMs } = this.#options;
    return this.#calls.giveBack(claim, unreadable === undefined ? { leaseMs } : { leaseMs, unreadable });
  }

  #track(arrival: Promise<void>): void {
    this.#arriving.add(arrival);
    void arrival.finally(() => this.#arriving.delete(arrival));
  }

  async #continue(held: HeldRun, claim: Claim, options: ClaimedAt): Promise<void> {
    const adopted = held.state !== 'suspended';
    this.#warm.delete(claim.run.id);
    this.#executing.set(claim.run.id, held);
    const hasNews = claim.run.inboxHead > held.received;
    const messages = hasNews ? (claim.messages ?? (await this.#calls.messages(claim))) : [];
    if (held.state === 'finished') return this.#leave(claim);
    if (this.#state !== 'open') {
      held.drop('runtime_closed', `The run "${held.id}" waits; it goes on in another process.`);
      return this.#leave(claim);
    }
    if (adopted)
      this.#parts.logger.warn(
        { run: claim.run.id, code: 'lease_lost', epoch: claim.token.epoch },
        'the run is still ours after the stall; it goes on in place',
      );
    held.resume(claim, { ...options, messages });
  }

  async #begin(claim: Claim, options: ClaimedAt): Promise<void> {
    const { store, registry, clock, ids, logger, keys, streams, application } = this.#parts;
    const { run } = claim;
    this.#executing.get(run.id)?.drop('lease_lost', `The run "${run.id}" was claimed again; this attempt is dropped.`);
    this.#warm.peek(run.id)?.drop('lease_lost', `The run "${run.id}" went on elsewhere; this continuation is dropped.`);
    const runLogger = withFields(logger, { run: run.id, workflow: run.workflow, attempt: run.attempts });
    if (claim.from === 'lease')
      runLogger.warn(
        { code: 'lease_lost', epoch: claim.token.epoch, head: run.head },
        'taken over from a worker whose lease ended',
      );
    const { bytes: secret } = await keys.keyOf(run);
    const fresh = run.head === 0 && run.inboxHead === 0;
    const loaded = fresh ? null : await this.#calls.inTime((from) => from.load(run.id));
    if (!fresh && (loaded === null || loaded.run.epoch !== claim.token.epoch)) return;
    if (this.#state !== 'open') return this.#leave(claim);
    let held: HeldRun | undefined;
    const { leaseMs } = this.#options;
    const reading = { ...options, store, clock, calls: this.#calls, loaded, leaseMs, held: () => held };
    const { input, journal, values } = await readClaimed(run, reading);
    if (this.#state !== 'open') return this.#leave(claim);
    held = new HeldRun({
      claim,
      claimedAt: options.claimedAt,
      leaseMs,
      definition: registry.find(run.workflow),
      input,
      secret,
      application,
      childRun: (parent, target, child) => registry.childRun(keys, { parent, target, ...child }),
      host: this,
      core: (self) =>
        new RunCore({
          ...(streams === undefined ? {} : { limits: streams.limits }),
          run,
          store,
          clock,
          ids,
          logger: runLogger,
          journal,
          values,
          maxValueBytes: this.#parts.maxValueBytes,
          request: () => self.requested(),
          requestFlush: () => self.flushRequested(),
          evaluate: () => self.evaluate(),
          leaseHolds: () => self.leaseHolds(),
          broken: (error) => self.broken(error),
          strayed: () => self.strayed(),
        }),
    });
    this.#executing.set(run.id, held);
    held.core.syncTime(options.now);
    held.start(loaded?.messages ?? []);
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#parts.clock.schedule(() => this.#tick(), this.#options.leaseMs / 3);
  }

  #tick(): void {
    const now = this.#parts.clock.monotonic();
    const stalled = now - this.#lastTick > (this.#options.leaseMs * 2) / 3;
    this.#lastTick = now;
    this.#warm.purgeStale();
    for (const held of this.#executing.values()) {
      if (held.holdsLease()) held.heartbeat();
      else if (stalled) held.markStale();
      else if (held.state === 'running') {
        held.drop(
          'lease_lost',
          `The lease of run "${held.id}" could not be extended in time; the run goes on with its next holder.`,
        );
      }
    }
    this.#scheduleTick();
  }
}
