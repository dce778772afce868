/** Claiming due runs. */

import type { Claim, ClaimRequest, ClaimResult } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import { toMillis } from './payloads.ts';
import { toMessage, toRun } from './rows.ts';
import type { JsonRow } from './rows.ts';
import { tokenOf } from './start.ts';

/** S8, in SQL: a claim would leave it with so many attempts. */
const IS_SUSPECT = `(r.attempts + CASE WHEN r.status = 'running' OR r.origin = 'start' THEN 1 ELSE 0 END >= 3)`;

/** All that looks for due runs that ask for no limit; each goes through the index of due runs alone, however many others there are. */
export const DUE_QUERIES = {
  clean: `SELECT r.key, r.due_at, false AS is_suspect FROM @.runs r
    WHERE r.queue = q.queue AND r.lane = '' AND r.due_at <= now AND NOT ${IS_SUSPECT} ORDER BY r.due_at, r.key LIMIT most + 1`,
  suspects: `SELECT r.key, r.due_at, true AS is_suspect FROM @.runs r
    WHERE r.queue = q.queue AND r.lane = '' AND r.due_at <= now AND ${IS_SUSPECT} ORDER BY r.due_at, r.key LIMIT greatest(of_suspects, 0)`,
  later: `SELECT r.due_at FROM @.runs r WHERE r.queue = q.queue AND r.lane = q.lane AND r.due_at > now AND NOT r.key = ANY (held)
    ORDER BY r.due_at LIMIT 1`,
  first: `SELECT r.due_at FROM @.runs r WHERE r.queue = q.queue AND r.lane = '' AND r.due_at IS NOT NULL ORDER BY r.due_at LIMIT 1`,
  lane: `SELECT r.lane FROM @.runs r WHERE r.queue = q.queue AND r.lane > q.lane AND r.due_at IS NOT NULL ORDER BY r.lane LIMIT 1`,
};

/** S6, in SQL, as its index has it: what the same claim got before. */
export const IS_HELD = "CASE WHEN status = 'running' THEN nonce END = of_nonce";

/** So long a lock may last that a claim passed over. */
const AGAIN_MS = 25;

/** Takes the run of the row `c`, unless somebody has it locked; leaves the function where there is no room for it. */
const TAKE = `IF jsonb_array_length(claims) >= most THEN
      RETURN jsonb_build_object('claims', claims, 'next', 0, 'now', now);
    END IF;
    held := held || c.key;
    PERFORM 1 FROM @.runs r WHERE r.key = c.key AND r.due_at <= now FOR UPDATE SKIP LOCKED;
    passed_over := passed_over OR NOT FOUND;
    CONTINUE WHEN NOT FOUND;
    IF c.is_suspect THEN suspected := suspected + 1; END IF;
    claims := claims || jsonb_build_array(@.take_run(c.key, of_nonce, lease));`;

export const CLAIM_FUNCTIONS: string = `
-- S5 to S9. Rows that others have locked are passed over: mostly they are being claimed, but somebody may just be writing to one.
CREATE FUNCTION @.claim_runs(queues text[], most integer, of_suspects integer, of_nonce text, lease bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  now bigint := @.now_ms();
  held bigint[];
  claims jsonb;
  suspected integer;
  c record;
  found_rows integer := most + 1;
  passed_over boolean := false;
  has_lanes boolean;
  first_due bigint;
  lanes jsonb;
BEGIN
  queues := ARRAY(SELECT DISTINCT unnest(queues));
  -- Mostly nothing is due. What the same claim, still under way, may be taking is due as far as this one sees.
  SELECT coalesce(bool_or(EXISTS (${DUE_QUERIES.lane})), false), min((${DUE_QUERIES.first})) INTO has_lanes, first_due
    FROM (SELECT unnest(queues) AS queue, '' COLLATE "C" AS lane) q;
  IF NOT has_lanes AND (first_due > now) IS NOT FALSE AND NOT EXISTS (SELECT 1 FROM @.runs WHERE ${IS_HELD}) THEN
    RETURN jsonb_build_object('claims', '[]'::jsonb, 'next', first_due - now, 'now', now);
  END IF;
  -- S6: the same claim may be under way.
  PERFORM @.lock_names(ARRAY['claim ' || of_nonce]);
  SELECT array_agg(key ORDER BY key), count(*) FILTER (WHERE attempts >= 3), jsonb_agg(to_jsonb(f) || jsonb_build_object('messages', @.messages_with_claim(key, seen)) ORDER BY key)
    INTO held, suspected, claims FROM @.full_runs f WHERE ${IS_HELD};
  IF held IS NOT NULL THEN
    of_suspects := of_suspects - suspected;
    most := 0;
    found_rows := 1;
  END IF;
  held := coalesce(held, '{}');
  claims := coalesce(claims, '[]');
  suspected := 0;
  -- From one lane to the next by the index.
  IF has_lanes THEN
    WITH RECURSIVE q (queue, lane) AS (
      SELECT u, (SELECT '' COLLATE "C") FROM unnest(queues) u
      UNION ALL
      SELECT q.queue, (${DUE_QUERIES.lane}) FROM q WHERE q.lane IS NOT NULL
    ) SELECT jsonb_agg(jsonb_build_array(queue, lane)) INTO lanes FROM q WHERE lane IS NOT NULL;
    RETURN @.claim_in_lanes(lanes, most, of_suspects, of_nonce, lease, held, claims);
  END IF;
  -- A row is locked only if it is taken: none is kept from another claim that has room for it.
  WHILE found_rows > most LOOP
    found_rows := 0;
    FOR c IN
      SELECT d.* FROM (SELECT unnest(queues) AS queue) q,
        LATERAL (SELECT * FROM (${DUE_QUERIES.clean} + cardinality(held)) healthy UNION ALL
                 SELECT * FROM (${DUE_QUERIES.suspects} + cardinality(held)) suspected) d
      WHERE NOT d.key = ANY (held) ORDER BY d.due_at, d.key
    LOOP
      CONTINUE WHEN c.is_suspect AND suspected >= of_suspects;
      found_rows := found_rows + 1;
      ${TAKE}
    END LOOP;
  END LOOP;
  RETURN jsonb_build_object('claims', claims, 'now', now, 'next', least(CASE WHEN passed_over THEN ${AGAIN_MS} END,
    (SELECT min(d.due_at) FROM (SELECT unnest(queues) AS queue, '' COLLATE "C" AS lane) q, LATERAL (${DUE_QUERIES.later}) d) - now));
END $$;

-- S30 to S32: the same where there are runs with limits, one by one.
CREATE FUNCTION @.claim_in_lanes(lanes jsonb, most integer, of_suspects integer, of_nonce text, lease bigint, held bigint[], claims jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  now bigint := @.now_ms();
  suspected integer := 0;
  left_over boolean := false;
  passed_over boolean := false;
  first_window bigint;
  opens bigint;
  c record;
BEGIN
  LOOP
    SELECT q.n, q.queue, q.lane, d.* INTO c FROM
      (SELECT e->>0 AS queue, (e->>1) COLLATE "C" AS lane, n::integer AS n FROM jsonb_array_elements(lanes) WITH ORDINALITY o (e, n)) q,
      LATERAL (SELECT r.key, r.due_at, ${IS_SUSPECT} AS is_suspect FROM @.runs r
        WHERE r.queue = q.queue AND r.lane = q.lane AND r.due_at <= now AND NOT r.key = ANY (held) AND (suspected < of_suspects OR NOT ${IS_SUSPECT})
        ORDER BY r.due_at, r.key LIMIT 1) d
      ORDER BY d.due_at, d.key LIMIT 1;
    EXIT WHEN NOT FOUND;
    IF c.lane <> '' THEN
      opens := @.lane_opens(c.queue, c.lane, now);
      IF opens IS NOT NULL THEN
        lanes := lanes - (c.n - 1);
        IF opens = 0 THEN left_over := true; END IF;
        IF opens > 0 THEN first_window := least(first_window, opens); END IF;
        CONTINUE;
      END IF;
    END IF;
    ${TAKE}
  END LOOP;
  RETURN jsonb_build_object('claims', claims, 'now', now, 'next', CASE WHEN left_over THEN 0 ELSE least(CASE WHEN passed_over THEN now + ${AGAIN_MS} END, first_window,
    (SELECT min(d.due_at) FROM (SELECT e->>0 AS queue, (e->>1) COLLATE "C" AS lane FROM jsonb_array_elements(lanes) e) q,
      LATERAL (${DUE_QUERIES.later}) d)) - now END);
END $$;
`;

export function prepareClaim(db: Database): (request: ClaimRequest) => Promise<ClaimResult> {
  return async ({ queues, limit, suspects, nonce, leaseMs }) => {
    const { claims, next, now } = await db.transition<{ claims: JsonRow[]; next: number | null; now: number }>(
      'claim_runs',
      [db.texts(queues), limit, suspects, db.text(nonce), toMillis(leaseMs)],
    );
    return { claims: claims.map(toClaim), nextDueInMs: next, now };
  };
}

/** Of a row that was just claimed. */
export function toClaim(row: JsonRow): Claim {
  const run = toRun(row);
  const messages = row['messages'] as JsonRow[] | null;
  const claim: Claim = { run, token: tokenOf(run), from: row['origin'] as Claim['from'] };
  return messages === null ? claim : { ...claim, messages: messages.map(toMessage) };
}
