/** Decisions that every store takes alike. Pure: rows in, answers out; each store reads and writes its own rows. */

import { DurableError } from '../runtime/errors.ts';
import { SUSPECT_ATTEMPTS } from '../runtime/store.ts';
import type {
  Claim,
  Commit,
  DeliverClaim,
  Delivery,
  EndStatus,
  HookKind,
  Limit,
  LimitUse,
  Message,
  NewRun,
  Payload,
  Responder,
  Run,
  RunStatus,
} from '../runtime/store.ts';

/** What a run came to its holder from, or will come from once it is due. */
export type Origin = Claim['from'];

/** How a run ends. The store ends runs by itself without an error payload: it cannot encode one. */
export interface Ending {
  status: EndStatus;
  result: Payload | null;
  error: Payload | null;
  errorCode: string | null;
}

export const CANCELLED_BY_STORE: Ending = { status: 'cancelled', result: null, error: null, errorCode: 'cancelled' };
export const TERMINATED: Ending = { status: 'failed', result: null, error: null, errorCode: 'terminated' };

/** Has its thread to itself. */
export function isActive(status: RunStatus): boolean {
  return status === 'ready' || status === 'running' || status === 'waiting' || status === 'parked';
}

/** S27: whether `trim` leaves a stream of a run that has not ended alone. */
export function isSpared(stream: string, spare: string[]): boolean {
  return spare.some((name) => (name.endsWith(':') ? stream.startsWith(name) : stream === name));
}

/** S10: whether a start with a known id asks for the same run. */
export function isSameStart(known: Pick<Run, 'workflow' | 'inputHash'>, start: NewRun): boolean {
  return known.workflow === start.workflow && known.inputHash === start.inputHash;
}

/** The row of a run that was just created. */
export function createdRun(start: NewRun, at: { now: number; status: 'ready' | 'queued' }): Run {
  return {
    id: start.id,
    workflow: start.workflow,
    version: start.version,
    queue: start.queue,
    thread: start.thread,
    tenant: start.tenant,
    input: start.input,
    inputHash: start.inputHash,
    attributes: { ...start.attributes },
    parent: start.parent === null ? null : { ...start.parent },
    supersedes: start.supersedes,
    limits: start.limits.map((limit) => ({ ...limit })),
    status: at.status,
    dueAt: at.status === 'ready' ? at.now : null,
    epoch: 0,
    nonce: null,
    lastCommit: null,
    head: 0,
    checkpoint: 0,
    inboxHead: 0,
    seen: 0,
    cancel: false,
    attempts: 0,
    suspects: null,
    result: null,
    error: null,
    errorCode: null,
    parked: null,
    createdAt: at.now,
    updatedAt: at.now,
    endedAt: null,
  };
}

/** S7: what a claim of a due run counts as; `origin` is what its row says. */
export function claimedFrom(status: RunStatus, origin: Origin): Origin {
  return status === 'running' ? 'lease' : origin;
}

/** S7 */
export function attemptsAfterClaim(attempts: number, from: Origin): number {
  return from === 'start' || from === 'lease' ? attempts + 1 : attempts;
}

/** S21: what a hook must be to take a delivery. */
export function hookKindFor({ to, decision }: Pick<Delivery, 'to' | 'decision'>): HookKind {
  if (decision !== undefined) return 'approval';
  return ('hook' in to ? to.kind : undefined) ?? 'hook';
}

/** S20: whether the run that took a message goes to the one who brought it. */
export function isClaimedWithDelivery(
  run: { status: RunStatus; queue: string; attempts: number; hasLimits: boolean },
  { claim, origin }: { claim: DeliverClaim; origin: Origin },
): boolean {
  const isSuspect = attemptsAfterClaim(run.attempts, claimedFrom(run.status, origin)) >= SUSPECT_ATTEMPTS;
  return run.status === 'ready' && !run.hasLimits && claim.queues.includes(run.queue) && !isSuspect;
}

/** S30: what a claim of the run asks for; `origin` is what its row says. */
export function askedLimits(
  limits: readonly Limit[],
  { status, origin }: { status: RunStatus; origin: Origin },
): readonly Limit[] {
  if (status === 'running') return [];
  return origin === 'start' ? limits : limits.filter(isConcurrency);
}

/** Of those a running run has a slot each. */
export function isConcurrency(limit: Limit): boolean {
  return limit.perMs === undefined;
}

/** S30: since when the key has room: now, from the end of a window on, or not before a slot is released (null). */
export function opensAt(limit: Limit, { use, now }: { use: LimitUse | undefined; now: number }): number | null {
  if (use === undefined) return now;
  if (isConcurrency(limit)) return use.held < limit.most ? now : null;
  const isOpen = use.windowEnd === null || use.windowEnd <= now || use.begun < limit.most;
  return isOpen ? now : use.windowEnd;
}

/** The use of a rate after one more run began. */
export function begunOnce(limit: Limit, { use, now }: { use: LimitUse; now: number }): LimitUse {
  if (limit.perMs === undefined) return use;
  if (use.windowEnd === null || use.windowEnd <= now) return { ...use, begun: 1, windowEnd: now + limit.perMs };
  return { ...use, begun: use.begun + 1 };
}

/** S34: a window that has ended is none. */
export function currentUse(use: LimitUse, now: number): LimitUse {
  return use.windowEnd === null || use.windowEnd > now ? use : { ...use, begun: 0, windowEnd: null };
}

/** S17: when the lease of a run that goes on ends; null if it stays as it is. */
export function extendedLease(
  commit: Pick<Commit, 'then' | 'leaseMs'>,
  row: { dueAt: number | null; now: number },
): number | null {
  if (commit.then.kind !== 'run') return null;
  const left = (row.dueAt ?? row.now) - row.now;
  return commit.then.heartbeat === true || left * 3 < commit.leaseMs * 2 ? row.now + commit.leaseMs : null;
}

/** S21: whether the answers so far decide an approval. */
export function isDecided(responders: Responder[], needed: number): boolean {
  return responders.some((responder) => !responder.approved) || responders.length >= needed;
}

/** S22: the run that an unread user message of a terminated run becomes. */
export function handedOver(run: Run, message: Message): NewRun {
  return {
    id: message.id,
    workflow: run.workflow,
    version: run.version,
    queue: run.queue,
    thread: run.thread,
    tenant: run.tenant,
    input: message.payload,
    inputHash: message.inputHash ?? '',
    attributes: run.attributes,
    parent: null,
    supersedes: null,
    limits: run.limits,
    whenBusy: 'queue',
  };
}

const NOTHING: Payload = new Uint8Array(0);

/** S18: what a parent is told; empty if the run ended with neither result nor error. */
export function childPayload(ending: Ending): Payload {
  return ending.result ?? ending.error ?? NOTHING;
}

/** The number of items of a page. */
export function pageSize(limit: number | undefined, bounds: { normal: number; most: number }): number {
  return Math.max(1, Math.min(limit ?? bounds.normal, bounds.most));
}

export function closedError(name: string): DurableError {
  return new DurableError('store_unavailable', `Cannot use the ${name} store: it was closed. Open a new one.`);
}

/** What a claim brings of a run's messages at most: it may bring many runs. */
export const MOST_WITH_CLAIM = { messages: 16, bytes: 16_384 };
