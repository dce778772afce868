/** Opening the file. */

import { DatabaseSync } from 'node:sqlite';
import { isBusy, toStoreError } from './failure.ts';
import { migrate } from './migrations.ts';

export interface ConnectionOptions {
  path: string;
  synchronous: 'full' | 'normal';
  busyTimeoutMs: number;
  pragmas: Record<string, string | number>;
}

/** Opens the file with its tables as this release knows them. Throws a `DurableError` that says what is wrong with it. */
export function openDatabase(options: ConnectionOptions): DatabaseSync {
  const { path } = options;
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { enableForeignKeyConstraints: false });
    db.exec(`PRAGMA busy_timeout = ${options.busyTimeoutMs}`);
    setJournalMode(db);
    db.exec(`PRAGMA synchronous = ${options.synchronous}`);
    db.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    for (const [name, value] of Object.entries(options.pragmas)) db.exec(`PRAGMA ${name} = ${value}`);
    migrate(db, path);
    return db;
  } catch (error) {
    db?.close();
    throw toStoreError(error, { doing: 'open', path });
  }
}

/**
 * SQLite's own 1,000 would be a checkpoint in 10 to 20 commits of 50 streaming runs, and each holds the event loop for one more sync. At
 * 16 MB of log they come seldom, and write a page that many commits changed once (bench `event-loop`).
 */
const CHECKPOINT_PAGES = 4_000;

const TRIES = 50;
const PAUSE_MS = 10;

/** While two processes make a new file theirs, SQLite refuses this without waiting for its busy timeout. */
function setJournalMode(db: DatabaseSync): void {
  for (let tries = 1; ; tries += 1) {
    try {
      db.exec('PRAGMA journal_mode = wal');
      return;
    } catch (error) {
      if (!isBusy(error) || tries === TRIES) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}
