/** Questions about runs: they change nothing. */

import type { StatementSync } from 'node:sqlite';
import { isEnded } from '../../runtime/store.ts';
import type { Backlog, Loaded, Page, Payload, Run, RunQuery } from '../../runtime/store.ts';
import { pageSize } from '../rules.ts';
import { ITEMS_PER_PAGE, isTenant, toPage, where } from './paging.ts';
import { allRows, toMessage, toPayload, toRun } from './rows.ts';
import type { Row } from './rows.ts';
import { FULL_RUNS } from './runs.ts';
import type { Runs } from './runs.ts';
import type { OpenFile } from './open-file.ts';

export interface Reads {
  load(id: string, from?: number): Loaded | null;
  list(query: RunQuery): Page<Run>;
  backlog(without: readonly string[]): Backlog[];
  thread(id: string, tenant: string | null): Run[];
}

function payloads(statement: StatementSync, ...values: number[]): Payload[] {
  return allRows<Row>(statement, ...values).map(({ data }) => toPayload(data));
}

/** `hasBegun`, in SQL. */
const HAS_BEGUN = "status <> 'queued' AND (ended_at IS NULL OR epoch > 0)";

export function prepareReads(file: OpenFile, runs: Runs): Reads {
  const { db, clock } = file;
  const keyOf = db.prepare('SELECT key FROM runs WHERE id = ?');
  const events = db.prepare('SELECT data FROM events WHERE run = ? AND seq >= ? ORDER BY seq');
  const formerCheckpoints = db.prepare(
    `SELECT data FROM checkpoints JOIN events USING (run, seq) WHERE checkpoints.run = ? AND checkpoints.seq < ?
      ORDER BY checkpoints.seq`,
  );
  const messages = db.prepare('SELECT * FROM messages WHERE run = ? AND seq >= ? ORDER BY seq');
  const ofThread = db.prepare(
    `${FULL_RUNS} WHERE thread = ? AND tenant IS ? AND id NOT IN
      (SELECT supersedes FROM runs WHERE thread = ? AND tenant IS ? AND supersedes IS NOT NULL AND ${HAS_BEGUN})
      ORDER BY key`,
  );
  const begin = db.prepare('BEGIN');
  const commit = db.prepare('COMMIT');
  const loadNow = (id: string, from?: number): Loaded | null => {
    const run = runs.full(id);
    const row = keyOf.get(id) as { key: number } | undefined;
    if (run === null || row === undefined) return null;
    return {
      run,
      checkpoints: from === undefined ? payloads(formerCheckpoints, row.key, run.checkpoint) : [],
      events: payloads(events, row.key, from ?? run.checkpoint),
      messages: allRows<Row>(messages, row.key, run.seen).map(toMessage),
      now: clock.now(),
    };
  };
  return {
    /** S23: one view of three tables, whatever other processes commit meanwhile. */
    load(id, from) {
      begin.run();
      try {
        return loadNow(id, from);
      } finally {
        commit.run();
      }
    },
    list: (query) => listRuns(file, query),
    backlog: (without) => countBacklog(file, without),
    thread: (id, tenant) => allRows<Row>(ofThread, id, tenant, id, tenant).map(toRun),
  };
}

/** S29: from one queue to the next by the index, so that runs of queues that are not asked for are not even passed over. */
const BACKLOG = `
  WITH RECURSIVE queues (queue) AS (
    SELECT min(queue) FROM runs INDEXED BY runs_open WHERE ended_at IS NULL
    UNION ALL
    SELECT (SELECT min(queue) FROM runs INDEXED BY runs_open WHERE ended_at IS NULL AND queue > queues.queue) FROM queues WHERE queue IS NOT NULL
  )
  SELECT queue, (SELECT count(*) FROM runs WHERE ended_at IS NULL AND queue = queues.queue) AS runs
    FROM queues WHERE queue IS NOT NULL AND queue NOT IN (SELECT value FROM json_each(?))`;

function countBacklog({ db }: OpenFile, without: readonly string[]): Backlog[] {
  return allRows<Row>(db.prepare(BACKLOG), JSON.stringify(without)).map(({ queue, runs }) => ({
    queue: String(queue),
    runs: Number(runs),
  }));
}

/** Each wanted attribute is there: as pairs, since names may hold any character. */
const HAS_ATTRIBUTES = `NOT EXISTS (SELECT 1 FROM json_each(?) AS want WHERE NOT EXISTS
  (SELECT 1 FROM json_each(payloads.attributes) AS has WHERE has.key = want.key AND has.value = want.value))`;

function listRuns({ db }: OpenFile, query: RunQuery): Page<Run> {
  const size = pageSize(query.limit, ITEMS_PER_PAGE);
  const filter = where([
    ['status IN (SELECT value FROM json_each(?))', query.status && JSON.stringify(query.status)],
    ['workflow = ?', query.workflow],
    ['thread = ?', query.thread],
    isTenant('tenant', query.tenant),
    ['error_code = ?', query.errorCode],
    ['parent_run = ?', query.parent],
    ['created_at > ?', query.createdAfter],
    ['created_at < ?', query.createdBefore],
    [HAS_ATTRIBUTES, query.attributes && JSON.stringify(query.attributes)],
    ['key < ?', query.cursor === undefined ? undefined : Number(query.cursor)],
  ]);
  // Says once more what the statuses say: an index finds the few live runs among many ended ones.
  const isLive = query.status !== undefined && !query.status.some(isEnded);
  const sql = isLive ? `${filter.sql} AND ended_at IS NULL` : filter.sql;
  const rows = db.prepare(`${FULL_RUNS} ${sql} ORDER BY key DESC LIMIT ?`).all(...filter.values, size + 1);
  return toPage(rows, { size, toItem: toRun });
}
