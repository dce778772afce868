/**
 * What several operations do to runs, as functions in the database: each statement within sees what was committed until it began, so what
 * is read after a lock was waited for is what the one before left.
 *
 *  T1 What changes a run holds the lock of its row. Several rows are locked in the order of their ids.
 *  T2 What changes which runs a thread has, or whose a token is, holds that name's advisory lock; names are locked before rows.
 *  T3 Where a later row turns out to be needed, the order may be broken; Postgres then ends one of the two with \`40P01\`, nothing of it is
 *     applied, and it is sent again.
 *
 * Each function that changes runs answers the hints for watchers, as a JSON array.
 */

/** The row of a new run: of its JSON `n`, with `of_status` at `now`, and as take_run would leave it if there is a `claim`. */
export const NEW_RUN = {
  columns: `id, status, due_at, epoch, nonce, attempts, queue, workflow, version, thread, tenant, input_hash, parent_run, parent_key,
      supersedes, limits, created_at, updated_at`,
  values: `n->>'id', CASE WHEN claim IS NULL THEN of_status ELSE 'running' END,
      CASE WHEN claim IS NOT NULL THEN now + (claim->>'leaseMs')::bigint WHEN of_status = 'ready' THEN now END,
      CASE WHEN claim IS NULL THEN 0 ELSE 1 END, claim->>'nonce', CASE WHEN claim IS NULL THEN 0 ELSE 1 END, n->>'queue', n->>'workflow', n->>'version', n->>'thread', n->>'tenant',
      n->>'inputHash', n->'parent'->>'run', n->'parent'->>'key', n->>'supersedes',
      CASE WHEN jsonb_array_length(n->'limits') > 0 THEN n->'limits' END, now, now`,
};

export const TRANSITIONS: string = `
-- S3: the clock of the store.
CREATE FUNCTION @.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

CREATE FUNCTION @.thread_name(thread text, tenant text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT 'thread ' || coalesce('of ' || tenant, '') || E'\\x1e' || thread $$;

-- T2
CREATE FUNCTION @.lock_names(names text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(l.k) FROM
    (SELECT DISTINCT hashtextextended('@.' || n, 0) AS k FROM unnest(names) n ORDER BY k) l;
END $$;

-- T1, T2: all that is known to change when some runs end and others are cancelled: their threads, their parents, the children.
CREATE FUNCTION @.lock_wide(ids text[], ending text[], cancelled text[], names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  tree text[];
  touched text[];
BEGIN
  WITH RECURSIVE below (id) AS (
    SELECT unnest(cancelled) COLLATE "C"
    UNION
    SELECT r.id FROM below b JOIN @.runs r ON r.parent_run = b.id WHERE r.ended_at IS NULL
  ) SELECT coalesce(array_agg(id), '{}') INTO tree FROM below;
  tree := tree || ending;
  PERFORM @.lock_names(names || ARRAY(SELECT @.thread_name(thread, tenant) FROM @.runs WHERE id = ANY (tree) AND thread IS NOT NULL));
  touched := ids || tree
    || ARRAY(SELECT parent_run FROM @.runs WHERE id = ANY (tree) AND parent_run IS NOT NULL)
    || ARRAY(SELECT (SELECT o.id FROM @.runs o WHERE o.thread = r.thread AND o.tenant IS NOT DISTINCT FROM r.tenant AND o.status = 'queued'
               ORDER BY o.key LIMIT 1) FROM @.runs r WHERE r.id = ANY (tree) AND r.thread IS NOT NULL);
  PERFORM 1 FROM @.runs WHERE id = ANY (touched) ORDER BY id FOR UPDATE;
END $$;

CREATE FUNCTION @.thread_hint(r @.runs) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN r.thread IS NULL THEN '[]'::jsonb
    ELSE jsonb_build_array(jsonb_build_object('kind', 'thread', 'thread', r.thread, 'tenant', r.tenant, 'run', r.id)) END
$$;

CREATE FUNCTION @.make_ready(r @.runs) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  now bigint := @.now_ms();
BEGIN
  UPDATE @.runs SET status = 'ready', due_at = now, updated_at = now WHERE key = r.key;
  RETURN '[{"kind":"due"}]'::jsonb || @.thread_hint(r);
END $$;

CREATE FUNCTION @.is_thread_busy(of_thread text, of_tenant text) RETURNS boolean LANGUAGE sql VOLATILE AS $$
  SELECT of_thread IS NOT NULL AND EXISTS (SELECT 1 FROM @.runs WHERE thread = of_thread AND tenant IS NOT DISTINCT FROM of_tenant
    AND status IN ('ready', 'running', 'waiting', 'parked'))
$$;

-- Null if there is a run of that id.
CREATE FUNCTION @.insert_run(n jsonb, data bytea, of_status text, claim jsonb DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  now bigint := @.now_ms();
  made bigint;
BEGIN
  INSERT INTO @.runs (${NEW_RUN.columns}) VALUES (${NEW_RUN.values})
    ON CONFLICT (id) DO NOTHING RETURNING key INTO made;
  IF made IS NOT NULL THEN
    INSERT INTO @.payloads (run, input, attributes) VALUES (made, data, n->'attributes');
  END IF;
  RETURN made;
END $$;

CREATE FUNCTION @.created_hints(made bigint) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
  SELECT CASE WHEN r.status = 'ready' THEN '[{"kind":"due"}]'::jsonb ELSE '[]'::jsonb END || @.thread_hint(r) FROM @.runs r WHERE key = made
$$;

-- S20: the run is locked; the caller has looked for duplicates and for its end. A run that the caller takes at once need not be made ready.
CREATE FUNCTION @.append_message(of_run bigint, m jsonb, body bytea, wakes boolean DEFAULT true) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  before @.runs;
  now bigint := @.now_ms();
BEGIN
  UPDATE @.runs t SET inbox_head = t.inbox_head + 1, updated_at = now, status = CASE WHEN wakes AND t.status = 'waiting' THEN 'ready' ELSE t.status END,
      due_at = CASE WHEN wakes AND t.status = 'waiting' THEN now ELSE t.due_at END
    FROM @.runs b WHERE t.key = of_run AND b.key = of_run RETURNING b.* INTO before;
  INSERT INTO @.messages (run, seq, id, kind, target, payload, status, input_hash, sender, at)
    VALUES (of_run, before.inbox_head, m->>'id', m->>'kind', m->>'key', body, m->>'status', m->>'inputHash', m->>'by', now);
  RETURN jsonb_build_array(jsonb_build_object('kind', 'run', 'run', before.id))
    || CASE WHEN before.status = 'waiting' THEN CASE WHEN wakes THEN '[{"kind":"due"}]'::jsonb ELSE '[]' END || @.thread_hint(before) ELSE '[]' END;
END $$;

-- S18
CREATE FUNCTION @.end_run(of_run bigint, of_status text, of_result bytea, of_error bytea, of_code text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  r @.runs;
  next @.runs;
  parent @.runs;
  now bigint := @.now_ms();
  hints jsonb;
BEGIN
  SELECT * INTO r FROM @.runs WHERE key = of_run;
  UPDATE @.runs SET status = of_status, due_at = NULL, error_code = of_code, updated_at = now, ended_at = now WHERE key = r.key;
  UPDATE @.payloads SET result = of_result, error = of_error, park_code = NULL, park_details = NULL WHERE run = r.key;
  UPDATE @.hooks SET status = 'closed' WHERE run = r.key AND status = 'open';
  hints := jsonb_build_array(jsonb_build_object('kind', 'run', 'run', r.id)) || @.thread_hint(r) || @.release_slots(r)
    || coalesce((SELECT jsonb_agg(jsonb_build_object('kind', 'stream', 'run', r.id, 'stream', name)) FROM @.streams WHERE run = r.key AND NOT closed), '[]');
  IF r.thread IS NOT NULL AND NOT @.is_thread_busy(r.thread, r.tenant) THEN
    SELECT * INTO next FROM @.runs WHERE thread = r.thread AND tenant IS NOT DISTINCT FROM r.tenant AND status = 'queued' ORDER BY key LIMIT 1 FOR UPDATE;
    IF FOUND THEN hints := hints || @.make_ready(next); END IF;
  END IF;
  IF r.parent_run IS NOT NULL THEN
    SELECT * INTO parent FROM @.runs WHERE id = r.parent_run FOR UPDATE;
    IF FOUND AND parent.ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM @.messages WHERE id = r.id AND run = parent.key) THEN
      hints := hints || @.append_message(parent.key,
        jsonb_build_object('id', r.id, 'kind', 'child', 'key', r.parent_key, 'status', of_status), coalesce(of_result, of_error, ''));
    END IF;
  END IF;
  RETURN hints;
END $$;

-- S22. Nothing happens to a run that has ended.
CREATE FUNCTION @.cancel_run(of_run bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  r @.runs;
BEGIN
  SELECT * INTO r FROM @.runs WHERE key = of_run FOR UPDATE;
  IF NOT FOUND OR r.ended_at IS NOT NULL THEN RETURN '[]'; END IF;
  UPDATE @.runs SET cancel = true, updated_at = @.now_ms() WHERE key = r.key;
  IF r.status IN ('queued', 'parked') THEN
    RETURN @.end_run(r.key, 'cancelled', NULL, NULL, 'cancelled') || @.cancel_children(r.id);
  END IF;
  IF r.status = 'waiting' THEN
    RETURN jsonb_build_array(jsonb_build_object('kind', 'run', 'run', r.id)) || @.make_ready(r);
  END IF;
  RETURN jsonb_build_array(jsonb_build_object('kind', 'run', 'run', r.id));
END $$;

CREATE FUNCTION @.cancel_children(of_parent text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  child bigint;
  hints jsonb := '[]';
BEGIN
  FOR child IN SELECT key FROM @.runs WHERE parent_run = of_parent AND ended_at IS NULL ORDER BY key LOOP
    hints := hints || @.cancel_run(child);
  END LOOP;
  RETURN hints;
END $$;

-- S6, S7: gives a run to a new holder; the run is locked. Answers the row, with where it came from as its origin.
CREATE FUNCTION @.take_run(of_run bigint, of_nonce text, lease bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  now bigint := @.now_ms();
  answer jsonb;
BEGIN
  PERFORM @.take_slots(r, now) FROM @.runs r WHERE key = of_run AND limits IS NOT NULL;
  UPDATE @.runs SET status = 'running', epoch = epoch + 1, nonce = of_nonce, commits = 0, due_at = now + lease, updated_at = now,
      attempts = attempts + CASE WHEN status = 'running' OR origin IN ('start', 'lease') THEN 1 ELSE 0 END,
      origin = CASE WHEN status = 'running' THEN 'lease' ELSE origin END
    WHERE key = of_run;
  SELECT to_jsonb(f) || jsonb_build_object('messages', CASE WHEN f.inbox_head > f.seen THEN @.messages_with_claim(of_run, f.seen) ELSE '[]' END) INTO answer
    FROM @.full_runs f WHERE key = of_run;
  RETURN answer;
END $$;
`;
