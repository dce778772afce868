/** What a held run tells the worker that has it. */

import type { HeldRun } from './held-run.ts';

export interface HeldRunHost {
  /** It waits, until `dueAt` if nothing comes before; its continuation may be kept. */
  suspended(held: HeldRun, dueAt: number | null): void;
  /** It has left this process: ended, parked, yielded or lost. */
  finished(held: HeldRun, how: 'ended' | 'parked' | 'yielded' | 'lost'): void;
  /** Its lease ran out while this process did not look; it writes nothing until a claim says who holds it. */
  stale(held: HeldRun): void;
  /** A run that had made no progress over several claims has made some. */
  progressed(held: HeldRun): void;
  /** A suspended continuation asked for something durable. */
  wake(held: HeldRun): void;
  request(held: HeldRun): void;
  /** It has chunks for the next flush. */
  requestFlush(held: HeldRun): void;
}
