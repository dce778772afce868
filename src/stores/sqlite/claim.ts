/** Claiming due runs. */

import type { Claim, ClaimOptions, ClaimRequest, ClaimResult, Run } from '../../runtime/store.ts';
import { SUSPECT_ATTEMPTS } from '../../runtime/store.ts';
import { attemptsAfterClaim, claimedFrom } from '../rules.ts';
import type { Origin } from '../rules.ts';
import type { Lane, Lanes } from './lanes.ts';
import { allRows } from './rows.ts';
import type { Runs } from './runs.ts';
import type { OpenFile } from './open-file.ts';

export interface Claims {
  /** The answer to a claim that finds nothing due, without a transaction; null if there is something to do. */
  idle(request: ClaimRequest): ClaimResult | null;
  claim(request: ClaimRequest): ClaimResult;
  /** S6, S7: gives a run to a new holder. */
  take(id: string, claim: ClaimOptions): Claim;
}

interface DueRow {
  key: number;
  id: string;
  due_at: number;
  is_suspect: number;
}

/** S8, in SQL: a claim would leave it with so many attempts. */
const IS_SUSPECT = `attempts + (status = 'running' OR origin = 'start') >= ${SUSPECT_ATTEMPTS}`;
const DUE_RUNS = `SELECT key, id, due_at, ${IS_SUSPECT} AS is_suspect FROM runs WHERE queue = ? AND lane = 0 AND due_at <= ?`;

/** All that looks for due runs that ask for no limit; each goes through the index of due runs alone, however many others there are. */
export const DUE_QUERIES = {
  first: 'SELECT due_at FROM runs WHERE queue = ? AND lane = 0 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1',
  clean: `${DUE_RUNS} AND NOT (${IS_SUSPECT}) ORDER BY due_at, key LIMIT ?`,
  suspects: `${DUE_RUNS} AND ${IS_SUSPECT} ORDER BY due_at, key LIMIT ?`,
  later: 'SELECT id, due_at FROM runs WHERE queue = ? AND lane = 0 AND due_at > ? ORDER BY due_at LIMIT ?',
};

/**
 * Nonces of claims that may be repeated, with the runs that they got. Only this store's callers know them, so they need not
 * outlive it; whether a run is still held is read from its row.
 */
const REMEMBERED = 256;

export function prepareClaims(file: OpenFile, { runs, lanes }: { runs: Runs; lanes: Lanes }): Claims {
  const { db, clock } = file;
  const got = new Map<string, string[]>();
  const first = db.prepare(DUE_QUERIES.first);
  const take = prepareTake(file, { runs, lanes });
  const takeDue = prepareTakeDue(file, { lanes, take });

  const remember = (nonce: string, ids: string[]): void => {
    got.set(nonce, [...(got.get(nonce) ?? []), ...ids]);
    const oldest = got.keys().next();
    if (got.size > REMEMBERED && oldest.done !== true) got.delete(oldest.value);
  };
  const stillHeld = (nonce: string): Run[] =>
    (got.get(nonce) ?? [])
      .map((id) => runs.full(id))
      .filter((run): run is Run => run?.status === 'running' && run.nonce === nonce);

  return {
    idle(request) {
      if (got.has(request.nonce)) return null;
      const now = clock.now();
      const due = request.queues
        .flatMap((queue) => [
          (first.get(queue) as { due_at: number } | undefined)?.due_at ?? null,
          lanes.nextAt(queue, { after: -1 }),
        ])
        .filter((at) => at !== null);
      if (due.some((at) => at <= now)) return null;
      return { claims: [], nextDueInMs: due.length === 0 ? null : Math.min(...due) - now, now };
    },
    claim(request) {
      const now = clock.now();
      const held = stillHeld(request.nonce);
      if (held.length > 0) {
        const suspects = request.suspects - held.filter((run) => run.attempts >= SUSPECT_ATTEMPTS).length;
        const { nextDueInMs } = takeDue({ ...request, limit: 0, suspects }, new Set(held.map((run) => run.id)));
        return { claims: held.map((run) => toClaim(runs, run)), nextDueInMs, now };
      }
      const { claims, nextDueInMs } = takeDue(request, new Set());
      remember(
        request.nonce,
        claims.map(({ run }) => run.id),
      );
      return { claims, nextDueInMs, now };
    },
    take(id, claim) {
      remember(claim.nonce, [id]);
      return take(id, claim);
    },
  };
}

function toClaim(runs: Runs, run: Run): Claim {
  return { run, token: { epoch: run.epoch, nonce: run.nonce ?? '' }, from: runs.brief(run.id)?.origin ?? 'lease' };
}

function prepareTake({ db, clock }: OpenFile, { runs, lanes }: { runs: Runs; lanes: Lanes }): Claims['take'] {
  const update = db.prepare(
    "UPDATE runs SET status = 'running', epoch = epoch + 1, nonce = ?, commits = 0, attempts = ?, origin = ?, due_at = ?, updated_at = ? WHERE key = ?",
  );
  return (id, claim) => {
    const row = runs.brief(id);
    if (row === undefined) throw new Error(`The run "${id}" vanished within a transaction.`);
    const now = clock.now();
    const from: Origin = claimedFrom(row.status, row.origin);
    update.run(claim.nonce, attemptsAfterClaim(row.attempts, from), from, now + claim.leaseMs, now, row.key);
    lanes.taken(row);
    const run = runs.known(id);
    return { run, token: { epoch: run.epoch, nonce: claim.nonce }, from };
  };
}

type TakeDue = (request: ClaimRequest, held: Set<string>) => Pick<ClaimResult, 'claims' | 'nextDueInMs'>;

/** S32: lanes that one claim puts behind full keys; the next claim goes on. */
const MOST_BLOCKED = 100;

/** S8, S9, S31. `held` are not looked at. */
function prepareTakeDue(file: OpenFile, { lanes, take }: { lanes: Lanes; take: Claims['take'] }): TakeDue {
  const readDue = prepareReadDue(file);
  return (request, held) => {
    const now = file.clock.now();
    const queues = [...new Set(request.queues)];
    lanes.openWindows(queues);
    const { due, laterAt } = readDue({ ...request, queues }, held);
    const line = createLine(due, { lanes, queues, now });
    const claims: Claim[] = [];
    let suspects = 0;
    let next = line.next(suspects < request.suspects);
    while (next !== undefined && claims.length < request.limit && line.blocked <= MOST_BLOCKED) {
      claims.push(take(next.id, request));
      if (next.isSuspect) suspects += 1;
      line.passed(next);
      next = line.next(suspects < request.suspects);
    }
    if (next !== undefined || line.blocked > MOST_BLOCKED) return { claims, nextDueInMs: 0 };
    const times = [...laterAt, ...queues.map((queue) => lanes.nextAt(queue, { after: now }))].filter(
      (at) => at !== null,
    );
    return { claims, nextDueInMs: times.length === 0 ? null : Math.max(0, Math.min(...times) - now) };
  };
}

interface InLine {
  id: string;
  isSuspect: boolean;
  lane: Lane | undefined;
}

interface Line {
  /** Whose turn it is; undefined if nobody is due whose keys have room. */
  next(takesSuspects: boolean): InLine | undefined;
  passed(one: InLine): void;
  /** How many lanes were found blocked. */
  readonly blocked: number;
}

/** The runs without limits and the lanes, merged in the order of S5. */
function createLine(due: DueRow[], { lanes, queues, now }: { lanes: Lanes; queues: string[]; now: number }): Line {
  let [at, blocked] = [0, 0];
  let known: { lane: Lane | undefined; suspects: boolean } | undefined;
  const firstLane = (suspects: boolean): Lane | undefined => {
    if (known?.suspects !== suspects) known = { lane: lanes.due(queues, { now, suspects }), suspects };
    return known.lane;
  };
  return {
    get blocked() {
      return blocked;
    },
    passed({ lane }) {
      if (lane === undefined) at += 1;
      else known = undefined;
    },
    next(takesSuspects) {
      if (!takesSuspects) at = firstHealthy(due, at);
      const row = due[at];
      for (let lane = firstLane(takesSuspects); lane !== undefined; lane = firstLane(takesSuspects)) {
        if (row !== undefined && !isBefore(lane, row)) break;
        const full = lanes.fullKey(lane);
        if (full === undefined) return { id: lane.id, isSuspect: lane.suspect === 1, lane };
        blocked += 1;
        if (blocked > MOST_BLOCKED) return undefined;
        lanes.block(lane, full);
        known = undefined;
      }
      return row === undefined ? undefined : { id: row.id, isSuspect: row.is_suspect === 1, lane: undefined };
    },
  };
}

function firstHealthy(due: DueRow[], from: number): number {
  let at = from;
  while (due[at]?.is_suspect === 1) at += 1;
  return at;
}

function isBefore(lane: Lane, row: DueRow): boolean {
  return lane.head_at < row.due_at || (lane.head_at === row.due_at && lane.head < row.key);
}

type ReadDue = (request: ClaimRequest, held: Set<string>) => { due: DueRow[]; laterAt: number[] };

/** Reads of each queue only the rows that it may need: one more than the limit, and the suspects that may pass. */
function prepareReadDue({ db, clock }: OpenFile): ReadDue {
  const clean = db.prepare(DUE_QUERIES.clean);
  const suspects = db.prepare(DUE_QUERIES.suspects);
  const later = db.prepare(DUE_QUERIES.later);
  return ({ queues, ...request }, held) => {
    const now = clock.now();
    const rows = queues.flatMap((queue) => [
      ...allRows<DueRow>(clean, queue, now, request.limit + held.size + 1),
      ...allRows<DueRow>(suspects, queue, now, Math.max(0, request.suspects) + held.size),
    ]);
    const due = rows.filter((row) => !held.has(row.id)).toSorted((a, b) => a.due_at - b.due_at || a.key - b.key);
    const laterAt = queues
      .flatMap((queue) => allRows<DueRow>(later, queue, now, held.size + 1))
      .filter((row) => !held.has(row.id))
      .map((row) => row.due_at);
    return { due, laterAt };
  };
}
