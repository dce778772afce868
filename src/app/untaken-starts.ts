/** Looks after what this process starts for others to execute: if nobody takes it, that is told. */

import type { WayIn } from '../runtime/admission.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/logger.ts';
import { codeOf } from '../runtime/store-calls.ts';
import type { Run, Store } from '../runtime/store.ts';
import { toRunInfos } from './blocked-runs.ts';

/** From a start to the look at it. */
const LOOK_MS = 10_000;
/** From a look to the next one at another run of the queue: stores may be billed by calls. */
const REST_MS = 300_000;

export interface UntakenStartsParts {
  store: Store;
  clock: Clock;
  logger: Logger;
  /** What this process executes itself. */
  queues: readonly string[];
}

export class UntakenStarts {
  readonly #parts: UntakenStartsParts;
  /** By queue: not before this (monotonic) is a start watched again. */
  readonly #restsUntil = new Map<string, number>();
  readonly #looks = new Set<() => void>();
  #isClosed = false;

  constructor(parts: UntakenStartsParts) {
    this.#parts = parts;
  }

  around(way: WayIn): WayIn {
    return {
      start: async (run) => {
        const answer = await way.start(run);
        if (answer?.kind === 'created' && answer.run.status === 'ready') this.#watch(answer.run);
        return answer;
      },
      deliver: (delivery) => way.deliver(delivery),
    };
  }

  close(): void {
    this.#isClosed = true;
    for (const cancel of this.#looks) cancel();
  }

  #watch({ id, queue }: Run): void {
    const { clock, queues } = this.#parts;
    const now = clock.monotonic();
    if (this.#isClosed || queues.includes(queue) || (this.#restsUntil.get(queue) ?? 0) > now) return;
    this.#restsUntil.set(queue, now + LOOK_MS + REST_MS);
    const cancel = clock.schedule(() => {
      this.#looks.delete(cancel);
      void this.#look(id);
    }, LOOK_MS);
    this.#looks.add(cancel);
  }

  async #look(id: string): Promise<void> {
    const { store, clock, logger } = this.#parts;
    try {
      const row = await store.get(id);
      if (row === null || row.epoch > 0 || row.status !== 'ready') return;
      const [info] = await toRunInfos([row], { store, now: clock.now() });
      if (info === undefined || info.blockedBy !== null) return;
      const { queue } = row;
      logger.warn(
        { run: id, queue },
        `the run "${id}" was started ${LOOK_MS / 1_000} s ago, and no worker that executes ${queue} takes it: ` +
          'start a process on this store whose runtime has it and a worker, or see why those that have one are busy',
      );
    } catch (error) {
      if (this.#isClosed) return;
      logger.warn({ run: id, code: codeOf(error), err: error }, 'it could not be seen whether a worker takes the run');
    }
  }
}
