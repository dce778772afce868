/** Why runs that are due do not execute. */

import { blockingKey } from '../runtime/limits.ts';
import type { LimitUse, Run, Store } from '../runtime/store.ts';
import { toRunInfo } from './run-info.ts';
import type { RunInfo } from './run-info.ts';

/** A worker that has room takes a run sooner. */
const LATE_MS = 5_000;

/** Rows with what holds them up now: one question for all of them, and none if no limit can be in the way. */
export async function toRunInfos(
  rows: readonly Run[],
  { store, now }: { store: Pick<Store, 'limits'>; now: number },
): Promise<RunInfo[]> {
  const limited = rows.filter((row) => row.limits.length > 0 && isDue(row, now));
  const keys = [...new Set(limited.flatMap((row) => row.limits.map(({ key }) => key)))];
  const uses = keys.length === 0 ? [] : await store.limits(keys);
  const byKey = new Map(uses.map((use) => [use.key, use]));
  return rows.map((row) => Object.assign(toRunInfo(row), obstacleOf(row, { byKey, now })));
}

function obstacleOf(
  row: Run,
  { byKey, now }: { byKey: ReadonlyMap<string, LimitUse>; now: number },
): Partial<Pick<RunInfo, 'blockedBy' | 'waitsForWorker'>> {
  if (!isDue(row, now)) return {};
  const blockedBy = row.status === 'running' ? null : blockingKey(row, byKey);
  const isLate = row.dueAt !== null && now - row.dueAt > LATE_MS;
  return { blockedBy, waitsForWorker: blockedBy === null && isLate ? row.queue : null };
}

/** It could be claimed: it is ready, its time has come, or the lease of its holder has ended. */
function isDue({ status, dueAt }: Run, now: number): boolean {
  return status === 'ready' || ((status === 'waiting' || status === 'running') && dueAt !== null && dueAt <= now);
}
