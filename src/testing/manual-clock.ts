/** Time that moves only when a test says so. Macrotasks stay real, so that promises and file I/O settle as they do in production. */

import { systemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';

export interface ManualClock extends Clock {
  /**
   * Moves time on by `ms`. Timers that fall due are called in order, each at its own moment; between them the event loop
   * runs some macrotasks, so that what a timer set off (and the timers that this sets) takes place in time.
   */
  advance(ms: number): Promise<void>;
  /** Number of timers that are set. */
  readonly pending: number;
}

interface Timer {
  at: number;
  run: () => void;
}

const TURNS_BETWEEN_TIMERS = 3;
const TURNS_AT_THE_END = 10;
/** 2024-01-01T00:00:00Z, so that times in failed assertions are easy to tell from counts. */
const DEFAULT_START = 1_704_067_200_000;

/** A clock that stands at `start` (milliseconds since the epoch) until it is advanced. */
export function manualClock(start: number = DEFAULT_START): ManualClock {
  const real = systemClock();
  const timers = new Set<Timer>();
  let now = start;

  const turns = async (count: number): Promise<void> => {
    for (let turn = 0; turn < count; turn += 1) await real.settle();
  };

  const advance = async (ms: number): Promise<void> => {
    const target = now + Math.max(0, ms);
    await turns(TURNS_BETWEEN_TIMERS);
    for (let timer = earliest(timers, target); timer !== undefined; timer = earliest(timers, target)) {
      timers.delete(timer);
      now = Math.max(now, timer.at);
      timer.run();
      await turns(TURNS_BETWEEN_TIMERS);
    }
    now = Math.max(now, target);
    await turns(TURNS_AT_THE_END);
  };

  return {
    now: () => now,
    monotonic: () => now - start,
    schedule: (run, delay) => {
      const timer: Timer = { at: now + Math.max(0, delay), run };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    defer: real.defer,
    settle: real.settle,
    advance,
    get pending(): number {
      return timers.size;
    },
  };
}

/** Of timers for the same moment the one that was set first: a set keeps the order of insertion. */
function earliest(timers: Set<Timer>, target: number): Timer | undefined {
  let found: Timer | undefined;
  for (const timer of timers) {
    if (timer.at <= target && (found === undefined || timer.at < found.at)) found = timer;
  }
  return found;
}
