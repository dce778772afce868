/**
 * A process that executes runs: its clock and its ids. It can die (nothing of it happens any more) and stall (everything
 * of it happens later, time having gone on).
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock } from '../../src/runtime/clock.ts';
import type { Ids } from '../../src/runtime/ids.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

export class SimProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly #world: World;
  readonly #random: Random;
  isAlive = true;
  onCrash: (() => void) | undefined;
  #stalledUntil = 0;
  #stalled: Callback[] = [];
  #count = 0;

  constructor(world: World, name: string) {
    this.#world = world;
    this.#random = world.random.fork();
    this.name = name;
    // Its wall clock is wrong and its monotonic clock starts anywhere: neither may matter.
    const skew = Math.floor(this.#random.between(-3_600_000, 3_600_000));
    const origin = this.#random.between(0, 1_000_000);
    this.clock = {
      now: () => world.storeClock.now() + skew,
      monotonic: () => origin + world.time,
      schedule: (run, delay) => this.#later(delay, { run, isTimer: true }),
      defer: (run) => void this.after(0, run),
      settle: () => new Promise<void>((resolve) => this.after(0, resolve)),
    };
    const next = (): string => `${name}-${String((this.#count += 1)).padStart(6, '0')}`;
    this.ids = { next, nonce: next, random: () => this.#random.next() };
  }

  /** Calls `run` in this process, in the async context of the caller, as the platform's timers do. */
  after(delay: number, run: () => void): () => void {
    return this.#later(delay, { run, isTimer: false });
  }

  crash(): void {
    if (!this.isAlive) return;
    this.#world.note(() => `${this.name} crashes`);
    this.isAlive = false;
    this.#stalled = [];
    this.onCrash?.();
  }

  stall(ms: number): void {
    if (!this.isAlive || this.#world.time < this.#stalledUntil) return;
    this.#world.note(() => `${this.name} stalls for ${Math.round(ms)} ms`);
    this.#stalledUntil = this.#world.time + ms;
    this.#world.after(ms, () => {
      this.#world.note(() => `${this.name} goes on`);
      // The event loop looks at timers before it looks at sockets; on another platform it may be the other way round.
      if (this.#random.chance(0.7)) this.#stalled.sort((a, b) => Number(b.isTimer) - Number(a.isTimer));
      this.#catchUp();
    });
  }

  #later(delay: number, { run, isTimer }: { run: () => void; isTimer: boolean }): () => void {
    const inContext = AsyncLocalStorage.snapshot();
    let isCancelled = false;
    const call = (): void => {
      if (!isCancelled) inContext(run);
    };
    const cancel = this.#world.after(delay, () => this.#arrive({ run: call, isTimer }));
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  #arrive(callback: Callback): void {
    if (!this.isAlive) return;
    if (this.#world.time < this.#stalledUntil || this.#stalled.length > 0) this.#stalled.push(callback);
    else callback.run();
  }

  /** What came meanwhile happens now, one macrotask after another. */
  #catchUp(): void {
    if (this.#stalled.length === 0 || !this.isAlive) return;
    this.#world.after(0, () => {
      if (!this.isAlive || this.#world.time < this.#stalledUntil) return;
      this.#stalled.shift()?.run();
      this.#catchUp();
    });
  }
}

interface Callback {
  run: () => void;
  isTimer: boolean;
}
