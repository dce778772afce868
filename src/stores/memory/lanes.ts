/**
 * Where due runs stand in line, and the slots of limits (S30 to S34).
 *
 *  L1 A lane holds the due runs of one queue that ask for the same keys; those that ask for none stand in the lane without keys, as do
 *     running ones, whose time is the end of their lease.
 *  L2 The runs of a lane are blocked together, so a claim looks at the first of each lane alone.
 */

import type { Limit, LimitUse } from '../../runtime/store.ts';
import { askedLimits, begunOnce, currentUse, isConcurrency, opensAt } from '../rules.ts';
import { DueHeap } from './due-heap.ts';
import type { MemoryState, RunRecord } from './state.ts';

export interface Lane {
  id: string;
  queue: string;
  limits: readonly Limit[];
  heap: DueHeap<RunRecord>;
}

/** The record has its due time. */
export function joinLane(state: MemoryState, record: RunRecord): void {
  const { run, origin } = record;
  const limits = askedLimits(run.limits, { status: run.status, origin });
  const lane = laneOf(state, { queue: run.queue, limits });
  lane.limits = limits;
  lane.heap.add(record);
  record.lane = lane;
}

/** Nothing happens to a run that is in none. */
export function leaveLane(state: MemoryState, record: RunRecord): void {
  const { lane } = record;
  if (lane === null) return;
  lane.heap.remove(record);
  record.lane = null;
  const lanes = state.due.get(lane.queue);
  if (lane.heap.first() === undefined && lanes?.get(lane.id) === lane) lanes.delete(lane.id);
}

/** S31 */
function laneOf(state: MemoryState, { queue, limits }: { queue: string; limits: readonly Limit[] }): Lane {
  const id = JSON.stringify(limits.map(({ key }) => key));
  let lanes = state.due.get(queue);
  if (lanes === undefined) {
    lanes = new Map();
    state.due.set(queue, lanes);
  }
  const known = lanes.get(id);
  if (known !== undefined) return known;
  const lane: Lane = { id, queue, limits, heap: new DueHeap() };
  lanes.set(id, lane);
  return lane;
}

/** The run whose turn it is or will be, and when the first of those that a rate blocks may have theirs. */
export function firstInLine(
  state: MemoryState,
  { queues, now }: { queues: readonly string[]; now: number },
): { first: RunRecord | undefined; opens: number | null } {
  let first: RunRecord | undefined;
  let opens: number | null = null;
  for (const queue of new Set(queues)) {
    for (const lane of state.due.get(queue)?.values() ?? []) {
      const record = lane.heap.first();
      if (record === undefined) continue;
      const at = (record.run.dueAt ?? now) > now ? now : laneOpensAt(state, { lane, now });
      if (at === now) first = isBefore(record, first) ? record : first;
      else if (at !== null) opens = Math.min(at, opens ?? at);
    }
  }
  return { first, opens };
}

/** S30: of the first key that is full. */
function laneOpensAt(state: MemoryState, { lane, now }: { lane: Lane; now: number }): number | null {
  for (const limit of lane.limits) {
    const at = opensAt(limit, { use: state.limits.get(limit.key), now });
    if (at !== now) return at;
  }
  return now;
}

function isBefore(record: RunRecord, other: RunRecord | undefined): boolean {
  if (other === undefined) return true;
  const difference = (record.run.dueAt ?? 0) - (other.run.dueAt ?? 0);
  return difference < 0 || (difference === 0 && record.order < other.order);
}

/** What a claim of the run takes; before its status changes. */
export function takeSlots(state: MemoryState, { run, origin }: RunRecord): void {
  const now = state.clock.now();
  for (const limit of askedLimits(run.limits, { status: run.status, origin })) {
    const use = useOf(state, limit.key);
    state.limits.set(limit.key, isConcurrency(limit) ? { ...use, held: use.held + 1 } : begunOnce(limit, { use, now }));
  }
}

/** Of a running run that goes on no longer. */
export function releaseSlots(state: MemoryState, { run }: RunRecord): void {
  for (const { key } of run.limits.filter(isConcurrency)) {
    const use = useOf(state, key);
    if (use.held > 1) state.limits.set(key, { ...use, held: use.held - 1 });
    else state.limits.delete(key);
    state.hints.push({ kind: 'due' });
  }
}

function useOf(state: MemoryState, key: string): LimitUse {
  return state.limits.get(key) ?? { key, held: 0, begun: 0, windowEnd: null };
}

/** S34 */
export function limitUses(state: MemoryState, keys: readonly string[]): LimitUse[] {
  const now = state.clock.now();
  return keys.map((key) => ({ ...currentUse(useOf(state, key), now) }));
}

/** Of rates, whose windows have ended. */
export function forgetWindows(state: MemoryState): void {
  const now = state.clock.now();
  for (const [key, { windowEnd }] of state.limits) if (windowEnd !== null && windowEnd <= now) state.limits.delete(key);
}
