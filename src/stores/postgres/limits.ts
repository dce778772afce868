/**
 * The slots of limits (S30 to S34).
 *
 *  L1 A slot is a row, so runs that take and give back slots do not wait for each other. Only who claims under a key counts them, and
 *     has that key's advisory lock until its transaction ends; who does not get the lock at once leaves the lane to the next claim.
 *  L2 The runs of a lane are blocked together, so a claim looks at the first of a lane alone. They are judged by the numbers of the newer one of
 *     its first and its last.
 */

import type { LimitUse } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import type { JsonRow } from './rows.ts';

export const LIMIT_FUNCTIONS = `
-- What a claim of the run asks for.
CREATE FUNCTION @.asked_limits(r @.runs) RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
  SELECT l FROM jsonb_array_elements(r.limits) l WHERE r.status <> 'running' AND (r.origin = 'start' OR l->'perMs' IS NULL)
$$;

-- Before the status of the run changes.
CREATE FUNCTION @.take_slots(r @.runs, now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  l jsonb;
BEGIN
  FOR l IN SELECT * FROM @.asked_limits(r) LOOP
    IF l->'perMs' IS NULL THEN
      INSERT INTO @.slots (key, run) VALUES (l->>'key', r.key) ON CONFLICT DO NOTHING;
    ELSE
      INSERT INTO @.rates AS t (key, begun, window_end) VALUES (l->>'key', 1, now + (l->>'perMs')::bigint)
        ON CONFLICT (key) DO UPDATE SET begun = CASE WHEN t.window_end <= now THEN 1 ELSE t.begun + 1 END,
          window_end = CASE WHEN t.window_end <= now THEN excluded.window_end ELSE t.window_end END;
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION @.release_slots(r @.runs) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF r.limits IS NULL THEN RETURN '[]'; END IF;
  DELETE FROM @.slots WHERE run = r.key;
  IF FOUND THEN RETURN '[{"kind":"due"}]'; END IF;
  RETURN '[]';
END $$;

-- L1, L2. Null if the lane has room, else since when it may have; 0 if another claim is at it, -1 if a slot has to be given back first.
CREATE FUNCTION @.lane_opens(of_queue text, of_lane text, now bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  l jsonb;
  newest @.runs;
  taken integer;
  opens bigint;
BEGIN
  SELECT (e.r).* INTO newest FROM (
    (SELECT r FROM @.runs r WHERE queue = of_queue AND lane = of_lane AND due_at <= now ORDER BY due_at, key LIMIT 1) UNION ALL
    (SELECT r FROM @.runs r WHERE queue = of_queue AND lane = of_lane AND due_at <= now ORDER BY due_at DESC, key DESC LIMIT 1)) e
    ORDER BY (e.r).key DESC LIMIT 1;
  FOR l IN SELECT * FROM @.asked_limits(newest) LOOP
    IF NOT pg_try_advisory_xact_lock(hashtextextended('@.limit ' || (l->>'key'), 0)) THEN RETURN 0; END IF;
    IF l->'perMs' IS NULL THEN
      SELECT count(*) INTO taken FROM @.slots WHERE key = l->>'key';
      IF taken >= (l->>'most')::integer THEN RETURN -1; END IF;
    ELSE
      SELECT window_end INTO opens FROM @.rates WHERE key = l->>'key' AND window_end > now AND begun >= (l->>'most')::integer;
      IF FOUND THEN RETURN opens; END IF;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;
`;

/** S34 */
const USES = `
  SELECT to_jsonb(u) AS row FROM unnest($1::text[]) WITH ORDINALITY AS k (key, n), LATERAL (
    SELECT k.key, (SELECT count(*) FROM @.slots s WHERE s.key = k.key) AS held, coalesce(max(r.begun), 0) AS begun, max(r.window_end) AS "windowEnd"
    FROM @.rates r WHERE r.key = k.key AND r.window_end > @.now_ms()) u ORDER BY k.n`;

export function prepareLimits(db: Database): (keys: readonly string[]) => Promise<LimitUse[]> {
  return async (keys) => {
    const rows = await db.query<{ row: string }>('limits', USES, [db.texts(keys)]);
    return rows.map(({ row }) => toUse(db.parse(row) as JsonRow));
  };
}

function toUse(row: JsonRow): LimitUse {
  return {
    key: row['key'] as string,
    held: row['held'] as number,
    begun: row['begun'] as number,
    windowEnd: row['windowEnd'] as number | null,
  };
}
