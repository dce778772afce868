/**
 * Executing runs only while somebody drives: what a process does that lives for the length of a request.
 *
 *  D1 Each drive has a worker of its own. It claims what is due until nothing is, or until its time is up; then it yields at boundaries,
 *     and in the last eighth of its time it aborts bodies, which run again elsewhere.
 *  D2 What this process starts and delivers goes to the youngest drive, as to the worker of a process that has one.
 */

import type { WayIn } from './admission.ts';
import type { Clock } from './clock.ts';
import { DurableError } from './errors.ts';
import type { Worker } from './worker.ts';

export interface DriveOptions {
  /** How long it may take, in ms. What is not done by then goes on in the next drive. */
  maxDurationMs: number;
  /** Drive at least until this is settled: the answer to the request that starts a run. */
  until?: Promise<unknown>;
}

export interface Drive {
  /** When the next run is due, as far as is known; 0: at once; null: none is. */
  nextDueInMs: number | null;
}

/** Throws `invalid_argument`. */
export function assertDriven(driving: Driving | null): Driving {
  if (driving !== null) return driving;
  throw new DurableError(
    'invalid_argument',
    'Cannot drive runs: this runtime executes them in the background, or not at all. Create it with worker: { background: false }.',
  );
}

const MOST_GRACE_MS = 5_000;

export interface DrivingParts {
  clock: Clock;
  makeWorker: (idle: (nextDueInMs: number | null) => void) => Worker;
  /** Without a drive. */
  wayIn: WayIn;
}

export class Driving {
  readonly #parts: DrivingParts;
  readonly #workers = new Set<Worker>();
  readonly #drives = new Set<Promise<unknown>>();

  constructor(parts: DrivingParts) {
    this.#parts = parts;
  }

  get worker(): Worker | undefined {
    return [...this.#workers].at(-1);
  }

  /** D2 */
  get wayIn(): WayIn {
    const way = (): WayIn => this.worker?.admission ?? this.#parts.wayIn;
    return { start: (run) => way().start(run), deliver: (delivery) => way().deliver(delivery) };
  }

  /** Throws `invalid_argument`. */
  drive(options: DriveOptions): Promise<Drive> {
    if (!(options?.maxDurationMs > 0))
      throw new DurableError(
        'invalid_argument',
        'Cannot drive runs without a time: write drive({ maxDurationMs: 25_000 }).',
      );
    const driving = this.#drive(options).finally(() => this.#drives.delete(driving));
    this.#drives.add(driving);
    return driving;
  }

  async close(graceMs: number): Promise<void> {
    await Promise.all(Array.from(this.#workers, (worker) => worker.close(graceMs)));
    await Promise.allSettled(this.#drives);
  }

  /** D1 */
  async #drive({ maxDurationMs, until }: DriveOptions): Promise<Drive> {
    const graceMs = Math.min(MOST_GRACE_MS, maxDurationMs / 4);
    let isHeld = until !== undefined;
    const over = Promise.withResolvers<Drive>();
    const worker = this.#parts.makeWorker((nextDueInMs) => {
      if (!isHeld) over.resolve({ nextDueInMs });
    });
    const letGo = (): void => {
      isHeld = false;
      worker.look();
    };
    until?.then(letGo, letGo);
    this.#workers.add(worker);
    worker.open();
    const cancel = this.#parts.clock.schedule(() => over.resolve({ nextDueInMs: 0 }), maxDurationMs - graceMs);
    const drive = await over.promise;
    cancel();
    this.#workers.delete(worker);
    await worker.close(graceMs / 2);
    return drive;
  }
}
