/** When a run that waits is looked at again without having been called. */

import type { RunCore } from './run-core.ts';

const FIRST_LOOK_MS = 10_000;
/** Code that has not come back by then is not waited for any more. */
const GIVEN_UP_MS = 20 * 60_000;
/** From one look to the next. */
export const LONGEST_TO_LOOK_MS: number = GIVEN_UP_MS;

/**
 * Its next timer; before that, ever more rarely, a look whether code that nobody sees has gone on. The time since the journal has
 * heard of it is the time to the next look: it doubles each time, in whatever process.
 */
export function nextLookAt(core: RunCore): number | null {
  const { nextDueAt } = core.timers;
  if (!core.codeMayRun || isGivenUp(core)) return nextDueAt;
  return Math.min(nextDueAt ?? Infinity, core.storeNow() + Math.max(FIRST_LOOK_MS, silentMs(core)));
}

/** Code has gone on whose memory was given up: says so, and answers whether its run is woken for that. */
export function runsAgain(core: RunCore): boolean {
  const isWorthIt = !isGivenUp(core);
  core.logger.warn(
    { code: 'runtime_closed' },
    'the code awaited something that is not durable while the run waited, and its memory was given up: ' +
      `it runs again${isWorthIt ? '' : ' when what it waits for has come'}; put this await into step()`,
  );
  return isWorthIt;
}

/** Nothing has been heard of its code for so long that nobody waits for it. */
function isGivenUp(core: RunCore): boolean {
  return silentMs(core) > GIVEN_UP_MS;
}

function silentMs(core: RunCore): number {
  return core.storeNow() - Math.max(core.run.createdAt, core.journal.heardAt);
}
