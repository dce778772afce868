/**
 * Virtual time. One queue of events; after each event all microtasks run, then the next event is taken. Nothing here waits in real
 * time, and nothing depends on it: a seed always gives the same history.
 */

import { EventQueue } from './event-queue.ts';
import { Random } from './random.ts';

/** Events that run between two rounds of the real event loop. */
const EVENTS_PER_ROUND = 64;
const START = 1_704_067_200_000;

export class World {
  readonly random: Random;
  time = 0;
  events = 0;
  /** The first rule that was broken. */
  violation: string | undefined;
  /** What happened, for a seed that is replayed. */
  readonly log: ((line: string) => void) | undefined;
  readonly #queue = new EventQueue();
  #order = 0;
  #ahead = 0;

  constructor(seed: number, log?: (line: string) => void) {
    this.random = new Random(seed);
    this.log = log;
  }

  /** The store's clock. */
  readonly storeClock = {
    now: (): number => START + Math.floor(this.time + this.#ahead),
    monotonic: (): number => this.time,
    schedule: (run: () => void, delay: number): (() => void) => this.after(delay, run),
    defer: (run: () => void): void => void this.after(0, run),
    settle: (): Promise<void> => new Promise((resolve) => this.after(0, resolve)),
  };

  /** The store's clock is set forward. */
  jump(ms: number): void {
    this.note(() => `the store's clock jumps ${Math.round(ms)} ms ahead`);
    this.#ahead += ms;
  }

  after(delay: number, run: () => void): () => void {
    const event = { at: this.time + Math.max(0, delay), order: (this.#order += 1), run, cancelled: false };
    this.#queue.push(event);
    return () => {
      event.cancelled = true;
    };
  }

  fail(message: string): void {
    this.log?.(`${this.time.toFixed(1)} VIOLATION ${message}`);
    this.violation ??= `${message} (at ${this.time.toFixed(1)} ms)`;
  }

  note(line: () => string): void {
    this.log?.(`${this.time.toFixed(1)} ${line()}`);
  }

  /** Runs events until `done`, until a rule is broken, or until the moment `limit`. */
  drive(done: () => boolean, limit: number): Promise<void> {
    return new Promise((resolve) => {
      let isFinished = false;
      // Node runs all microtasks between two immediates, so a round of them is cheap.
      const one = (): void => {
        if (isFinished) return;
        const next = this.#queue.first;
        isFinished = done() || this.violation !== undefined || next === undefined || next.at > limit;
        if (isFinished) resolve();
        else this.#step();
      };
      const round = (): void => {
        if (isFinished) return;
        for (let count = 0; count < EVENTS_PER_ROUND; count += 1) setImmediate(one);
        setImmediate(round);
      };
      round();
    });
  }

  #step(): void {
    const event = this.#queue.pop();
    if (event === undefined || event.cancelled) return;
    this.time = Math.max(this.time, event.at);
    this.events += 1;
    try {
      event.run();
    } catch (error) {
      this.fail(`an event threw: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
  }
}
