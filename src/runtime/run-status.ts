/** What the row of a run says of its life. */

import type { Run } from './store.ts';

/** False while it is queued, and for one that ended there: nothing of it reached a model, so it is no part of its thread's history. */
export function hasBegun({ status, endedAt, epoch }: Pick<Run, 'status' | 'endedAt' | 'epoch'>): boolean {
  return status !== 'queued' && (endedAt === null || epoch > 0);
}
