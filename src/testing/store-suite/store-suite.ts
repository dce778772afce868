/**
 * The contract of stores as a suite of tests: one spec file per operation, the obligations of `runtime/store.ts` in each.
 * Bring a test runner's `describe` and `it`.
 *
 * @example
 * describeStore({ describe, it }, async () => {
 *   const clock = manualClock();
 *   const store = myStore({ clock });
 *   return { store, advance: clock.advance, close: () => store.close() };
 * });
 */

import { describeClaim } from './claim.ts';
import { describeCommit } from './commit.ts';
import { describeCommitRefusals } from './commit-refusals.ts';
import { describeCompact } from './compact.ts';
import { describeControl } from './control.ts';
import { describeDeliver } from './deliver.ts';
import { describeEnding } from './ending.ts';
import { describeGc } from './gc.ts';
import type { DescribeOperation } from './kit.ts';
import { describeLedger } from './ledger.ts';
import { describeLifecycle } from './lifecycle.ts';
import { describeLimits } from './limits.ts';
import { describeLoad } from './load.ts';
import { describeParts } from './parts.ts';
import { describeQueries } from './queries.ts';
import { describeRead } from './read.ts';
import { describeStart } from './start.ts';
import { describeTrim } from './trim.ts';

/** All specs. Each test makes its own store and closes it. */
export const describeStore: DescribeOperation = (runner, makeStore, options) => {
  for (const describeOne of [
    describeStart,
    describeClaim,
    describeLimits,
    describeLoad,
    describeCommit,
    describeCommitRefusals,
    describeEnding,
    describeDeliver,
    describeControl,
    describeRead,
    describeQueries,
    describeLedger,
    describeGc,
    describeTrim,
    describeCompact,
    describeParts,
    describeLifecycle,
  ]) {
    describeOne(runner, makeStore, options);
  }
};
