/** The holder's commit in the database: checks first, changes after them, so that a refusal has nothing to undo. */

import { MOST_WITH_CLAIM } from '../rules.ts';
import { PLAIN_COMMITS } from './plain-commit.ts';

/** Hot: the steps of 200 runs at once, the chunks of 100 (bench `postgres`). What is not plain goes one by one; it stands behind a check. */
export const COMMIT_FUNCTIONS: string = `
CREATE FUNCTION @.commit_runs(batch jsonb, data bytea, wide jsonb)
RETURNS TABLE (at integer, kind text, holder boolean, head integer, now bigint, extended boolean, cancel boolean, more jsonb) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  c record;
  r @.runs;
  due bigint;
  of_head integer;
  of_suspects jsonb;
  of_attempts integer;
  refusal jsonb;
  hints jsonb;
  counted jsonb := '[]';
  applied integer;
BEGIN
  IF wide IS NOT NULL THEN
    PERFORM @.lock_wide(ARRAY(SELECT e->>'r' FROM jsonb_array_elements(batch) e), ARRAY(SELECT jsonb_array_elements_text(wide->'ending')),
      ARRAY(SELECT jsonb_array_elements_text(wide->'cancelled')),
      ARRAY(SELECT jsonb_array_elements_text(wide->'tokens'))
        || ARRAY(SELECT @.thread_name(t->>0, t->>1) FROM jsonb_array_elements(wide->'threads') t));
  ELSE
    -- T1. One look into the index for each, however many runs there are.
    PERFORM 1 FROM (SELECT DISTINCT (e->>'r') COLLATE "C" AS id FROM jsonb_array_elements(batch) e ORDER BY 1) x,
      LATERAL (SELECT 1 FROM @.runs t WHERE t.id = x.id FOR UPDATE) locked;
  END IF;
  -- A statement of its own sees what is there after the last lock.
  IF batch @> '[{"plain":true}]' THEN
    RETURN QUERY ${PLAIN_COMMITS};
    GET DIAGNOSTICS applied = ROW_COUNT;
    IF applied = jsonb_array_length(batch) THEN RETURN; END IF;
  END IF;
  FOR c IN
    SELECT x.* FROM ROWS FROM (jsonb_to_recordset(batch) AS (plain boolean, r text, e integer, n text, x integer, i text, m integer, l bigint,
        s integer, v integer, cs boolean, cp integer, su jsonb, ea integer, el integer[], th text, hb boolean, du bigint, st jsonb, hc jsonb, hx jsonb, rest jsonb))
      WITH ORDINALITY AS x (plain, r, e, n, x, i, m, l, s, v, cs, cp, su, ea, el, th, hb, du, st, hc, hx, rest, at)
    WHERE NOT (x.plain AND EXISTS (SELECT 1 FROM @.runs t WHERE t.id = x.r AND t.last_commit = x.i AND t.inbox_head <= x.v))
    ORDER BY x.at
  LOOP
    at := c.at;
    SELECT * INTO r FROM @.runs t WHERE t.id = c.r FOR UPDATE;
    kind := 'fenced'; holder := NULL; head := NULL; extended := NULL; cancel := NULL; more := NULL; now := NULL;
    IF NOT FOUND THEN RETURN NEXT; CONTINUE; END IF;
    now := @.now_ms();
    holder := r.status = 'running' AND r.epoch = c.e AND r.nonce = c.n;
    extended := false;
    hints := NULL;
    IF r.last_commit IS DISTINCT FROM c.i THEN
      -- S14 (b) to (f)
      IF holder IS NOT TRUE THEN RETURN NEXT; CONTINUE; END IF;
      head := r.head;
      IF c.x <> r.head OR c.m <> r.commits + 1 OR c.v > r.inbox_head THEN kind := 'moved'; RETURN NEXT; CONTINUE; END IF;
      IF (c.th IN ('wait', 'end') AND c.s <> r.inbox_head) OR (c.th = 'wait' AND r.cancel AND c.cs IS NOT TRUE)
        OR (c.hx IS NOT NULL AND @.closes_unseen(r.key, c.hx, c.s)) THEN
        kind := 'pending'; cancel := r.cancel;
        more := jsonb_build_object('messages', @.messages_from(r.key, c.v));
        RETURN NEXT; CONTINUE;
      END IF;
      IF c.hc IS NOT NULL THEN
        refusal := @.taken_token(r.id, c.hc);
        IF refusal IS NOT NULL THEN kind := 'token_taken'; more := refusal; RETURN NEXT; CONTINUE; END IF;
      END IF;
      IF c.st IS NOT NULL THEN
        refusal := @.closed_stream(r.key, c.st);
        IF refusal IS NOT NULL THEN kind := 'stream_closed'; more := refusal; RETURN NEXT; CONTINUE; END IF;
      END IF;
      -- S15, S16
      of_head := r.head + coalesce(cardinality(c.el), 0);
      IF of_head = r.head + 1 THEN
        INSERT INTO @.events (run, seq, data) VALUES (r.key, r.head, substring(data FROM c.ea + 1 FOR c.el[1]));
      ELSIF of_head > r.head THEN
        INSERT INTO @.events (run, seq, data)
          SELECT r.key, r.head + o.n - 1, substring(data FROM c.ea + 1 + (o.upto - o.len) FOR o.len)
          FROM (SELECT u.n::integer AS n, u.len, (sum(u.len) OVER (ORDER BY u.n))::integer AS upto FROM unnest(c.el) WITH ORDINALITY u (len, n)) o;
      END IF;
      of_attempts := CASE WHEN of_head > r.head THEN 0 ELSE r.attempts END;
      of_suspects := CASE WHEN c.su IS NOT NULL THEN c.su WHEN of_head > r.head THEN NULL ELSE r.suspects END;
      due := CASE WHEN c.th = 'run' AND (c.hb OR (r.due_at - now) * 3 < c.l * 2) THEN now + c.l END;
      IF due IS NULL THEN
        UPDATE @.runs t SET head = of_head, seen = c.s, checkpoint = coalesce(c.cp, r.checkpoint), attempts = of_attempts,
          suspects = of_suspects, last_commit = c.i, commits = r.commits + 1, updated_at = now WHERE t.key = r.key;
      ELSE
        extended := true;
        UPDATE @.runs t SET head = of_head, seen = c.s, checkpoint = coalesce(c.cp, r.checkpoint), attempts = of_attempts,
          suspects = of_suspects, last_commit = c.i, commits = r.commits + 1, updated_at = now, due_at = due WHERE t.key = r.key;
      END IF;
      IF c.cp IS NOT NULL THEN
        INSERT INTO @.checkpoints (run, seq) VALUES (r.key, c.cp) ON CONFLICT DO NOTHING;
      END IF;
      IF c.st IS NOT NULL THEN PERFORM @.write_streams(r.key, c.st, data, now); END IF;
      IF c.hc IS NOT NULL THEN PERFORM @.create_hooks(r.key, c.hc, data, now); END IF;
      IF c.hx IS NOT NULL THEN
        UPDATE @.hooks h SET status = 'closed' WHERE h.token_hash IN (SELECT jsonb_array_elements_text(c.hx)) AND h.run = r.key AND h.status = 'open';
      END IF;
      IF c.rest->'ledger' IS NOT NULL THEN counted := counted || @.add_ledger(c.rest->'ledger', data); END IF;
      IF c.th <> 'run' OR c.rest IS NOT NULL THEN hints := @.go_on(r.key, c.th, c.du, c.rest, data); END IF;
      IF c.th <> 'run' THEN holder := false; END IF;
      r.head := of_head;
    ELSIF c.th <> 'run' OR c.rest IS NOT NULL THEN
      -- What its first answer told may have been lost with it.
      hints := '[{"kind":"any"}]';
    END IF;
    IF c.rest IS NOT NULL THEN
      SELECT t.inbox_head, t.cancel INTO r.inbox_head, r.cancel FROM @.runs t WHERE t.key = r.key;
    END IF;
    kind := 'applied'; head := r.head; cancel := r.cancel;
    IF r.inbox_head > c.v OR c.st IS NOT NULL OR hints IS NOT NULL THEN
      more := jsonb_build_object('hints', hints,
        'messages', CASE WHEN r.inbox_head > c.v THEN @.messages_from(r.key, c.v) END,
        'tails', CASE WHEN c.st IS NOT NULL THEN @.tails_of(r.key, c.st) END);
    END IF;
    RETURN NEXT;
  END LOOP;
  -- Last, and in the order of the scopes: many runs count in one.
  IF counted <> '[]' THEN PERFORM @.count_ledger(counted); END IF;
END $$;

CREATE FUNCTION @.tails_of(of_run bigint, writes jsonb) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
  SELECT jsonb_object_agg(w->>'stream', coalesce(s.tail, 0)) FROM jsonb_array_elements(writes) w
    LEFT JOIN @.streams s ON s.run = of_run AND s.name = w->>'stream'
$$;

CREATE FUNCTION @.messages_from(of_run bigint, from_seq integer) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
  SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.seq), '[]') FROM @.messages m WHERE m.run = of_run AND m.seq >= from_seq
$$;

-- Null where a claim of many runs had better not bring them.
CREATE FUNCTION @.messages_with_claim(of_run bigint, from_seq integer) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
  SELECT CASE WHEN count(*) <= ${MOST_WITH_CLAIM.messages} AND coalesce(sum(octet_length(m.payload)), 0) <= ${MOST_WITH_CLAIM.bytes}
    THEN coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.seq), '[]') END FROM @.messages m WHERE m.run = of_run AND m.seq >= from_seq
$$;

CREATE FUNCTION @.closes_unseen(of_run bigint, tokens jsonb, seen integer) RETURNS boolean LANGUAGE sql VOLATILE AS $$
  SELECT EXISTS (SELECT 1 FROM jsonb_array_elements_text(tokens) t JOIN @.hooks h ON h.token_hash = t
    JOIN @.messages m ON m.run = h.run AND m.target = h.target WHERE h.run = of_run AND m.seq >= seen)
$$;

-- S14 (e)
CREATE FUNCTION @.taken_token(of_run text, created jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  n jsonb;
  own jsonb := '{}';
  other record;
BEGIN
  FOR n IN SELECT e FROM jsonb_array_elements(created) e LOOP
    SELECT r.id AS run, h.target AS key INTO other FROM @.hooks h JOIN @.runs r ON r.key = h.run
      WHERE h.token_hash = n->>'tokenHash' AND h.status <> 'closed' AND r.ended_at IS NULL;
    IF NOT FOUND THEN
      SELECT of_run AS run, coalesce(own->>(n->>'tokenHash'), n->>'key') AS key INTO other;
    END IF;
    IF other.run <> of_run OR other.key <> n->>'key' THEN
      RETURN jsonb_build_object('tokenHash', n->>'tokenHash', 'holder', jsonb_build_object('run', other.run, 'key', other.key));
    END IF;
    own := own || jsonb_build_object(n->>'tokenHash', n->>'key');
  END LOOP;
  RETURN NULL;
END $$;

-- S14 (f)
CREATE FUNCTION @.closed_stream(of_run bigint, writes jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  w jsonb;
  closed text[] := ARRAY(SELECT name FROM @.streams s WHERE s.run = of_run AND s.closed);
BEGIN
  FOR w IN SELECT e FROM jsonb_array_elements(writes) e LOOP
    IF (w->>'count')::integer > 0 AND w->>'stream' = ANY (closed) THEN RETURN jsonb_build_object('stream', w->>'stream'); END IF;
    IF (w->>'close')::boolean THEN closed := closed || (w->>'stream'); END IF;
  END LOOP;
  RETURN NULL;
END $$;

CREATE FUNCTION @.write_streams(of_run bigint, writes jsonb, data bytea, now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  w jsonb;
  p jsonb;
  of_stream bigint;
  first_of integer;
BEGIN
  FOR w IN SELECT e FROM jsonb_array_elements(writes) e LOOP
    INSERT INTO @.streams AS s (run, name, tail, closed) VALUES (of_run, w->>'stream', (w->>'count')::integer, (w->>'close')::boolean)
      ON CONFLICT (run, name) DO UPDATE SET tail = s.tail + excluded.tail, closed = s.closed OR excluded.closed
      RETURNING key, tail - (w->>'count')::integer INTO of_stream, first_of;
    FOR p IN SELECT e FROM jsonb_array_elements(w->'packs') e LOOP
      INSERT INTO @.chunks (stream, first, count, bytes, at) VALUES (of_stream, first_of, (p->>2)::integer,
        substring(data FROM (p->>0)::integer + 1 FOR (p->>1)::integer), now);
      first_of := first_of + (p->>2)::integer;
    END LOOP;
  END LOOP;
END $$;

-- S15. A token that is free again begins anew.
CREATE FUNCTION @.create_hooks(of_run bigint, created jsonb, data bytea, now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  n jsonb;
  freed bigint;
BEGIN
  FOR n IN SELECT e FROM jsonb_array_elements(created) e LOOP
    SELECT h.key INTO freed FROM @.hooks h LEFT JOIN @.runs r ON r.key = h.run
      WHERE h.token_hash = n->>'tokenHash' AND (h.status = 'closed' OR r.ended_at IS NOT NULL);
    IF FOUND THEN
      DELETE FROM @.notes WHERE hook = freed;
      DELETE FROM @.hooks WHERE key = freed;
    END IF;
    INSERT INTO @.hooks AS h (token_hash, run, target, kind, once, needed, tool, details, status, answers, created_at)
      VALUES (n->>'tokenHash', of_run, n->>'key', n->>'kind', (n->>'once')::boolean, (n->>'needed')::integer, n->>'tool',
        substring(data FROM (n->'body'->>0)::integer + 1 FOR (n->'body'->>1)::integer), 'open', '[]', now)
      ON CONFLICT (token_hash) DO UPDATE SET status = 'open', resolved_at = NULL, answers = '[]'
        WHERE h.run = of_run AND h.status = 'resolved' AND h.kind <> 'approval';
  END LOOP;
END $$;

-- S15, S17: what seldom belongs to a commit, and what becomes of the run.
CREATE FUNCTION @.go_on(of_run bigint, then_kind text, due bigint, rest jsonb, data bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  n jsonb;
  r @.runs;
  made bigint;
  now bigint := @.now_ms();
  hints jsonb := '[]';
BEGIN
  FOR n IN SELECT e FROM jsonb_array_elements(rest->'starts') e LOOP
    made := @.insert_run(n, substring(data FROM (n->'body'->>0)::integer + 1 FOR (n->'body'->>1)::integer),
      CASE WHEN @.is_thread_busy(n->>'thread', n->>'tenant') THEN 'queued' ELSE 'ready' END);
    IF made IS NOT NULL THEN hints := hints || @.created_hints(made); END IF;
  END LOOP;
  SELECT * INTO r FROM @.runs t WHERE t.key = of_run;
  IF then_kind IN ('wait', 'yield', 'park') THEN hints := hints || @.release_slots(r); END IF;
  IF then_kind = 'wait' AND (due IS NULL OR due > now) THEN
    UPDATE @.runs SET status = 'waiting', origin = 'wait', due_at = due WHERE key = of_run;
    hints := hints || @.thread_hint(r) || CASE WHEN due IS NULL THEN '[]'::jsonb ELSE '[{"kind":"due"}]' END;
  ELSIF then_kind IN ('wait', 'yield') THEN
    UPDATE @.runs SET origin = then_kind WHERE key = of_run;
    hints := hints || @.make_ready(r);
  ELSIF then_kind = 'park' THEN
    UPDATE @.runs SET status = 'parked', due_at = NULL WHERE key = of_run;
    UPDATE @.payloads SET park_code = rest->'park'->>'code',
      park_details = substring(data FROM (rest->'park'->'body'->>0)::integer + 1 FOR (rest->'park'->'body'->>1)::integer) WHERE run = of_run;
    hints := hints || jsonb_build_array(jsonb_build_object('kind', 'run', 'run', r.id)) || @.thread_hint(r);
  ELSIF then_kind = 'end' THEN
    n := rest->'end';
    hints := hints || @.end_run(of_run, n->>'status',
      substring(data FROM (n->'result'->>0)::integer + 1 FOR (n->'result'->>1)::integer),
      substring(data FROM (n->'error'->>0)::integer + 1 FOR (n->'error'->>1)::integer), n->>'errorCode');
  END IF;
  -- After the run's own transition: a child that ends at once wakes a parent that has just begun to wait.
  FOR n IN SELECT e FROM jsonb_array_elements(rest->'cancels') e LOOP
    SELECT t.key INTO made FROM @.runs t WHERE t.id = n#>>'{}';
    IF FOUND THEN hints := hints || @.cancel_run(made); END IF;
  END LOOP;
  RETURN hints;
END $$;
`;
