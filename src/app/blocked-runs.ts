/** Which limit keeps a due run waiting. */

import { blockingKey } from '../runtime/limits.ts';
import type { Run, Store } from '../runtime/store.ts';
import { toRunInfo } from './run-info.ts';
import type { RunInfo } from './run-info.ts';

/** Rows with what blocks them now: one question for all of them, and none if no limit can be in the way. */
export async function toRunInfos(
  rows: readonly Run[],
  { store, now }: { store: Pick<Store, 'limits'>; now: number },
): Promise<RunInfo[]> {
  const due = rows.filter((row) => row.limits.length > 0 && isDue(row, now));
  const keys = [...new Set(due.flatMap((row) => row.limits.map(({ key }) => key)))];
  const uses = keys.length === 0 ? [] : await store.limits(keys);
  const byKey = new Map(uses.map((use) => [use.key, use]));
  return rows.map((row) =>
    Object.assign(toRunInfo(row), due.includes(row) ? { blockedBy: blockingKey(row, byKey) } : {}),
  );
}

function isDue({ status, dueAt }: Run, now: number): boolean {
  return status === 'ready' || (status === 'waiting' && dueAt !== null && dueAt <= now);
}
