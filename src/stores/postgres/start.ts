/** Starting runs. */

import type { Clock } from '../../runtime/clock.ts';
import type { ClaimOptions, NewRun, Run, StartResult } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import { prepareGathering } from './gathering.ts';
import { Blobs, toMillis } from './payloads.ts';
import { toRun } from './rows.ts';
import type { JsonRow } from './rows.ts';
import { NEW_RUN } from './transitions.ts';

export const START_FUNCTIONS: string = `
-- S10 to S13. Each start is a run with \`body\`, where its input stands in \`data\`, and perhaps with \`claim\`.
CREATE FUNCTION @.start_runs(news jsonb, data bytea) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  n jsonb;
  answers jsonb := '[]';
  hints jsonb := '[]';
  answer jsonb;
  actives text[];
BEGIN
  IF NOT EXISTS (SELECT 1 FROM jsonb_array_elements(news) e WHERE e->>'thread' IS NOT NULL) THEN RETURN @.start_apart(news, data); END IF;
  PERFORM @.lock_names(ARRAY(SELECT @.thread_name(e->>'thread', e->>'tenant') FROM jsonb_array_elements(news) e WHERE e->>'thread' IS NOT NULL));
  actives := ARRAY(SELECT r.id FROM jsonb_array_elements(news) e JOIN @.runs r ON r.thread = e->>'thread' AND r.tenant IS NOT DISTINCT FROM e->>'tenant'
    WHERE e->>'whenBusy' = 'interrupt' AND r.status IN ('ready', 'running', 'waiting', 'parked'));
  PERFORM @.lock_wide(ARRAY(SELECT r.id FROM jsonb_array_elements(news) e JOIN @.runs r ON r.thread = e->>'thread' AND r.tenant IS NOT DISTINCT FROM e->>'tenant'
    WHERE e->>'whenBusy' = 'steer' AND r.status IN ('ready', 'running', 'waiting', 'parked')), '{}', actives, '{}');
  FOR n IN SELECT e FROM jsonb_array_elements(news) e LOOP
    answer := @.start_run(n, substring(data FROM (n->'body'->>0)::integer + 1 FOR (n->'body'->>1)::integer), n->'claim');
    hints := hints || coalesce(answer->'hints', '[]');
    answers := answers || jsonb_build_array(answer - 'hints');
  END LOOP;
  RETURN json_build_object('answers', answers, 'hints', hints, 'now', @.now_ms());
END $$;

-- Hot: runs of no thread, which are nothing to each other, all at once; and whole runs are written faster as json than as jsonb. Another start
-- of the same ids may be under way, so they are inserted in the order of their ids (T1), but with keys in the order of the request, which queues
-- and lists go by.
CREATE FUNCTION @.start_apart(news jsonb, data bytea) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  now bigint := @.now_ms();
  of_status text := 'ready';
  keys bigint[] := @.new_keys(jsonb_array_length(news));
  answers json;
  hints json;
BEGIN
  INSERT INTO @.runs (key, ${NEW_RUN.columns}) OVERRIDING SYSTEM VALUE
    SELECT key, ${NEW_RUN.values}
      FROM (SELECT keys[at] AS key, n, CASE WHEN jsonb_array_length(n->'limits') = 0 THEN n->'claim' END AS claim
        FROM jsonb_array_elements(news) WITH ORDINALITY e (n, at) ORDER BY (n->>'id') COLLATE "C", at) asked
    ON CONFLICT (id) DO NOTHING;
  INSERT INTO @.payloads (run, input, attributes)
    SELECT keys[at], substring(data FROM (n->'body'->>0)::integer + 1 FOR (n->'body'->>1)::integer), n->'attributes'
      FROM jsonb_array_elements(news) WITH ORDINALITY e (n, at) WHERE EXISTS (SELECT 1 FROM @.runs WHERE key = keys[at]);
  SELECT json_agg(json_build_object('kind', CASE WHEN r.key = keys[at] THEN 'created' ELSE @.known_kind(n, r.workflow, r.input_hash) END,
      'run', r.whole, 'claimed', r.key = keys[at] AND r.status = 'running') ORDER BY at),
    coalesce(json_agg('{"kind":"due"}'::json) FILTER (WHERE r.key = keys[at] AND r.status = 'ready'), '[]')
    INTO answers, hints FROM jsonb_array_elements(news) WITH ORDINALITY e (n, at)
    LEFT JOIN LATERAL (SELECT f.key, f.status, f.workflow, f.input_hash, to_json(f) AS whole FROM @.full_runs f WHERE f.id = n->>'id' LIMIT 1) r ON true;
  RETURN json_build_object('answers', answers, 'hints', hints, 'now', @.now_ms());
END $$;

-- As the owner: who inserts rows needs no right to the sequence of their keys.
CREATE FUNCTION @.new_keys(how_many integer) RETURNS bigint[] LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$ SELECT ARRAY(SELECT nextval('@.runs_key_seq') FROM generate_series(1, how_many)) $$;

CREATE FUNCTION @.run_row(of_id text) RETURNS jsonb LANGUAGE sql VOLATILE AS
$$ SELECT to_jsonb(f) FROM @.full_runs f WHERE id = of_id $$;

CREATE FUNCTION @.start_run(n jsonb, body bytea, claim jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  known jsonb;
  active @.runs;
  steered text;
  when_busy text := coalesce(n->>'whenBusy', 'reject');
  of_status text := 'ready';
  made bigint;
  hints jsonb := '[]';
BEGIN
  known := @.run_row(n->>'id');
  IF known IS NOT NULL THEN RETURN @.known_start(n, known); END IF;
  IF n->>'thread' IS NOT NULL THEN
    SELECT r.id INTO steered FROM @.messages m JOIN @.runs r ON r.key = m.run
      WHERE m.id = n->>'id' AND m.kind = 'user' AND r.thread = n->>'thread' AND r.tenant IS NOT DISTINCT FROM n->>'tenant' ORDER BY r.key LIMIT 1;
    IF FOUND THEN RETURN jsonb_build_object('kind', 'steered', 'run', @.run_row(steered)); END IF;
    SELECT * INTO active FROM @.runs WHERE thread = n->>'thread' AND tenant IS NOT DISTINCT FROM n->>'tenant'
      AND status IN ('ready', 'running', 'waiting', 'parked') ;
    IF FOUND THEN
      IF when_busy = 'reject' THEN
        RETURN jsonb_build_object('kind', 'busy', 'run', @.run_row(active.id));
      ELSIF when_busy = 'queue' THEN
        of_status := 'queued';
      ELSIF when_busy = 'steer' THEN
        PERFORM 1 FROM @.runs WHERE key = active.key FOR UPDATE;
        IF EXISTS (SELECT 1 FROM @.messages WHERE id = n->>'id' AND run = active.key) THEN
          RETURN jsonb_build_object('kind', 'conflict', 'run', @.run_row(active.id));
        END IF;
        hints := @.append_message(active.key, jsonb_build_object('id', n->>'id', 'kind', 'user', 'inputHash', n->>'inputHash'), body);
        RETURN jsonb_build_object('kind', 'steered', 'run', @.run_row(active.id), 'hints', hints);
      ELSE
        hints := @.cancel_run(active.key);
        IF @.is_thread_busy(n->>'thread', n->>'tenant') THEN of_status := 'queued'; END IF;
      END IF;
    END IF;
  END IF;
  IF of_status = 'queued' OR jsonb_array_length(n->'limits') > 0 THEN claim := NULL; END IF;
  made := @.insert_run(n, body, of_status, claim);
  -- Another start of the same id was faster.
  IF made IS NULL THEN RETURN @.known_start(n, @.run_row(n->>'id')) || jsonb_build_object('hints', hints); END IF;
  hints := hints || @.created_hints(made);
  RETURN jsonb_build_object('kind', 'created', 'run', @.run_row(n->>'id'), 'claimed', claim IS NOT NULL, 'hints', hints);
END $$;

CREATE FUNCTION @.known_kind(n jsonb, workflow text, input_hash text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN workflow = n->>'workflow' AND input_hash = n->>'inputHash' THEN 'exists' ELSE 'conflict' END $$;

CREATE FUNCTION @.known_start(n jsonb, known jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('kind', @.known_kind(n, known->>'workflow', known->>'input_hash'), 'run', known) $$;
`;

interface StartAnswer {
  kind: StartResult['kind'];
  run: JsonRow;
  claimed?: boolean;
}

/** A run as `start_runs` and commits take it. */
export function toJsonStart({ input, ...rest }: NewRun, blobs: Blobs): Record<string, unknown> {
  return { ...rest, body: blobs.add(input) };
}

/** The claim that a start or a delivery asks for. */
export function toJsonClaim<T extends ClaimOptions>(claim: T): T {
  return { ...claim, leaseMs: toMillis(claim.leaseMs) };
}

interface Request {
  runs: NewRun[];
  claim: ClaimOptions | undefined;
}

export function prepareStart(
  db: Database,
  clock: Pick<Clock, 'defer'>,
): (runs: NewRun[], claim?: ClaimOptions) => Promise<StartResult[]> {
  const start = prepareGathering(clock, (requests: Request[]) => startAll(db, requests));
  return async (runs, claim) => (runs.length === 0 ? [] : start({ runs, claim }));
}

async function startAll(db: Database, requests: Request[]): Promise<StartResult[][]> {
  const blobs = new Blobs();
  const news = requests.flatMap(({ runs, claim }) =>
    runs.map((run) => ({
      ...toJsonStart(run, blobs),
      ...(claim === undefined ? {} : { claim: toJsonClaim(claim) }),
    })),
  );
  const values = [db.json(news), blobs.bytes()];
  const { answers, now } = await db.transition<{ answers: StartAnswer[]; now: number }>('start_runs', values);
  const results = answers.map((answer) => toStartResult(answer, now));
  return requests.map(({ runs }) => results.splice(0, runs.length));
}

function toStartResult({ kind, run: row, claimed }: StartAnswer, now: number): StartResult {
  const run = toRun(row);
  switch (kind) {
    case 'created':
      return { kind, run, token: claimed === true ? tokenOf(run) : null, now };
    case 'exists':
    case 'conflict':
      return { kind, run };
    case 'busy':
    case 'steered':
      return { kind, active: run };
  }
}

export function tokenOf(run: Run): { epoch: number; nonce: string } {
  return { epoch: run.epoch, nonce: run.nonce ?? '' };
}
