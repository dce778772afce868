/** Moments on the store's clock at which something of a run goes on: sleeps and delayed attempts. */

import type { Clock } from './clock.ts';

interface Timer {
  dueAt: number;
  run: () => void;
}

export class Timers {
  readonly #clock: Clock;
  readonly #storeNow: () => number;
  readonly #timers = new Set<Timer>();
  #armed: { dueAt: number; cancel: () => void } | undefined;
  #live = true;

  constructor(clock: Clock, storeNow: () => number) {
    this.#clock = clock;
    this.#storeNow = storeNow;
  }

  /** The earliest moment, null if there is none. */
  get nextDueAt(): number | null {
    let next: number | null = null;
    for (const { dueAt } of this.#timers) next = next === null ? dueAt : Math.min(next, dueAt);
    return next;
  }

  /** Calls `run` once when the moment is reached; the answer takes it back. */
  at(dueAt: number, run: () => void): () => void {
    const timer = { dueAt, run };
    this.#timers.add(timer);
    this.#arm();
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Runs what is due at `now`, in order. */
  fire(now: number): void {
    const due = [...this.#timers].filter((timer) => timer.dueAt <= now).toSorted((a, b) => a.dueAt - b.dueAt);
    for (const timer of due) this.#timers.delete(timer);
    for (const timer of due) timer.run();
    this.#arm();
  }

  /** While the run is suspended the store's `dueAt` is its timer. */
  pause(): void {
    this.#live = false;
    this.#disarm();
  }

  resume(now: number): void {
    this.#live = true;
    this.fire(now);
  }

  stop(): void {
    this.pause();
    this.#timers.clear();
  }

  #arm(): void {
    const next = this.nextDueAt;
    if (!this.#live || next === null || this.#armed?.dueAt === next) return;
    this.#disarm();
    const cancel = this.#clock.schedule(
      () => {
        this.#armed = undefined;
        this.fire(this.#storeNow());
      },
      Math.max(0, next - this.#storeNow()),
    );
    this.#armed = { dueAt: next, cancel };
  }

  #disarm(): void {
    this.#armed?.cancel();
    this.#armed = undefined;
  }
}
