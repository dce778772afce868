/** Claiming due runs. */

import type { Claim, ClaimOptions, ClaimRequest, ClaimResult, Run } from '../../runtime/store.ts';
import { SUSPECT_ATTEMPTS } from '../../runtime/store.ts';
import { attemptsAfterClaim, claimedFrom } from '../rules.ts';
import type { Origin } from '../rules.ts';
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
const DUE_RUNS = `SELECT key, id, due_at, ${IS_SUSPECT} AS is_suspect FROM runs WHERE queue = ? AND due_at <= ?`;

/** All that looks for due runs; each goes through the index of due runs alone, however many others there are. */
export const DUE_QUERIES = {
  first: 'SELECT due_at FROM runs WHERE queue = ? AND due_at IS NOT NULL ORDER BY due_at LIMIT 1',
  clean: `${DUE_RUNS} AND NOT (${IS_SUSPECT}) ORDER BY due_at, key LIMIT ?`,
  suspects: `${DUE_RUNS} AND ${IS_SUSPECT} ORDER BY due_at, key LIMIT ?`,
  later: 'SELECT id, due_at FROM runs WHERE queue = ? AND due_at > ? ORDER BY due_at LIMIT ?',
};

/**
 * Nonces of claims that may be repeated, with the runs that they got. Only this store's callers know them, so they need not
 * outlive it; whether a run is still held is read from its row.
 */
const REMEMBERED = 256;

export function prepareClaims(file: OpenFile, runs: Runs): Claims {
  const { db, clock } = file;
  const got = new Map<string, string[]>();
  const first = db.prepare(DUE_QUERIES.first);
  const take = prepareTake(file, runs);
  const pick = preparePick(file);

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
        .map((queue) => (first.get(queue) as { due_at: number } | undefined)?.due_at)
        .filter((at) => at !== undefined);
      if (due.some((at) => at <= now)) return null;
      return { claims: [], nextDueInMs: due.length === 0 ? null : Math.min(...due) - now, now };
    },
    claim(request) {
      const now = clock.now();
      const held = stillHeld(request.nonce);
      if (held.length > 0) {
        const suspects = request.suspects - held.filter((run) => run.attempts >= SUSPECT_ATTEMPTS).length;
        const { nextDueInMs } = pick({ ...request, limit: 0, suspects }, new Set(held.map((run) => run.id)));
        return { claims: held.map((run) => toClaim(runs, run)), nextDueInMs, now };
      }
      const { ids, nextDueInMs } = pick(request, new Set());
      remember(request.nonce, ids);
      return { claims: ids.map((id) => take(id, request)), nextDueInMs, now };
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

function prepareTake({ db, clock }: OpenFile, runs: Runs): Claims['take'] {
  const update = db.prepare(
    "UPDATE runs SET status = 'running', epoch = epoch + 1, nonce = ?, commits = 0, attempts = ?, origin = ?, due_at = ?, updated_at = ? WHERE key = ?",
  );
  return (id, claim) => {
    const row = runs.brief(id);
    if (row === undefined) throw new Error(`The run "${id}" vanished within a transaction.`);
    const now = clock.now();
    const from: Origin = claimedFrom(row.status, row.origin);
    update.run(claim.nonce, attemptsAfterClaim(row.attempts, from), from, now + claim.leaseMs, now, row.key);
    const run = runs.known(id);
    return { run, token: { epoch: run.epoch, nonce: claim.nonce }, from };
  };
}

type Pick = (request: ClaimRequest, held: Set<string>) => { ids: string[]; nextDueInMs: number | null };

/** S8, S9. Reads of each queue only the rows that it may need: one more than the limit, and the suspects that may pass. */
function preparePick({ db, clock }: OpenFile): Pick {
  const clean = db.prepare(DUE_QUERIES.clean);
  const suspects = db.prepare(DUE_QUERIES.suspects);
  const later = db.prepare(DUE_QUERIES.later);
  return (request, held) => {
    const now = clock.now();
    const queues = [...new Set(request.queues)];
    const rows = queues.flatMap((queue) => [
      ...allRows<DueRow>(clean, queue, now, request.limit + held.size + 1),
      ...allRows<DueRow>(suspects, queue, now, Math.max(0, request.suspects) + held.size),
    ]);
    const due = rows.filter((row) => !held.has(row.id)).toSorted((a, b) => a.due_at - b.due_at || a.key - b.key);
    const { ids, hasMore } = choose(due, request);
    if (hasMore) return { ids, nextDueInMs: 0 };
    const next = queues
      .flatMap((queue) => allRows<DueRow>(later, queue, now, held.size + 1))
      .filter((row) => !held.has(row.id))
      .map((row) => row.due_at - now);
    return { ids, nextDueInMs: next.length === 0 ? null : Math.min(...next) };
  };
}

function choose(due: DueRow[], request: ClaimRequest): { ids: string[]; hasMore: boolean } {
  const ids: string[] = [];
  let suspects = 0;
  for (const row of due) {
    if (row.is_suspect === 1 && suspects >= request.suspects) continue;
    if (ids.length >= request.limit) return { ids, hasMore: true };
    if (row.is_suspect === 1) suspects += 1;
    ids.push(row.id);
  }
  return { ids, hasMore: false };
}
