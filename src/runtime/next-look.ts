/** When a run that waits is looked at again without having been called. */

import type { RunCore } from './run-core.ts';

const FIRST_LOOK_MS = 10_000;
/** Code that has not come back by then is not waited for any more. */
const GIVEN_UP_MS = 20 * 60_000;

/**
 * Its next timer; before that, ever more rarely, a look whether code that nobody sees has gone on. The time since the last release
 * is the time to the next look: it doubles each time, in whatever process.
 */
export function nextLookAt(core: RunCore): number | null {
  const { nextDueAt } = core.timers;
  const now = core.storeNow();
  const silentMs = now - core.now();
  if (!core.codeMayRun || silentMs > GIVEN_UP_MS) return nextDueAt;
  return Math.min(nextDueAt ?? Infinity, now + Math.max(FIRST_LOOK_MS, silentMs));
}
