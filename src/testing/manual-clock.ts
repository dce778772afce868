/** Time that moves only when a test says so. Macrotasks stay real, so that promises and file I/O settle as they do in production. */

import { systemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { durationMs } from '../runtime/duration.ts';
import type { Duration } from '../runtime/duration.ts';

export interface ManualClock extends Clock {
  /**
   * Moves time on, by milliseconds or a text such as "2 days". Timers that fall due are called in order, each at its own moment;
   * between them what they set off takes place, until nothing is left that happens without more time or without I/O.
   */
  advance(by: Duration): Promise<void>;
  /** Lets happen what needs no time. */
  settleAll(): Promise<void>;
  /** Number of timers that are set. */
  readonly pending: number;
}

interface Timer {
  at: number;
  run: () => void;
}

/** So many macrotasks in which nobody asked for another one count as rest. */
const QUIET_TURNS = 3;
const QUIET_TURNS_AT_THE_END = 10;
/** What never rests is left alone after this many macrotasks. */
const MOST_TURNS = 20_000;
/** 2024-01-01T00:00:00Z, so that times in failed assertions are easy to tell from counts. */
const DEFAULT_START = 1_704_067_200_000;

/** A clock that stands at `start` (milliseconds since the epoch) until it is advanced. */
export function manualClock(start: number = DEFAULT_START): ManualClock {
  const real = systemClock();
  const timers = new Set<Timer>();
  let now = start;
  let asked = 0;

  const quiet = async (turns: number): Promise<void> => {
    let left = turns;
    for (let spent = 0; left > 0 && spent < MOST_TURNS; spent += 1) {
      const before = asked;
      await real.settle();
      left = asked === before ? left - 1 : turns;
    }
  };

  const advance = async (by: Duration): Promise<void> => {
    const target = now + durationMs(by, 'clock.advance()');
    await quiet(QUIET_TURNS);
    for (let timer = earliest(timers, target); timer !== undefined; timer = earliest(timers, target)) {
      timers.delete(timer);
      now = Math.max(now, timer.at);
      timer.run();
      await quiet(QUIET_TURNS);
    }
    now = Math.max(now, target);
    await quiet(QUIET_TURNS_AT_THE_END);
  };

  return {
    now: () => now,
    monotonic: () => now - start,
    schedule: (run, delay) => {
      const timer: Timer = { at: now + Math.max(0, delay), run };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    defer: (run) => {
      asked += 1;
      real.defer(run);
    },
    settle: () => {
      asked += 1;
      return real.settle();
    },
    advance,
    settleAll: () => quiet(QUIET_TURNS_AT_THE_END),
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
