/** How long a worker lets pass between two looks for due runs that nothing tells it to make. */

export class PollPace {
  readonly #least: number;
  readonly #most: number;
  #next: number;

  constructor({ least, most }: { least: number; most: number }) {
    this.#least = least;
    this.#most = Math.max(least, most);
    this.#next = least;
  }

  /** After a look that found so many runs: the longer nothing was found, the longer. */
  after(found: number): number {
    if (found > 0) this.#next = this.#least;
    const pause = this.#next;
    if (found === 0) this.#next = Math.min(this.#most, 2 * pause);
    return pause;
  }
}
