/** Starting runs. */

import type { Clock } from '../../runtime/clock.ts';
import { DurableError } from '../../runtime/errors.ts';
import type { ClaimOptions, NewRun, Run, StartResult } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import { Blobs, toMillis } from './payloads.ts';
import { toRun } from './rows.ts';
import type { JsonRow } from './rows.ts';

export const START_FUNCTIONS = `
-- S10 to S13. Each start is a run with \`body\`, where its input stands in \`data\`, and perhaps with \`claim\`.
CREATE FUNCTION @.start_runs(news jsonb, data bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  n jsonb;
  answers jsonb := '[]';
  hints jsonb := '[]';
  answer jsonb;
  actives text[];
BEGIN
  IF EXISTS (SELECT 1 FROM jsonb_array_elements(news) e WHERE e->>'thread' IS NOT NULL) THEN
    PERFORM @.lock_names(ARRAY(SELECT @.thread_name(e->>'thread', e->>'tenant') FROM jsonb_array_elements(news) e WHERE e->>'thread' IS NOT NULL));
    actives := ARRAY(SELECT r.id FROM jsonb_array_elements(news) e JOIN @.runs r ON r.thread = e->>'thread' AND r.tenant IS NOT DISTINCT FROM e->>'tenant'
      WHERE e->>'whenBusy' = 'interrupt' AND r.status IN ('ready', 'running', 'waiting', 'parked'));
    PERFORM @.lock_wide(ARRAY(SELECT r.id FROM jsonb_array_elements(news) e JOIN @.runs r ON r.thread = e->>'thread' AND r.tenant IS NOT DISTINCT FROM e->>'tenant'
      WHERE e->>'whenBusy' = 'steer' AND r.status IN ('ready', 'running', 'waiting', 'parked')), '{}', actives, '{}');
  END IF;
  FOR n IN SELECT e FROM jsonb_array_elements(news) e LOOP
    answer := @.start_run(n, substring(data FROM (n->'body'->>0)::integer + 1 FOR (n->'body'->>1)::integer), n->'claim');
    hints := hints || coalesce(answer->'hints', '[]');
    answers := answers || jsonb_build_array(answer - 'hints');
  END LOOP;
  RETURN jsonb_build_object('answers', answers, 'hints', hints, 'now', @.now_ms());
END $$;

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

CREATE FUNCTION @.known_start(n jsonb, known jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('kind', CASE WHEN known->>'workflow' = n->>'workflow' AND known->>'input_hash' = n->>'inputHash'
    THEN 'exists' ELSE 'conflict' END, 'run', known)
$$;
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

interface Waiting extends Request {
  resolve: (results: StartResult[]) => void;
  reject: (error: unknown) => void;
}

/** Calls that one statement takes. */
const MOST_CALLS = 64;

/** What a process starts in one macrotask is one statement. */
export function prepareStart(
  db: Database,
  clock: Pick<Clock, 'defer'>,
): (runs: NewRun[], claim?: ClaimOptions) => Promise<StartResult[]> {
  let waiting: Waiting[] = [];
  const sendAll = (): void => {
    const all = waiting;
    waiting = [];
    for (let at = 0; at < all.length; at += MOST_CALLS) void send(db, all.slice(at, at + MOST_CALLS));
  };
  return (runs, claim) => {
    if (runs.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      waiting.push({ runs, claim, resolve, reject });
      if (waiting.length === 1) clock.defer(sendAll);
    });
  };
}

async function send(db: Database, calls: Waiting[]): Promise<void> {
  try {
    const results = await startAll(db, calls);
    for (const { runs, resolve } of calls) resolve(results.splice(0, runs.length));
  } catch (error) {
    const isAway = DurableError.is(error) && error.retryable;
    if (calls.length === 1 || isAway) for (const { reject } of calls) reject(error);
    // One that cannot be stored fails alone.
    else for (const call of calls) void send(db, [call]);
  }
}

async function startAll(db: Database, calls: Request[]): Promise<StartResult[]> {
  const blobs = new Blobs();
  const news = calls.flatMap(({ runs, claim }) =>
    runs.map((run) => ({
      ...toJsonStart(run, blobs),
      ...(claim === undefined ? {} : { claim: toJsonClaim(claim) }),
    })),
  );
  const values = [db.json(news), blobs.bytes()];
  const { answers, now } = await db.transition<{ answers: StartAnswer[]; now: number }>('start_runs', values);
  return answers.map((answer) => toStartResult(answer, now));
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
