/**
 * When a process may send chunks alone: for about a third of its time, so that streaming runs leave it and its store room for
 * others. What counts is the shorter one of the last two flushes: a sync that happens to be slow must not hold up the chunks after it.
 * After a pause two may follow one another: a model's first word often comes just after the chunk that begins its text.
 */

/** Nor must a store that is slow for good hold them up for long. */
const MOST_MS = 50;

export class FlushPace {
  readonly #leastMs: number;
  #lastMs = 0;
  #beforeMs = 0;
  #notBefore = 0;
  /** From when on a flush comes after a pause: twice the distance is more than a late timer. */
  #restedAt = 0;

  /** `leastMs`: least time between two flushes. */
  constructor(leastMs: number) {
    this.#leastMs = leastMs;
  }

  /** How long the next flush has to wait; 0 or less: it may go now. */
  waitAt(now: number): number {
    return this.#notBefore - now;
  }

  sent(now: number): void {
    this.#notBefore = now + this.#distance();
  }

  answered({ sentAt, now }: { sentAt: number; now: number }): void {
    this.#beforeMs = this.#lastMs;
    this.#lastMs = now - sentAt;
    const distance = this.#distance();
    this.#notBefore = sentAt >= this.#restedAt ? now : now + distance;
    this.#restedAt = now + 2 * distance;
  }

  #distance(): number {
    return Math.max(this.#leastMs, Math.min(2 * this.#lastMs, 2 * this.#beforeMs, MOST_MS));
  }
}
