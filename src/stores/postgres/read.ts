/** Questions about runs: they change nothing, and each is one statement, so that it sees one moment. */

import type { Clock } from '../../runtime/clock.ts';
import { isEnded } from '../../runtime/store.ts';
import type { Backlog, Hook, HookQuery, Loaded, Page, Payload, Run, RunQuery } from '../../runtime/store.ts';
import { pageSize } from '../rules.ts';
import type { Database } from './database.ts';
import { prepareGathering } from './gathering.ts';
import { Filter, ITEMS_PER_PAGE, toPage } from './paging.ts';
import { toInteger } from './payloads.ts';
import { toBytes, toHook, toMessage, toRun } from './rows.ts';
import type { JsonRow } from './rows.ts';

export interface Reads {
  load(id: string, from?: number): Promise<Loaded | null>;
  get(id: string): Promise<Run | null>;
  list(query: RunQuery): Promise<Page<Run>>;
  backlog(without: readonly string[]): Promise<Backlog[]>;
  hook(tokenHash: string): Promise<Hook | null>;
  listHooks(query: HookQuery): Promise<Page<Hook>>;
  thread(id: string, tenant?: string | null): Promise<Run[]>;
}

/** S23. What comes first says which rows follow. */
const LOAD = `
  WITH r AS MATERIALIZED (SELECT * FROM @.full_runs WHERE id = $1)
  SELECT part, seq, row, data FROM (
    SELECT 0 AS part, 0 AS seq, jsonb_build_object('run', to_jsonb(r), 'now', @.now_ms(), 'messages',
      (SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.seq), '[]') FROM @.messages m WHERE m.run = r.key AND m.seq >= r.seen)) AS row,
      NULL::bytea AS data FROM r
    UNION ALL SELECT 1, e.seq, NULL, e.data FROM r JOIN @.checkpoints c ON c.run = r.key AND c.seq < r.checkpoint
      JOIN @.events e ON e.run = c.run AND e.seq = c.seq WHERE $2::integer IS NULL
    UNION ALL SELECT 2, e.seq, NULL, e.data FROM r JOIN @.events e ON e.run = r.key AND e.seq >= coalesce($2, r.checkpoint)
  ) parts ORDER BY part, seq`;

/** A row for each id, in their order. For ids in an array Postgres would plan anew each time, since it counts on as many rows. */
const GET = `
  SELECT (SELECT to_json(f) FROM @.full_runs f WHERE f.id = asked.id) AS row
    FROM jsonb_array_elements_text($1) WITH ORDINALITY asked (id, at) ORDER BY at`;

/** `hasBegun`, in SQL. */
const HAS_BEGUN = "status <> 'queued' AND (ended_at IS NULL OR epoch > 0)";

const THREAD = `
  SELECT to_jsonb(f) AS row FROM @.full_runs f WHERE thread = $1 AND tenant IS NOT DISTINCT FROM $2 AND NOT EXISTS
    (SELECT 1 FROM @.runs s WHERE s.thread = $1 AND s.tenant IS NOT DISTINCT FROM $2 AND s.supersedes = f.id AND ${HAS_BEGUN.replaceAll(/\b(status|ended_at|epoch)\b/g, 's.$1')})
  ORDER BY key`;

/** S29: from one queue to the next by the index, so that runs of queues that are not asked for are not even passed over. */
const BACKLOG = `
  WITH RECURSIVE queues (queue) AS (
    (SELECT queue FROM @.runs WHERE ended_at IS NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT r.queue FROM @.runs r WHERE r.ended_at IS NULL AND r.queue > q.queue ORDER BY r.queue LIMIT 1) FROM queues q WHERE q.queue IS NOT NULL
  )
  SELECT jsonb_build_object('queue', queue, 'runs', (SELECT count(*) FROM @.runs r WHERE r.ended_at IS NULL AND r.queue = queues.queue)) AS row
    FROM queues WHERE queue IS NOT NULL AND NOT queue = ANY ($1::text[]) ORDER BY queue`;

interface Part {
  part: string;
  row: string | null;
  data: string | null;
}

export function prepareReads(db: Database, clock: Pick<Clock, 'defer'>): Reads {
  const rows = async (name: string, sql: string, values: unknown[]): Promise<JsonRow[]> =>
    (await db.query<{ row: string }>(name, sql, values)).map(({ row }) => db.parse(row) as JsonRow);
  return {
    async load(id, from) {
      return toLoaded(
        db,
        await db.query<Part>('load', LOAD, [db.text(id), from === undefined ? null : toInteger(from)]),
      );
    },
    get: prepareGathering(clock, async (ids: string[]) => {
      const found = await db.query('get', GET, [db.json(ids)]);
      return found.map(({ row }) => (typeof row === 'string' ? toRun(db.parse(row) as JsonRow) : null));
    }),
    async list(query) {
      const size = pageSize(query.limit, ITEMS_PER_PAGE);
      const { sql, values } = runsOf(db, query);
      return toPage(await rows('', `${sql} ORDER BY f.key DESC LIMIT ${size + 1}`, values), { size, toItem: toRun });
    },
    async backlog(without) {
      return (await rows('backlog', BACKLOG, [db.texts(without)])) as unknown as Backlog[];
    },
    async hook(tokenHash) {
      const sql = 'SELECT to_jsonb(f) AS row FROM @.full_hooks f WHERE token_hash = $1';
      const [row] = await rows('hook', sql, [db.text(tokenHash)]);
      return row === undefined ? null : toHook(row);
    },
    async listHooks(query) {
      const size = pageSize(query.limit, ITEMS_PER_PAGE);
      const { sql, values } = hooksOf(db, query);
      return toPage(await rows('', `${sql} ORDER BY f.key DESC LIMIT ${size + 1}`, values), { size, toItem: toHook });
    },
    async thread(id, tenant = null) {
      return (await rows('thread', THREAD, [db.text(id), tenant === null ? null : db.text(tenant)])).map(toRun);
    },
  };
}

function toLoaded(db: Database, parts: Part[]): Loaded | null {
  const [first, ...rest] = parts;
  if (first === undefined || first.row === null) return null;
  const { run, messages, now } = db.parse(first.row) as { run: JsonRow; messages: JsonRow[]; now: number };
  const payloads = (part: string): Payload[] =>
    rest.filter((row) => row.part === part).map(({ data }) => toBytes(data) ?? new Uint8Array(0));
  return { run: toRun(run), checkpoints: payloads('1'), events: payloads('2'), messages: messages.map(toMessage), now };
}

/** The statement for a page of runs, without its order and limit. */
export function runsOf(
  db: Pick<Database, 'text' | 'texts' | 'json'>,
  query: RunQuery,
): { sql: string; values: unknown[] } {
  const filter = new Filter(db)
    .oneOf('f.status', query.status)
    .text('f.workflow', query.workflow)
    .text('f.thread', query.thread)
    .tenant('f.tenant', query.tenant)
    .text('f.error_code', query.errorCode)
    .text('f.parent_run', query.parent)
    .number('f.created_at >', query.createdAfter)
    .number('f.created_at <', query.createdBefore)
    .json('f.attributes @>', query.attributes)
    .number('f.key <', query.cursor === undefined ? undefined : Number(query.cursor));
  // Says once more what the statuses say: an index finds the few live runs among many ended ones.
  if (query.status !== undefined && !query.status.some(isEnded)) filter.add('f.ended_at IS NULL');
  return filter.select('@.full_runs f');
}

/** The statement for a page of hooks, without its order and limit. */
export function hooksOf(
  db: Pick<Database, 'text' | 'texts' | 'json'>,
  query: HookQuery,
): { sql: string; values: unknown[] } {
  return new Filter(db)
    .text('f.kind', query.kind)
    .oneOf('f.status', query.status)
    .text('f.run_id', query.run)
    .text('f.thread', query.thread)
    .tenant('f.tenant', query.tenant)
    .text('f.tool', query.tool)
    .number('f.key <', query.cursor === undefined ? undefined : Number(query.cursor))
    .select('@.full_hooks f');
}
