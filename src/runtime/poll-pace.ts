/** How long a worker lets pass between two looks for due runs that nothing tells it to make. */

import { retryDelay } from './store-calls.ts';
import type { ClaimResult, Store } from './store.ts';

export interface PollPaceOptions {
  /** As somebody set it, or as it is where nobody did. */
  pollMs: { set: number | undefined; normal: number };
  store: Pick<Store, 'capabilities'>;
}

export class PollPace {
  readonly #least: number;
  readonly #most: () => number;
  #next: number;
  #failures = 0;

  constructor({ pollMs, store }: PollPaceOptions) {
    this.#least = pollMs.set ?? pollMs.normal;
    this.#most = () => pollMs.set ?? Math.max(pollMs.normal, store.capabilities.idlePollMs ?? 0);
    this.#next = this.#least;
  }

  /** After a look; null if there was no room for what it might have found. The longer nothing was found, the longer. */
  after(look: Pick<ClaimResult, 'claims' | 'nextDueInMs'> | null): number {
    this.#failures = 0;
    if (look === null) return this.#least;
    if (look.claims.length > 0) this.#next = this.#least;
    const pause = Math.min(this.#most(), this.#next);
    if (look.claims.length === 0) this.#next = Math.min(this.#most(), 2 * pause);
    return Math.min(pause, look.nextDueInMs ?? pause);
  }

  afterFailure(): number {
    const pause = retryDelay(this.#failures);
    this.#failures += 1;
    return pause;
  }
}
