/**
 * Time and scheduling, the only place in `src` that reads them from the platform. Tests and the simulation inject
 * their own. Wall time (`now`) is for people and for the store that owns the clock; durations use `monotonic`.
 */

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds that never go back. */
  monotonic(): number;
  /** Calls `run` once after `delay` milliseconds (any length); the answer cancels it. */
  schedule(run: () => void, delay: number): () => void;
  /** Calls `run` at the end of the current macrotask, after all microtasks that are due. */
  defer(run: () => void): void;
  /** Resolves when all microtasks have run, and one macrotask after them. */
  settle(): Promise<void>;
}

/** The longest delay that the platform's timers take; longer ones are chained. */
const MAX_TIMER = 2_147_483_647;

/** The platform's clock. */
export function systemClock(): Clock {
  const defer = macrotasks();
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    schedule: scheduleTimer,
    defer,
    settle: () => new Promise<void>((resolve) => defer(resolve)),
  };
}

function scheduleTimer(run: () => void, delay: number): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const arm = (left: number): void => {
    timer = setTimeout(
      () => (left > MAX_TIMER ? arm(left - MAX_TIMER) : run()),
      Math.min(Math.max(left, 0), MAX_TIMER),
    );
  };
  arm(delay);
  return () => clearTimeout(timer);
}

function macrotasks(): (run: () => void) => void {
  if (typeof globalThis.setImmediate === 'function') return (run) => void setImmediate(run);
  const waiting: Array<() => void> = [];
  const channel = new MessageChannel();
  channel.port1.onmessage = () => waiting.shift()?.();
  return (run) => {
    waiting.push(run);
    channel.port2.postMessage(null);
  };
}
