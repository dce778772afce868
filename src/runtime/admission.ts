/**
 * What this process brings to the store itself, starts and messages: the run goes on here at once if there is room, claimed in the same
 * transition (S13, S20).
 *
 *  A1 A claim without an answer may have been made. Its nonce is asked with again, which brings what it got (S6).
 */

import type { Clock } from './clock.ts';
import type { Ids } from './ids.ts';
import type { Claim, Delivery, DeliverClaim, DeliverResult, NewRun, StartResult, Store } from './store.ts';

/** How it was when a run was claimed. */
export interface ClaimedAt {
  /** Monotonic time, before the claim was sent. */
  claimedAt: number;
  /** The store's time. */
  now: number;
}

export interface AdmissionOptions {
  store: Store;
  clock: Clock;
  ids: Ids;
  leaseMs: number;
  /** What this process executes. */
  queues: readonly string[];
  hasRoom: () => boolean;
  /** A run was claimed. */
  take: (claim: Claim, at: ClaimedAt) => void;
  /** A claim got no answer, or the run may be claimed by a worker alone (S33). */
  look: () => void;
}

/** How starts and messages reach the store. */
export type WayIn = Pick<Admission, 'start' | 'deliver'>;

/** That of a process without a worker. */
export function plainWayIn(store: Store): WayIn {
  return {
    start: async (run) => (await store.start([run]))[0],
    deliver: async (delivery) => (await store.deliver([delivery]))[0],
  };
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #unanswered: string[] = [];

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  start(run: NewRun): Promise<StartResult | undefined> {
    const { queues, hasRoom } = this.#options;
    const mayTake = queues.includes(run.queue) && hasRoom();
    return this.#bring({ mayTake }, async (claim, claimedAt) => {
      const [answer] = await this.#options.store.start([run], claim);
      if (answer?.kind === 'created' && answer.token !== null) {
        this.#options.take({ run: answer.run, token: answer.token, from: 'start' }, { claimedAt, now: answer.now });
      } else if (claim !== undefined && answer?.kind === 'created' && answer.run.status === 'ready')
        this.#options.look();
      return answer;
    });
  }

  deliver(delivery: Delivery): Promise<DeliverResult | undefined> {
    return this.#bring({ mayTake: this.#options.hasRoom() }, async (claim, claimedAt) => {
      const [answer] = await this.#options.store.deliver([delivery], claim);
      if (answer?.kind === 'ok' && answer.claimed !== undefined) {
        const { claim: taken, now } = answer.claimed;
        this.#options.take(taken, { claimedAt, now });
      }
      return answer;
    });
  }

  /** For a claim of the worker. */
  nonce(): string {
    return this.#unanswered.shift() ?? this.#options.ids.nonce();
  }

  /** A1 */
  keep(nonce: string): void {
    this.#unanswered.push(nonce);
  }

  async #bring<T>(
    { mayTake }: { mayTake: boolean },
    call: (claim: DeliverClaim | undefined, claimedAt: number) => Promise<T>,
  ): Promise<T> {
    const { clock, ids, leaseMs, queues, look } = this.#options;
    const claim = mayTake ? { nonce: ids.nonce(), leaseMs, queues } : undefined;
    try {
      return await call(claim, clock.monotonic());
    } catch (error) {
      if (claim !== undefined) {
        this.keep(claim.nonce);
        look();
      }
      throw error;
    }
  }
}
