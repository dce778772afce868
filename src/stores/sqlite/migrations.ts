/**
 * The tables, as numbered steps forward. `PRAGMA user_version` is the number of steps that a file has taken; a step that
 * was released never changes. What is written with each commit is kept narrow: payloads have tables of their own, and no
 * index holds a column that a plain step changes. Bytes stand last: what is behind them is read through all of them.
 */

import type { DatabaseSync } from 'node:sqlite';
import { DurableError } from '../../runtime/errors.ts';

/** "evrt": tells this store's files from those of other applications. */
const APPLICATION_ID = 0x65767274;

export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE runs (
     key INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     status TEXT NOT NULL,
     due_at INTEGER,
     epoch INTEGER NOT NULL DEFAULT 0,
     nonce TEXT,
     head INTEGER NOT NULL DEFAULT 0,
     checkpoint INTEGER NOT NULL DEFAULT 0,
     inbox_head INTEGER NOT NULL DEFAULT 0,
     seen INTEGER NOT NULL DEFAULT 0,
     cancel INTEGER NOT NULL DEFAULT 0,
     attempts INTEGER NOT NULL DEFAULT 0,
     suspects TEXT,
     last_commit TEXT,
     commits INTEGER NOT NULL DEFAULT 0,
     origin TEXT NOT NULL DEFAULT 'start',
     queue TEXT NOT NULL,
     workflow TEXT NOT NULL,
     version TEXT NOT NULL,
     thread TEXT,
     tenant TEXT,
     input_hash TEXT NOT NULL,
     parent_run TEXT,
     parent_key TEXT,
     supersedes TEXT,
     error_code TEXT,
     created_at INTEGER NOT NULL,
     updated_at INTEGER NOT NULL,
     ended_at INTEGER
   );
   CREATE INDEX runs_due ON runs (queue, due_at) WHERE due_at IS NOT NULL;
   CREATE INDEX runs_ended ON runs (ended_at);
   CREATE INDEX runs_thread ON runs (thread, ended_at) WHERE thread IS NOT NULL;
   CREATE INDEX runs_tenant ON runs (tenant) WHERE tenant IS NOT NULL;
   CREATE INDEX runs_parent ON runs (parent_run) WHERE parent_run IS NOT NULL;
   CREATE INDEX runs_error ON runs (error_code) WHERE error_code IS NOT NULL;

   CREATE TABLE payloads (
     run INTEGER PRIMARY KEY,
     input BLOB,
     attributes TEXT NOT NULL,
     result BLOB,
     error BLOB,
     park_code TEXT,
     park_details BLOB
   );

   CREATE TABLE events (key INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB);
   CREATE UNIQUE INDEX events_run ON events (run, seq);

   CREATE TABLE messages (
     key INTEGER PRIMARY KEY,
     run INTEGER NOT NULL,
     seq INTEGER NOT NULL,
     id TEXT NOT NULL,
     kind TEXT NOT NULL,
     target TEXT,
     payload BLOB,
     status TEXT,
     input_hash TEXT,
     sender TEXT,
     at INTEGER NOT NULL
   );
   CREATE UNIQUE INDEX messages_run ON messages (run, seq);
   CREATE UNIQUE INDEX messages_id ON messages (id, run);

   CREATE TABLE hooks (
     key INTEGER PRIMARY KEY,
     token_hash TEXT NOT NULL UNIQUE,
     run INTEGER NOT NULL,
     target TEXT NOT NULL,
     kind TEXT NOT NULL,
     once INTEGER NOT NULL,
     needed INTEGER NOT NULL,
     tool TEXT,
     details BLOB,
     status TEXT NOT NULL,
     answers TEXT NOT NULL,
     resolved_seq INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     resolved_at INTEGER
   );
   CREATE INDEX hooks_run ON hooks (run);
   CREATE INDEX hooks_open ON hooks (kind) WHERE status = 'open';
   CREATE TABLE notes (key INTEGER PRIMARY KEY, hook INTEGER NOT NULL, note BLOB);
   CREATE INDEX notes_hook ON notes (hook);

   CREATE TABLE streams (key INTEGER PRIMARY KEY, run INTEGER NOT NULL, name TEXT NOT NULL, tail INTEGER NOT NULL, closed INTEGER NOT NULL);
   CREATE UNIQUE INDEX streams_run ON streams (run, name);
   CREATE TABLE chunks (
     key INTEGER PRIMARY KEY,
     stream INTEGER NOT NULL,
     first INTEGER NOT NULL,
     count INTEGER NOT NULL,
     format INTEGER NOT NULL DEFAULT 0,
     at INTEGER,
     bytes BLOB
   );
   CREATE UNIQUE INDEX chunks_stream ON chunks (stream, first);

   CREATE TABLE ledger (
     key INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     run TEXT NOT NULL,
     thread TEXT,
     tenant TEXT,
     turn TEXT NOT NULL,
     attempt INTEGER NOT NULL,
     provider TEXT NOT NULL,
     model TEXT NOT NULL,
     outcome TEXT NOT NULL,
     input_tokens INTEGER,
     output_tokens INTEGER,
     details BLOB,
     at INTEGER NOT NULL
   );
   CREATE INDEX ledger_run ON ledger (run);
   CREATE INDEX ledger_thread ON ledger (thread) WHERE thread IS NOT NULL;
   CREATE INDEX ledger_tenant ON ledger (tenant) WHERE tenant IS NOT NULL;

   CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
   PRAGMA application_id = ${APPLICATION_ID};`,

  `CREATE TABLE checkpoints (run INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (run, seq)) WITHOUT ROWID;
   INSERT INTO checkpoints SELECT key, checkpoint FROM runs WHERE checkpoint > 0;`,

  `ALTER TABLE streams ADD COLUMN last_key INTEGER;
   ALTER TABLE streams ADD COLUMN last_at INTEGER;
   ALTER TABLE streams ADD COLUMN last_size INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE streams ADD COLUMN last_base BLOB;
   ALTER TABLE streams ADD COLUMN trimmed INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE streams ADD COLUMN trimmed_by TEXT;
   ALTER TABLE streams ADD COLUMN compacted INTEGER NOT NULL DEFAULT 0;`,

  // S11. In a unique index no tenant would be another tenant each time.
  `CREATE UNIQUE INDEX runs_active ON runs (thread, tenant IS NULL, ifnull(tenant, ''))
     WHERE thread IS NOT NULL AND status IN ('ready', 'running', 'waiting', 'parked');`,

  `CREATE INDEX runs_open ON runs (queue) WHERE ended_at IS NULL;`,

  // S40. Of rows from before there is the sum of a thread and of a tenant, and none of a period.
  `ALTER TABLE ledger ADD COLUMN tool_calls INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE ledger ADD COLUMN nano_usd INTEGER;
   CREATE TABLE ledger_totals (
     scope TEXT PRIMARY KEY,
     attempts INTEGER NOT NULL,
     turns INTEGER NOT NULL,
     tool_calls INTEGER NOT NULL,
     input_tokens INTEGER NOT NULL,
     output_tokens INTEGER NOT NULL,
     nano_usd INTEGER NOT NULL,
     unpriced INTEGER NOT NULL
   ) WITHOUT ROWID;
   INSERT INTO ledger_totals
     SELECT json_array('thread', tenant, thread), count(*), sum(outcome = 'completed'), 0,
       ifnull(sum(input_tokens), 0), ifnull(sum(output_tokens), 0), 0, count(*)
     FROM ledger WHERE thread IS NOT NULL GROUP BY tenant, thread;
   INSERT INTO ledger_totals
     SELECT json_array('tenant', tenant), count(*), sum(outcome = 'completed'), 0,
       ifnull(sum(input_tokens), 0), ifnull(sum(output_tokens), 0), 0, count(*)
     FROM ledger WHERE tenant IS NOT NULL GROUP BY tenant;`,

  `CREATE TABLE part_ids (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL);
   CREATE INDEX part_ids_at ON part_ids (at);
   CREATE TABLE parts (key INTEGER PRIMARY KEY, home INTEGER NOT NULL, hash TEXT NOT NULL, bytes BLOB);
   CREATE UNIQUE INDEX parts_home ON parts (home, hash);`,
  // A page of what waits for people is found without a look at all that waits, whatever is asked for.
  `ALTER TABLE hooks ADD COLUMN tenant TEXT;
   UPDATE hooks SET tenant = (SELECT runs.tenant FROM runs WHERE runs.key = hooks.run);
   CREATE INDEX hooks_open_tool ON hooks (kind, tool) WHERE status = 'open' AND tool IS NOT NULL;
   CREATE INDEX hooks_open_tenant ON hooks (kind, tenant) WHERE status = 'open' AND tenant IS NOT NULL;
   CREATE INDEX approvals_decided ON hooks (kind) WHERE status <> 'open' AND kind = 'approval';
   CREATE INDEX approvals_tool ON hooks (tool) WHERE kind = 'approval';
   CREATE INDEX approvals_tenant ON hooks (tenant) WHERE kind = 'approval' AND tenant IS NOT NULL;`,
  // S30
  `ALTER TABLE runs ADD COLUMN limits TEXT;
   ALTER TABLE runs ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;
   DROP INDEX runs_due;
   CREATE INDEX runs_due ON runs (queue, lane, due_at) WHERE due_at IS NOT NULL;
   CREATE TABLE lanes (
     key INTEGER PRIMARY KEY,
     queue TEXT NOT NULL,
     suspect INTEGER NOT NULL,
     keys TEXT NOT NULL,
     limits TEXT NOT NULL,
     head INTEGER NOT NULL,
     head_at INTEGER NOT NULL,
     due_at INTEGER,
     blocked TEXT,
     opens_at INTEGER
   );
   CREATE UNIQUE INDEX lanes_keys ON lanes (queue, suspect, keys);
   CREATE INDEX lanes_due ON lanes (queue, suspect, due_at, head) WHERE due_at IS NOT NULL;
   CREATE INDEX lanes_blocked ON lanes (blocked, queue, suspect, head_at, head) WHERE blocked IS NOT NULL;
   CREATE INDEX lanes_opens ON lanes (queue, opens_at) WHERE opens_at IS NOT NULL;
   CREATE TABLE limit_uses (
     key TEXT PRIMARY KEY,
     held INTEGER NOT NULL,
     begun INTEGER NOT NULL,
     window_end INTEGER
   ) WITHOUT ROWID;
   CREATE INDEX limit_windows ON limit_uses (window_end) WHERE window_end IS NOT NULL;`,
  // S21. What they are was told by other columns before.
  `UPDATE hooks SET kind = 'question', tool = NULL WHERE kind = 'hook' AND tool = '?';
   UPDATE hooks SET kind = 'webhook' WHERE kind = 'hook'
     AND (target = 'webhook' OR target GLOB 'webhook[:#]*' OR target GLOB '*/webhook' OR target GLOB '*/webhook[:#]*');
   CREATE INDEX questions ON hooks (kind) WHERE kind = 'question';`,
];

/**
 * Brings the file up to this release's tables, in one transaction that other processes wait for.
 * Throws `store_newer` for a file of a newer release and `invalid_argument` for another application's file; neither is changed.
 */
export function migrate(db: DatabaseSync, path: string): void {
  if (checkedVersion(db, path) === MIGRATIONS.length) return;
  db.exec('BEGIN IMMEDIATE');
  try {
    // Another process may have done it meanwhile.
    for (const step of MIGRATIONS.slice(checkedVersion(db, path))) db.exec(step);
    db.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
    db.exec('COMMIT');
  } catch (error) {
    db.exec('ROLLBACK');
    throw error;
  }
}

function checkedVersion(db: DatabaseSync, path: string): number {
  const version = readNumber(db, 'PRAGMA user_version');
  const isOurs = readNumber(db, 'PRAGMA application_id') === APPLICATION_ID;
  if (!isOurs && (version > 0 || readNumber(db, 'SELECT count(*) FROM sqlite_schema') > 0)) {
    throw new DurableError(
      'invalid_argument',
      `Cannot open the store "${path}": the file is another application's SQLite database. Give the store a file of its own.`,
      { details: { path } },
    );
  }
  if (version > MIGRATIONS.length) {
    throw new DurableError(
      'store_newer',
      `Cannot open the store "${path}": its schema is number ${version} and this release knows up to ${MIGRATIONS.length}. ` +
        'Run the release that wrote it, or a newer one.',
      { details: { path, found: version, known: MIGRATIONS.length } },
    );
  }
  return version;
}

function readNumber(db: DatabaseSync, sql: string): number {
  return Number(Object.values(db.prepare(sql).get() ?? {})[0] ?? 0);
}
