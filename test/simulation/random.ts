/** Randomness with a seed: everything that a simulation draws comes from here. */

import { seededRandom } from '../../src/runtime/ids.ts';

export class Random {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = seededRandom(Math.imul(seed + 1, 0x9e3779b1));
  }

  /** In [0, 1). */
  next(): number {
    return this.#next();
  }

  chance(probability: number): boolean {
    return probability > 0 && this.#next() < probability;
  }

  between(low: number, high: number): number {
    return low + this.#next() * (high - low);
  }

  /** A whole number in [low, high]. */
  int(low: number, high: number): number {
    return low + Math.floor(this.#next() * (high - low + 1));
  }

  pick<T>(list: readonly [T, ...T[]]): T {
    return list[Math.floor(this.#next() * list.length)] ?? list[0];
  }

  /** A generator of its own, so that what draws from it does not shift the draws of others. */
  fork(): Random {
    return new Random(Math.floor(this.#next() * 4_294_967_296));
  }
}
