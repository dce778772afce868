/** What a holder knows of its right to a run: token, head, messages journaled, and how long the lease lasts. */

import type { Pending } from './pending.ts';
import type { Claim, Commit, CommitResult, StreamWrite, Then, Token } from './store.ts';

/** What one commit carries. */
export interface InFlight {
  pending: Pending;
  writes: StreamWrite[];
  then: Then;
  /** What goes back if it is refused: all but what belongs to the end of the run. */
  retry: { pending: Pending; writes: StreamWrite[] };
}

export type Applied = Extract<CommitResult, { kind: 'applied' }>;

export interface HoldingOptions {
  claim: Claim;
  /** Monotonic time before the claim was sent. */
  claimedAt: number;
  leaseMs: number;
}

export class Holding {
  readonly #leaseMs: number;
  #token: Token;
  #head: number;
  #seen: number;
  #leaseFrom: number;
  #commits = 0;
  /** Id of the commit that was applied last. */
  #lastApplied: string | null;
  /** Commits that were applied under the token. */
  #applied = 0;

  constructor({ claim, claimedAt, leaseMs }: HoldingOptions) {
    this.#leaseMs = leaseMs;
    this.#token = claim.token;
    this.#head = claim.run.head;
    this.#seen = claim.run.seen;
    this.#leaseFrom = claimedAt;
    this.#lastApplied = claim.run.lastCommit;
  }

  get epoch(): number {
    return this.#token.epoch;
  }

  get head(): number {
    return this.#head;
  }

  /** The claim is the next one of the run as it is known here: neither did it go on elsewhere, nor has the store lost what it acknowledged. `received`: messages. */
  isFollowedBy({ run, token }: Claim, received: number): boolean {
    if (token.epoch !== this.epoch + 1 || run.head !== this.#head) return false;
    return run.lastCommit === this.#lastApplied && run.inboxHead >= received;
  }

  /** The same run under a new claim; head and messages are as they were. */
  renew(claim: Claim, claimedAt: number): void {
    this.#token = claim.token;
    this.#leaseFrom = claimedAt;
    this.#applied = 0;
  }

  /** The lease still has time to spare. */
  isSafe(now: number): boolean {
    return now < this.#leaseFrom + this.#leaseMs - leaseMargin(this.#leaseMs);
  }

  /** The lease has run out by this process's own measure. */
  hasExpired(now: number): boolean {
    return now > this.#leaseFrom + this.#leaseMs;
  }

  commit(
    sent: InFlight,
    extra: { run: string; received: number; cancelSeen: boolean; suspects: string[] | undefined },
  ): Commit {
    const { pending, writes, then } = sent;
    return {
      run: extra.run,
      token: this.#token,
      expect: this.#head,
      id: `${this.#token.nonce}:${this.#token.epoch}:${(this.#commits += 1)}`,
      number: this.#applied + 1,
      leaseMs: this.#leaseMs,
      events: pending.events.map(({ payload }) => payload),
      chunks: writes,
      hooks: { create: pending.hooks, close: pending.closeHooks },
      starts: pending.starts,
      cancels: pending.cancels,
      ledger: pending.ledger,
      seen: this.#seen + messagesIn(pending),
      received: extra.received,
      cancelSeen: extra.cancelSeen,
      ...(pending.checkpoint === null ? {} : { checkpoint: this.#head + pending.checkpoint }),
      ...(extra.suspects === undefined ? {} : { suspects: extra.suspects }),
      then,
    };
  }

  /** `id`: of the commit. */
  applied(sent: InFlight, answer: Applied, { id, sentAt }: { id: string; sentAt: number }): void {
    this.#applied += 1;
    this.#lastApplied = id;
    this.#head += sent.pending.events.length;
    this.#seen += messagesIn(sent.pending);
    if (answer.extended) this.#leaseFrom = sentAt;
  }
}

function messagesIn(pending: Pending): number {
  let count = 0;
  for (const { event } of pending.events) if (event.type === 'message_received') count += 1;
  return count;
}

/** How long before the end of a lease its holder gives up. */
export function leaseMargin(leaseMs: number): number {
  return Math.min(3_000, leaseMs / 5);
}
