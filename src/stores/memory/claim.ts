/** Claiming due runs. */

import type { Claim, ClaimOptions, ClaimRequest, ClaimResult } from '../../runtime/store.ts';
import { SUSPECT_ATTEMPTS } from '../../runtime/store.ts';
import { attemptsAfterClaim, claimedFrom } from '../rules.ts';
import { copyRun, heapOf, release, setDue } from './state.ts';
import type { MemoryState, RunRecord } from './state.ts';

/** S6, S7: gives a run to a new holder. */
export function takeRun(state: MemoryState, taken: { record: RunRecord; claim: ClaimOptions }): Claim {
  const { record, claim } = taken;
  const { run } = record;
  const now = state.clock.now();
  const from = claimedFrom(run.status, record.origin);
  release(state, record);
  record.origin = from;
  run.attempts = attemptsAfterClaim(run.attempts, from);
  run.status = 'running';
  run.epoch += 1;
  run.nonce = claim.nonce;
  record.commits = 0;
  run.updatedAt = now;
  setDue(state, { record, dueAt: now + claim.leaseMs });
  const held = state.held.get(claim.nonce);
  if (held === undefined) state.held.set(claim.nonce, new Set([record]));
  else held.add(record);
  return toClaim(record);
}

function toClaim(record: RunRecord): Claim {
  const run = copyRun(record.run);
  return { run, token: { epoch: run.epoch, nonce: run.nonce ?? '' }, from: record.origin };
}

export function claim(state: MemoryState, request: ClaimRequest): ClaimResult {
  const now = state.clock.now();
  const held = state.held.get(request.nonce);
  if (held !== undefined)
    return { claims: [...held].map(toClaim), nextDueInMs: nextDueBut(state, { request, held }), now };
  const picked = pickDue(state, request);
  return {
    claims: picked.records.map((record) => takeRun(state, { record, claim: request })),
    nextDueInMs: picked.nextDueInMs,
    now,
  };
}

interface Picked {
  records: RunRecord[];
  nextDueInMs: number | null;
}

/** S8, S9. Due runs leave their heaps while this looks, and are back at the end. */
function pickDue(state: MemoryState, request: ClaimRequest): Picked {
  const now = state.clock.now();
  const records: RunRecord[] = [];
  const passed: RunRecord[] = [];
  let suspects = 0;
  let next = earliest(state, request.queues);
  while (next !== undefined && (next.run.dueAt ?? now) <= now) {
    const isSuspect =
      attemptsAfterClaim(next.run.attempts, claimedFrom(next.run.status, next.origin)) >= SUSPECT_ATTEMPTS;
    const isPassed = isSuspect && suspects >= request.suspects;
    if (!isPassed && records.length >= request.limit) break;
    if (isSuspect && !isPassed) suspects += 1;
    (isPassed ? passed : records).push(next);
    heapOf(state, next.run.queue).remove(next);
    next = earliest(state, request.queues);
  }
  const nextDueInMs = next === undefined ? null : Math.max(0, (next.run.dueAt ?? now) - now);
  for (const record of [...records, ...passed]) heapOf(state, record.run.queue).add(record);
  return { records, nextDueInMs };
}

function nextDueBut(state: MemoryState, but: { request: ClaimRequest; held: Set<RunRecord> }): number | null {
  const now = state.clock.now();
  const aside = [...but.held].filter((record) => record.slot >= 0);
  for (const record of aside) heapOf(state, record.run.queue).remove(record);
  const heldSuspects = [...but.held].filter((record) => record.run.attempts >= SUSPECT_ATTEMPTS).length;
  const { nextDueInMs } = pickDue(state, { ...but.request, limit: 0, suspects: but.request.suspects - heldSuspects });
  for (const record of aside) setDue(state, { record, dueAt: record.run.dueAt ?? now });
  return nextDueInMs;
}

function earliest(state: MemoryState, queues: string[]): RunRecord | undefined {
  let found: RunRecord | undefined;
  for (const queue of queues) {
    const first = state.due.get(queue)?.first();
    if (first === undefined) continue;
    const due = first.run.dueAt ?? 0;
    const least = found?.run.dueAt ?? Infinity;
    if (due < least || (due === least && found !== undefined && first.order < found.order)) found = first;
  }
  return found;
}
