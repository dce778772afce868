/** Whether hints told of what reads of streams found: if not, the subscription is deaf. */

import type { Clock } from '../../runtime/clock.ts';

/** A hint may come after the read that found what it tells of. */
const LATE_MS = 500;
/** Streams that are remembered. */
const MOST = 512;

interface At {
  run: string;
  stream: string;
}

export class ToldTails {
  readonly #clock: Clock;
  readonly #tails = new Map<string, { tail: number; isTold: boolean }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  told(at: At): void {
    const known = this.#tails.get(keyOf(at));
    if (known !== undefined) known.isTold = true;
  }

  /** Calls `deaf` if nobody told, nor does so soon. */
  saw({ tail, ...at }: At & { tail: number }, deaf: () => void): void {
    const key = keyOf(at);
    const before = this.#tails.get(key);
    const now = { tail, isTold: false };
    if (this.#tails.size >= MOST) this.#tails.clear();
    this.#tails.set(key, now);
    if (before === undefined || before.isTold || before.tail >= tail) return;
    this.#clock.schedule(() => {
      if (!now.isTold && this.#tails.get(key) === now) deaf();
    }, LATE_MS);
  }
}

function keyOf({ run, stream }: At): string {
  return JSON.stringify([run, stream]);
}
