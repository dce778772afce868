/** Claiming due runs. */

import type { Claim, ClaimOptions, ClaimRequest, ClaimResult } from '../../runtime/store.ts';
import { SUSPECT_ATTEMPTS } from '../../runtime/store.ts';
import { attemptsAfterClaim, claimedFrom } from '../rules.ts';
import { firstInLine, joinLane, leaveLane, takeSlots } from './lanes.ts';
import { copyRun, dropHolder, setDue } from './state.ts';
import type { MemoryState, RunRecord } from './state.ts';

/** S6, S7: gives a run to a new holder. */
export function takeRun(state: MemoryState, taken: { record: RunRecord; claim: ClaimOptions }): Claim {
  const { record, claim } = taken;
  const { run } = record;
  const now = state.clock.now();
  const from = claimedFrom(run.status, record.origin);
  dropHolder(state, record);
  takeSlots(state, record);
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
  const token = { epoch: run.epoch, nonce: run.nonce ?? '' };
  return { run, token, from: record.origin, messages: record.inbox.slice(run.seen) };
}

export function claim(state: MemoryState, request: ClaimRequest): ClaimResult {
  const now = state.clock.now();
  const held = state.held.get(request.nonce);
  if (held !== undefined)
    return { claims: [...held].map(toClaim), nextDueInMs: nextDueBut(state, { request, held }), now };
  return { ...takeDue(state, request), now };
}

/** S8, S9, S31. Runs that were looked at leave their lanes meanwhile, and are back at the end. */
function takeDue(state: MemoryState, request: ClaimRequest): Pick<ClaimResult, 'claims' | 'nextDueInMs'> {
  const now = state.clock.now();
  const claims: Claim[] = [];
  const aside: RunRecord[] = [];
  let suspects = 0;
  let { first, opens } = firstInLine(state, { ...request, now });
  while (first !== undefined && (first.run.dueAt ?? now) <= now) {
    const isSuspect =
      attemptsAfterClaim(first.run.attempts, claimedFrom(first.run.status, first.origin)) >= SUSPECT_ATTEMPTS;
    const isPassed = isSuspect && suspects >= request.suspects;
    if (!isPassed && claims.length >= request.limit) break;
    if (isSuspect && !isPassed) suspects += 1;
    if (!isPassed) claims.push(takeRun(state, { record: first, claim: request }));
    leaveLane(state, first);
    aside.push(first);
    ({ first, opens } = firstInLine(state, { ...request, now }));
  }
  for (const record of aside) joinLane(state, record);
  const dueAt = first?.run.dueAt ?? Infinity;
  const next = Math.min(dueAt, opens ?? Infinity);
  return { claims, nextDueInMs: next === Infinity ? null : Math.max(0, next - now) };
}

function nextDueBut(state: MemoryState, but: { request: ClaimRequest; held: Set<RunRecord> }): number | null {
  const aside = [...but.held].filter((record) => record.lane !== null);
  for (const record of aside) leaveLane(state, record);
  const heldSuspects = [...but.held].filter((record) => record.run.attempts >= SUSPECT_ATTEMPTS).length;
  const { nextDueInMs } = takeDue(state, { ...but.request, limit: 0, suspects: but.request.suspects - heldSuspects });
  for (const record of aside) joinLane(state, record);
  return nextDueInMs;
}
