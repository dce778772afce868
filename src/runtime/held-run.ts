/**
 * One claimed run in this process: its continuation, its token, its commits.
 *
 *  E1 At most one commit of the run is in flight. Nothing is sent under a token whose lease has run out.
 *  E2 `wait`, `yield` and `end` carry all that is pending; they are sent when nothing else is in flight.
 *  E3 A suspended continuation stays usable; it goes on in place if the next claim's epoch is its own plus one, and the run is as it left it:
 *     a store that does not sync each commit may have lost the last ones.
 *  E4 After a lost lease nothing of it is awaited, written or counted.
 *  E5 A failure of the run's own machinery parks it; the process and its other runs do not notice.
 *  E6 Code that awaits something plain while a durable wait is open cannot be seen. The run is looked at again after a while, and
 *     woken if its continuation was dropped meanwhile.
 */

import type { CommitOutcome, CommitSource } from './committer.ts';
import { currentFrame } from './context.ts';
import type { Application } from './context.ts';
import { DivergenceWatch } from './divergence.ts';
import { DurableError } from './errors.ts';
import { drainLeftovers, mayWait, takePending, withEnd } from './run-commit.ts';
import type { Outcome } from './run-end.ts';
import { RunEnding } from './run-ending.ts';
import { Holding } from './holding.ts';
import type { Applied, HoldingOptions, InFlight } from './holding.ts';
import type { HeldRunHost } from './held-run-host.ts';
import { withHookConflict } from './hook-conflict.ts';
import { Intake } from './intake.ts';
import { nextLookAt, runsAgain } from './next-look.ts';
import { emptyPending, isEmptyPending, joinPending } from './pending.ts';
import { Parking } from './parking.ts';
import type { WorkflowDefinition } from './registrable.ts';
import { LiveRunContext } from './run-context.ts';
import type { RunCore } from './run-core.ts';
import { Staging } from './staging.ts';
import { stepsAtStall } from './stall.ts';
import type { Claim, Commit, Message, NewRun, Run, StreamWrite, Then } from './store.ts';

export type HeldRunState = 'running' | 'suspended' | 'stale' | 'finished';

export interface HeldRunOptions extends HoldingOptions {
  definition: WorkflowDefinition;
  input: unknown;
  secret: Uint8Array;
  application: Application | undefined;
  childRun: (parent: Run, target: unknown, options: { id: string; input: unknown }) => Promise<NewRun>;
  host: HeldRunHost;
  core: (held: HeldRun) => RunCore;
}

/** How long a cancelled run may clean up. */
const CANCEL_GRACE_MS = 30_000;
/** A run claimed this often without progress is parked. */
export const MAX_ATTEMPTS = 5;

export class HeldRun implements CommitSource {
  readonly id: string;
  readonly core: RunCore;
  readonly #options: HeldRunOptions;
  readonly #parking: Parking;
  readonly #holding: Holding;
  readonly #divergence: DivergenceWatch;
  readonly #intake: Intake;
  readonly #ending: RunEnding;
  readonly #staging: Staging;
  #state: HeldRunState = 'running';
  #inFlight: InFlight | undefined;
  #answered = (): void => {};
  #heartbeatDue = false;
  #suspects: string[] | undefined;
  #wantsWait = false;
  #draining: 'no' | 'boundary' | 'now' = 'no';
  #evaluateScheduled = false;
  #woken = false;
  #evicted = false;

  constructor(options: HeldRunOptions) {
    const { claim } = options;
    this.#options = options;
    this.id = claim.run.id;
    this.#holding = new Holding(options);
    this.core = options.core(this);
    this.#parking = new Parking({
      core: this.core,
      request: () => this.requested(),
      giveUp: (why) => this.drop('lease_lost', why),
    });
    this.core.context = new LiveRunContext({
      core: this.core,
      secret: options.secret,
      application: options.application,
      guards: this.#parking.guards,
      childRun: options.childRun,
      diverged: (difference) => this.#parking.diverged(difference),
      suspect: (key) => this.#suspect(key),
    });
    this.#intake = new Intake(this.core, { received: claim.run.seen, onCancel: (at) => this.#limitCleanUp(at) });
    this.#ending = new RunEnding({
      core: this.core,
      definition: options.definition,
      ready: () => options.host.request(this),
      ended: () => this.#functionEnded(),
    });
    this.#staging = new Staging({ core: this.core, ready: () => this.requested() });
    this.#divergence = new DivergenceWatch(this.core, (difference) => this.#parking.diverged(difference));
  }

  get state(): HeldRunState {
    return this.#state;
  }

  /** Dropped to make room: it may be that its run has to be woken. */
  get evicted(): boolean {
    return this.#evicted;
  }

  get epoch(): number {
    return this.#holding.epoch;
  }

  /** E3 */
  goesOnWith(claim: Claim): boolean {
    return this.#state !== 'finished' && this.#holding.isFollowedBy(claim, this.#intake.received);
  }

  get received(): number {
    return this.#intake.received;
  }

  /** Runs the function from its top. `messages` are those that are not journaled yet. */
  start(messages: Message[]): void {
    const { claim, definition, input } = this.#options;
    const { attempts } = claim.run;
    // Claims since the last event, each after a death, whatever this one comes from; the first claim of a run was none.
    const deaths = claim.run.head === 0 ? attempts - 1 : attempts;
    this.core.recoveries = Math.max(claim.from === 'lease' ? 1 : 0, deaths);
    if (attempts >= MAX_ATTEMPTS) {
      this.#parking.park('crash_loop', { attempts, suspects: claim.run.suspects ?? [] });
      return;
    }
    this.#intake.take(messages, claim.run.cancel);
    this.core.queue.kickSoon();
    const frame = { context: this.core.context, scope: this.core.root };
    currentFrame
      .run(frame, async () => definition.run(this.core.context, input))
      .then(
        (value) => this.#functionEnded({ status: 'completed', value }),
        (error: unknown) => this.#functionEnded({ status: 'failed', error }),
      );
    this.evaluate();
  }

  /** Goes on in place under a new claim (E3). */
  resume(claim: Claim, options: { messages: Message[]; claimedAt: number; now: number }): void {
    this.#holding.renew(claim, options.claimedAt);
    this.core.run = claim.run;
    this.#state = 'running';
    this.#wantsWait = false;
    this.#woken = false;
    this.core.active = !this.#parking.isDecided;
    this.core.syncTime(options.now);
    this.#intake.take(options.messages, claim.run.cancel);
    this.core.timers.resume(options.now);
    this.core.queue.kick();
    this.#options.host.request(this);
    if (!this.core.outbox.empty) this.#options.host.requestFlush(this);
    this.evaluate();
  }

  /** The event loop stalled past the lease: nothing is written until a claim says who holds the run. */
  markStale(): void {
    if (this.#state !== 'running') return;
    this.#state = 'stale';
    this.core.logger.warn(
      { code: 'lease_lost', step: stepsAtStall(this.core).join(', '), epoch: this.epoch },
      'the event loop stalled longer than the lease; nothing is written until the run is claimed again',
    );
    this.#options.host.stale(this);
  }

  /** An empty commit: extends the lease, and brings new messages and the cancel flag. */
  heartbeat(): void {
    if (this.#state !== 'running') return;
    this.#heartbeatDue = true;
    this.#options.host.request(this);
  }

  holdsLease(): boolean {
    return this.#state === 'running' && this.#holding.isSafe(this.core.clock.monotonic());
  }

  /** By this process's own clock. If it has ended, nothing begins any more, and nothing is written. */
  leaseHolds(): boolean {
    if (this.#holding.hasExpired(this.core.clock.monotonic())) this.markStale();
    return this.#state !== 'stale';
  }

  /** The lease is lost or given up: the continuation is dropped (E4). */
  drop(code: 'lease_lost' | 'runtime_closed', message: string): void {
    if (this.#state === 'finished') return;
    this.#state = 'finished';
    this.#stopTimers();
    this.core.drop(new DurableError(code, message, { details: { run: this.id } }));
    this.#options.host.finished(this, 'lost');
  }

  /** Its memory is needed for others; it is replayed when something happens to it. */
  evict(): void {
    this.drop(
      'runtime_closed',
      `The continuation of run "${this.id}" was not used for a while and is dropped; it is replayed on demand.`,
    );
    // What its code does about being dropped is no going on by itself.
    void this.#settled().then(() => (this.#evicted = true));
  }

  /** Its code went on although it is dropped: it awaited something plain while the run waited (E6). */
  strayed(): void {
    if (!this.#evicted || this.#woken) return;
    this.#woken = true;
    if (runsAgain(this.core)) this.#options.host.wake(this);
  }

  /** Yields at the next boundary, or now. */
  drain(when: 'boundary' | 'now'): void {
    this.#draining = when;
    this.core.active = false;
    if (when === 'now') {
      const reason = new DurableError(
        'runtime_closed',
        `The runtime was closed while the run "${this.id}" executed; it goes on elsewhere.`,
      );
      for (const body of this.core.bodies) body.abort(reason);
    }
    this.evaluate();
    this.#options.host.request(this);
  }

  /** Something is to be committed; a suspended run has to be claimed first. */
  requested(): void {
    if (this.#state === 'finished') this.strayed();
    else if (this.#state === 'suspended') this.#wake();
    else this.#options.host.request(this);
  }

  /** Chunks are to be flushed. */
  flushRequested(): void {
    if (this.#state === 'suspended') this.#wake();
    else this.#options.host.requestFlush(this);
  }

  /** Something changed; looked at after the code has settled. */
  evaluate(): void {
    if (this.#evaluateScheduled || this.#state === 'finished') return;
    const { root, holding } = this.core;
    if (root.presence.state === 'busy' && !holding && !this.#ending.hasOutcome && this.#draining === 'no') return;
    this.#evaluateScheduled = true;
    void this.#settled()
      .then(() => {
        this.#evaluateScheduled = false;
        this.#evaluate();
      })
      .catch((error: unknown) => this.broken(error));
  }

  async #settled(): Promise<void> {
    await this.core.clock.settle();
    await this.core.clock.settle();
  }

  takeCommit({ flush }: { flush: boolean }): Commit | null {
    if (this.#inFlight !== undefined || this.#state !== 'running') return null;
    if (!this.leaseHolds()) return null;
    let then = this.#then();
    const idle = then.kind === 'run' && !this.#heartbeatDue && this.#suspects === undefined;
    if (idle && isEmptyPending(this.core.pending) && !this.#mayFlush(flush)) return null;
    if (then.kind === 'end') this.core.pending.starts.push(...drainLeftovers(this.core));
    if (this.#staging.holds(then)) return this.#heartbeatDue ? this.#bareHeartbeat() : null;
    const writes = isEmptyPending(this.core.pending) ? this.core.outbox.take() : this.core.outbox.takeAll();
    if (!this.core.outbox.empty && then.kind !== 'run') then = { kind: 'run' };
    const pending = takePending(this.core, then);
    const closing = (): StreamWrite[] => this.#ending.closingWrites();
    this.#inFlight = { ...withEnd(this.core, { pending, writes, then, closing }), then, retry: { pending, writes } };
    this.core.hooksInFlight = pending.hooks.length > 0;
    this.core.leaving = then.kind !== 'run';
    return this.#commitOf(this.#inFlight);
  }

  /** The lease goes on while what is due is on its way out of line. */
  #bareHeartbeat(): Commit {
    const nothing = { pending: emptyPending(), writes: [] };
    this.#inFlight = { ...nothing, then: { kind: 'run', heartbeat: true }, retry: nothing };
    return this.#commitOf(this.#inFlight);
  }

  #commitOf(sent: InFlight): Commit {
    return this.#holding.commit(sent, {
      run: this.id,
      received: this.#intake.received,
      cancelSeen: this.#intake.cancelled,
      suspects: this.#suspects,
    });
  }

  #mayFlush(isDue: boolean): boolean {
    return this.core.outbox.urgent || (isDue && !this.core.outbox.empty);
  }

  /** While the commit with which it leaves has no answer, resolves when it has one: where calls overtake one another, the next claim may come first. */
  leaving(): Promise<void> | undefined {
    return this.core.leaving ? new Promise((resolve) => (this.#answered = resolve)) : undefined;
  }

  commitSettled(commit: Commit, outcome: CommitOutcome, sentAt: number): void {
    const sent = this.#inFlight;
    this.#inFlight = undefined;
    this.#answered();
    this.core.hooksInFlight = false;
    this.core.leaving = false;
    if (sent === undefined || this.#state === 'finished') return;
    switch (outcome.kind) {
      case 'applied':
        this.#applied(sent, outcome, { id: commit.id, sentAt });
        break;
      case 'pending':
        this.#refused(sent);
        this.core.syncTime(outcome.now);
        this.#intake.take(outcome.messages, outcome.cancel);
        break;
      case 'token_taken':
        sent.retry.pending = withHookConflict(sent.retry.pending, outcome, { run: this.id, at: this.core.storeNow() });
        this.#refused(sent);
        break;
      case 'stream_closed':
        this.core.logger.error(
          { code: 'stream_closed', stream: outcome.stream },
          'chunks were written to a closed stream and are dropped',
        );
        this.#refused(sent, outcome.stream);
        break;
      case 'fenced':
      case 'moved':
      case 'lost':
        this.#lost(commit, outcome);
        return;
    }
    this.#options.host.request(this);
    if (!this.core.outbox.empty) this.#options.host.requestFlush(this);
    this.evaluate();
  }

  #then(): Then {
    const parked = this.#parking.then;
    if (parked !== undefined) return parked;
    if (this.#ending.committable !== undefined) return this.#ending.committable;
    if (this.#mayYield()) return { kind: 'yield' };
    if (this.#wantsWait && mayWait(this.core)) return { kind: 'wait', dueAt: nextLookAt(this.core) };
    return this.#heartbeatDue ? { kind: 'run', heartbeat: true } : { kind: 'run' };
  }

  #mayYield(): boolean {
    if (this.#draining === 'no') return false;
    return this.#draining === 'now' || [...this.core.bodies].every((body) => body.presence.state !== 'busy');
  }

  #applied(sent: InFlight, answer: Applied, at: { id: string; sentAt: number }): void {
    // After a wait nobody holds the run; that it may have gone on elsewhere since is seen at the next claim (E3).
    if (!answer.holder && sent.then.kind !== 'wait')
      return sent.then.kind === 'run' ? this.#lost(undefined, { kind: 'fenced' }) : this.#left(sent.then);
    this.#holding.applied(sent, answer, at);
    if (answer.extended) this.#heartbeatDue = false;
    if (sent.pending.events.length > 0) this.#progressed();
    this.#suspects = undefined;
    this.core.syncTime(answer.now);
    this.#staging.committed();
    this.core.outbox.committed(sent.retry.writes, answer.tails);
    this.core.committed(sent.pending, this.#holding.head);
    this.#left(sent.then);
    if (this.#state === 'running') this.#intake.take(answer.messages, answer.cancel);
  }

  #progressed(): void {
    const { attempts } = this.core.run;
    if (attempts === 0) return;
    this.core.run = { ...this.core.run, attempts: 0 };
    if (attempts > 1) this.#options.host.progressed(this);
  }

  #left(then: Then): void {
    if (then.kind === 'run') return;
    if (then.kind === 'wait') {
      this.#state = 'suspended';
      this.core.active = false;
      this.core.timers.pause();
      this.#options.host.suspended(this, then.dueAt);
      if (!isEmptyPending(this.core.pending) || !this.core.outbox.empty) this.#wake();
      return;
    }
    this.#state = 'finished';
    this.#stopTimers();
    const reason = new DurableError('runtime_closed', `The run "${this.id}" has left this process.`);
    this.core.drop(reason);
    this.#options.host.finished(this, then.kind === 'end' ? 'ended' : then.kind === 'park' ? 'parked' : 'yielded');
  }

  /** The commit was refused and applied nothing: its content goes before what came since. */
  #refused({ retry, then }: InFlight, withoutStream?: string): void {
    this.core.pending = joinPending(retry.pending, this.core.pending);
    this.core.outbox.refused(retry.writes, withoutStream);
    this.#wantsWait = false;
    if (then.kind === 'end') this.#ending.refused();
  }

  #lost(commit: Commit | undefined, outcome: { kind: string; error?: unknown }): void {
    const step = stepsAtStall(this.core).join(', ');
    this.core.logger.warn(
      { code: 'lease_lost', step, epoch: this.epoch, refusal: outcome.kind, commit: commit?.id, err: outcome.error },
      'the lease was lost; the run goes on elsewhere',
    );
    this.drop(
      'lease_lost',
      `The lease of run "${this.id}" was lost. The run goes on with its new holder; drop this attempt.`,
    );
  }

  #wake(): void {
    if (this.#woken) return;
    this.#woken = true;
    this.#options.host.wake(this);
  }

  /** A cancelled run may clean up for a while. */
  #limitCleanUp(cancelledAt: number): void {
    // A timer of the run: one that waits, here or nowhere, is claimed when it falls due.
    this.core.timers.at(cancelledAt + CANCEL_GRACE_MS, () => {
      this.core.hold(() => this.#functionEnded({ status: 'failed', error: this.core.cancelled }));
    });
  }

  #functionEnded(outcome?: Outcome): void {
    if (this.#state === 'finished') return this.strayed();
    if (outcome !== undefined && !this.#ending.set(outcome)) return;
    if (this.#state === 'suspended') this.#wake();
    this.evaluate();
  }

  #evaluate(): void {
    if (this.#state === 'suspended' && this.core.holding) this.#wake();
    if (this.#state !== 'running') return;
    this.core.queue.kick();
    if (!this.core.queue.resting) return;
    this.core.startHeld();
    if (this.#draining !== 'no') this.#options.host.request(this);
    if (this.#ending.hasOutcome) this.#end();
    else if (this.core.root.presence.state !== 'busy') this.#atRest();
  }

  #atRest(): void {
    this.#divergence.look();
    // What fell due before the run was claimed: a wait for it would only bring the next claim.
    if (this.core.mayStart) this.core.timers.fire(this.core.storeNow());
    if (this.core.root.presence.state !== 'waiting' || this.#inFlight !== undefined || !mayWait(this.core)) return;
    this.#wantsWait = true;
    this.#options.host.request(this);
  }

  #end(): void {
    if (!this.#parking.isDecided && !this.#divergence.lookAtEnd()) this.#ending.proceed();
  }

  /** Something failed that no code of the run can catch: it is parked, and the others live on (E5). */
  broken(error: unknown): void {
    if (this.#state !== 'finished') this.#parking.broken(error);
  }

  #suspect(key: string): Promise<void> {
    this.#suspects = [...(this.#suspects ?? [...this.core.bodies].map((body) => body.label)), key];
    return new Promise((resolve) => {
      this.core.pending.settled.push(resolve);
      this.#options.host.request(this);
    });
  }

  #stopTimers(): void {
    this.#divergence.stop();
  }
}
