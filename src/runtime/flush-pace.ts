/** When a process may send chunks alone: a share of its time, so that streaming runs leave it and its store room for others. */

/** A single slow call must not hold up streams for long. */
const MOST_MS = 50;

export class FlushPace {
  readonly #leastMs: number;
  #lastMs = 0;
  #notBefore = 0;

  /** `leastMs`: least time between two flushes. */
  constructor(leastMs: number) {
    this.#leastMs = leastMs;
  }

  /** How long the next flush has to wait; 0 or less: it may go now. */
  waitAt(now: number): number {
    return this.#notBefore - now;
  }

  sent(now: number): void {
    this.#pauseFrom(now);
  }

  answered({ sentAt, now }: { sentAt: number; now: number }): void {
    this.#lastMs = now - sentAt;
    this.#pauseFrom(now);
  }

  #pauseFrom(now: number): void {
    this.#notBefore = now + Math.max(this.#leastMs, Math.min(2 * this.#lastMs, MOST_MS));
  }
}
