/** Claiming due runs. */

import type { Claim, ClaimRequest, ClaimResult } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import { toRun } from './rows.ts';
import type { JsonRow } from './rows.ts';
import { tokenOf } from './start.ts';

/** S8, in SQL: a claim would leave it with so many attempts. */
const IS_SUSPECT = `(r.attempts + CASE WHEN r.status = 'running' OR r.origin = 'start' THEN 1 ELSE 0 END >= 3)`;

/** All that looks for due runs; each goes through the index of due runs alone, however many others there are. */
export const DUE_QUERIES = {
  clean: `SELECT r.key, r.due_at, false AS is_suspect FROM @.runs r
    WHERE r.queue = q.queue AND r.due_at <= now AND NOT ${IS_SUSPECT} ORDER BY r.due_at, r.key LIMIT most + 1`,
  suspects: `SELECT r.key, r.due_at, true AS is_suspect FROM @.runs r
    WHERE r.queue = q.queue AND r.due_at <= now AND ${IS_SUSPECT} ORDER BY r.due_at, r.key LIMIT greatest(of_suspects, 0)`,
  later: `SELECT r.due_at FROM @.runs r WHERE r.queue = q.queue AND r.due_at > now AND NOT r.key = ANY (held) ORDER BY r.due_at LIMIT 1`,
};

export const CLAIM_FUNCTIONS = `
-- S5 to S9. Rows that others have locked are passed over: they are being claimed, or their runs commit.
CREATE FUNCTION @.claim_runs(queues text[], most integer, of_suspects integer, of_nonce text, lease bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  now bigint := @.now_ms();
  held bigint[];
  claims jsonb := '[]';
  suspected integer := 0;
  has_more boolean := false;
  found_rows integer := most + 1;
  c record;
  next bigint;
BEGIN
  SELECT array_agg(key ORDER BY key), count(*) FILTER (WHERE attempts >= 3), jsonb_agg(to_jsonb(f) ORDER BY key)
    INTO held, suspected, claims FROM @.full_runs f WHERE nonce = of_nonce AND status = 'running';
  IF held IS NOT NULL THEN
    of_suspects := of_suspects - suspected;
    most := 0;
    found_rows := 1;
  END IF;
  held := coalesce(held, '{}');
  claims := coalesce(claims, '[]');
  suspected := 0;
  -- A row is locked only if it is taken: none is kept from another claim that has room for it.
  WHILE found_rows > most AND NOT has_more LOOP
    found_rows := 0;
    FOR c IN
      SELECT d.* FROM (SELECT DISTINCT unnest(queues) AS queue) q,
        LATERAL (SELECT * FROM (${DUE_QUERIES.clean} + cardinality(held)) healthy UNION ALL
                 SELECT * FROM (${DUE_QUERIES.suspects} + cardinality(held)) suspected) d
      WHERE NOT d.key = ANY (held) ORDER BY d.due_at, d.key
    LOOP
      CONTINUE WHEN c.is_suspect AND suspected >= of_suspects;
      found_rows := found_rows + 1;
      IF jsonb_array_length(claims) >= most THEN
        has_more := true;
        EXIT;
      END IF;
      held := held || c.key;
      PERFORM 1 FROM @.runs r WHERE r.key = c.key AND r.due_at <= now FOR UPDATE SKIP LOCKED;
      CONTINUE WHEN NOT FOUND;
      IF c.is_suspect THEN suspected := suspected + 1; END IF;
      claims := claims || jsonb_build_array(@.take_run(c.key, of_nonce, lease));
    END LOOP;
  END LOOP;
  IF has_more THEN
    RETURN jsonb_build_object('claims', claims, 'next', 0, 'now', now);
  END IF;
  SELECT min(d.due_at) INTO next FROM unnest(queues) q (queue), LATERAL (${DUE_QUERIES.later}) d;
  RETURN jsonb_build_object('claims', claims, 'next', next - now, 'now', now);
END $$;
`;

export function prepareClaim(db: Database): (request: ClaimRequest) => Promise<ClaimResult> {
  return async ({ queues, limit, suspects, nonce, leaseMs }) => {
    const { claims, next, now } = await db.transition<{ claims: JsonRow[]; next: number | null; now: number }>(
      'claim_runs',
      [db.texts(queues), limit, suspects, db.text(nonce), leaseMs],
    );
    return { claims: claims.map(toClaim), nextDueInMs: next, now };
  };
}

/** Of a row that was just claimed. */
export function toClaim(row: JsonRow): Claim {
  const run = toRun(row);
  return { run, token: tokenOf(run), from: row['origin'] as Claim['from'] };
}
