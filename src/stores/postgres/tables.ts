/**
 * The tables. What is written with each commit is kept narrow: payloads have tables of their own, and no index holds a column that a
 * plain step changes, so that Postgres updates the row of a run in place. `@.` stands for the schema.
 */

export const TABLES = `
-- S31, as limits.ts has it: runs of one queue with the same lane are blocked together. In SQL it would be put into the column's expression and
-- planned with each update of a run.
CREATE FUNCTION @.lane_of(limits jsonb, origin text, attempts integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN coalesce(CASE WHEN origin = 'start' AND attempts >= 2 THEN 's' ELSE 'h' END
    || hashtextextended((SELECT jsonb_agg(l->'key') FROM jsonb_array_elements(limits) l WHERE origin = 'start' OR l->'perMs' IS NULL)::text, 0)::text, '');
END $$;

CREATE TABLE @.runs (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  status text COLLATE "C" NOT NULL,
  due_at bigint,
  epoch integer NOT NULL DEFAULT 0,
  nonce text COLLATE "C",
  head integer NOT NULL DEFAULT 0,
  checkpoint integer NOT NULL DEFAULT 0,
  inbox_head integer NOT NULL DEFAULT 0,
  seen integer NOT NULL DEFAULT 0,
  cancel boolean NOT NULL DEFAULT false,
  attempts integer NOT NULL DEFAULT 0,
  suspects jsonb,
  last_commit text COLLATE "C",
  commits integer NOT NULL DEFAULT 0,
  origin text COLLATE "C" NOT NULL DEFAULT 'start',
  queue text COLLATE "C" NOT NULL,
  workflow text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  thread text COLLATE "C",
  tenant text COLLATE "C",
  input_hash text COLLATE "C" NOT NULL,
  parent_run text COLLATE "C",
  parent_key text COLLATE "C",
  supersedes text COLLATE "C",
  limits jsonb,
  lane text COLLATE "C" NOT NULL GENERATED ALWAYS AS
    (CASE WHEN limits IS NULL OR status = 'running' THEN '' ELSE @.lane_of(limits, origin, attempts) END) STORED,
  error_code text COLLATE "C",
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  ended_at bigint
) WITH (fillfactor = 70);
CREATE INDEX runs_due ON @.runs (queue, lane, due_at, key) WHERE due_at IS NOT NULL;
-- By an expression, which no other index can stand in for: that of statuses would be read for all runs that run.
CREATE INDEX runs_held ON @.runs ((CASE WHEN status = 'running' THEN nonce END)) WHERE CASE WHEN status = 'running' THEN nonce END IS NOT NULL;
CREATE INDEX runs_status ON @.runs (status, key);
CREATE INDEX runs_open ON @.runs (queue) WHERE ended_at IS NULL;
CREATE INDEX runs_ended ON @.runs (ended_at, key) WHERE ended_at IS NOT NULL;
CREATE INDEX runs_thread ON @.runs (thread, key) WHERE thread IS NOT NULL;
CREATE INDEX runs_queued ON @.runs (thread, key) WHERE status = 'queued';
CREATE INDEX runs_tenant ON @.runs (tenant, key) WHERE tenant IS NOT NULL;
CREATE INDEX runs_parent ON @.runs (parent_run, key) WHERE parent_run IS NOT NULL;
CREATE INDEX runs_error ON @.runs (error_code, key) WHERE error_code IS NOT NULL;
-- S11. In a unique index no tenant would be another tenant each time.
CREATE UNIQUE INDEX runs_active ON @.runs (thread, (tenant IS NULL), coalesce(tenant, ''))
  WHERE thread IS NOT NULL AND status IN ('ready', 'running', 'waiting', 'parked');

CREATE TABLE @.payloads (
  run bigint PRIMARY KEY,
  input bytea NOT NULL,
  attributes jsonb NOT NULL,
  result bytea,
  error bytea,
  park_code text,
  park_details bytea
);

CREATE TABLE @.events (run bigint, seq integer, data bytea NOT NULL, PRIMARY KEY (run, seq));
CREATE TABLE @.checkpoints (run bigint, seq integer, PRIMARY KEY (run, seq));

CREATE TABLE @.messages (
  run bigint,
  seq integer,
  id text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  target text COLLATE "C",
  payload bytea NOT NULL,
  status text,
  input_hash text,
  sender text,
  at bigint NOT NULL,
  PRIMARY KEY (run, seq)
);
CREATE UNIQUE INDEX messages_id ON @.messages (id, run);

CREATE TABLE @.hooks (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  token_hash text COLLATE "C" NOT NULL UNIQUE,
  run bigint NOT NULL,
  target text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  once boolean NOT NULL,
  needed integer NOT NULL,
  tool text COLLATE "C",
  details bytea NOT NULL,
  status text COLLATE "C" NOT NULL,
  answers jsonb NOT NULL,
  created_at bigint NOT NULL,
  resolved_at bigint
);
CREATE INDEX hooks_run ON @.hooks (run, key);
CREATE INDEX hooks_kind ON @.hooks (kind, key);
CREATE INDEX hooks_status ON @.hooks (kind, status, key);
CREATE INDEX hooks_tool ON @.hooks (tool, key) WHERE tool IS NOT NULL;
CREATE TABLE @.notes (key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hook bigint NOT NULL, note bytea NOT NULL);
CREATE INDEX notes_hook ON @.notes (hook, key);

CREATE TABLE @.streams (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run bigint NOT NULL,
  name text COLLATE "C" NOT NULL,
  tail integer NOT NULL DEFAULT 0,
  closed boolean NOT NULL DEFAULT false,
  trimmed integer NOT NULL DEFAULT 0,
  trimmed_by text,
  compacted integer NOT NULL DEFAULT 0,
  UNIQUE (run, name)
) WITH (fillfactor = 70);
-- A row for each flush; compacting makes fewer of them. "at" is when its newest chunk was written.
CREATE TABLE @.chunks (
  stream bigint,
  first integer,
  count integer NOT NULL,
  bytes bytea NOT NULL,
  at bigint NOT NULL,
  PRIMARY KEY (stream, first)
);

CREATE TABLE @.ledger (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  run text COLLATE "C" NOT NULL,
  thread text COLLATE "C",
  tenant text COLLATE "C",
  turn text NOT NULL,
  attempt integer NOT NULL,
  provider text NOT NULL,
  model text NOT NULL,
  outcome text NOT NULL,
  input_tokens bigint,
  output_tokens bigint,
  tool_calls integer NOT NULL,
  nano_usd bigint,
  details bytea,
  at bigint NOT NULL
);
CREATE INDEX ledger_run ON @.ledger (run, key);
CREATE INDEX ledger_thread ON @.ledger (thread, key) WHERE thread IS NOT NULL;
CREATE INDEX ledger_tenant ON @.ledger (tenant, key) WHERE tenant IS NOT NULL;

-- S41: the sums of threads, tenants and periods.
CREATE TABLE @.ledger_totals (
  scope text COLLATE "C" PRIMARY KEY,
  attempts bigint NOT NULL,
  turns bigint NOT NULL,
  tool_calls bigint NOT NULL,
  input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  nano_usd bigint NOT NULL,
  unpriced bigint NOT NULL
) WITH (fillfactor = 70);

-- S30: a row for each run that runs under a key of concurrency; what is known of each rate.
CREATE TABLE @.slots (key text COLLATE "C", run bigint, PRIMARY KEY (key, run));
CREATE INDEX slots_run ON @.slots (run);
CREATE TABLE @.rates (key text COLLATE "C" PRIMARY KEY, begun integer NOT NULL, window_end bigint NOT NULL);
CREATE INDEX rates_end ON @.rates (window_end);

CREATE TABLE @.part_ids (id text COLLATE "C" PRIMARY KEY, at bigint NOT NULL);
CREATE INDEX part_ids_at ON @.part_ids (at);
CREATE TABLE @.parts (id text COLLATE "C", hash text COLLATE "C", bytes bytea NOT NULL, PRIMARY KEY (id, hash));
ALTER TABLE @.parts ALTER bytes SET STORAGE EXTERNAL;

CREATE TABLE @.settings (name text PRIMARY KEY, value bytea NOT NULL);

CREATE VIEW @.full_runs AS
  SELECT r.*, p.input, p.attributes, p.result, p.error, p.park_code, p.park_details FROM @.runs r JOIN @.payloads p ON p.run = r.key;
CREATE VIEW @.full_hooks AS
  SELECT h.*, r.id AS run_id, r.workflow, r.thread, r.tenant,
    ARRAY(SELECT n.note FROM @.notes n WHERE n.hook = h.key ORDER BY n.key) AS notes
  FROM @.hooks h JOIN @.runs r ON r.key = h.run;
`;
