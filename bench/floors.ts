/**
 * The floors: what the same work costs with the plain client of the same kind of file, at the same durability. Every
 * floor is measured in turns with what it is compared with, in the same process.
 */

import { DatabaseSync } from 'node:sqlite';

/** 1 KB of JSON, as the result of a step or the row of a floor. */
export function kilobyte(i: number): { i: number; body: string } {
  return { i, body: 'abcdefghijklmnopqrstuvwxyz012345'.repeat(31) };
}

export interface SqliteFloor {
  /** One row of 1 KB, one commit, one sync to disk. */
  insert(): void;
  /** So many rows of 1 KB in one commit. */
  insertTogether(count: number): void;
  close(): void;
}

/** Plain `node:sqlite`: a table of (run, seq, body), one prepared insert, WAL, synchronous FULL. */
export function sqliteFloor(path: string): SqliteFloor {
  const db = new DatabaseSync(path);
  db.exec('PRAGMA journal_mode = wal; PRAGMA synchronous = full');
  assertDurable(db);
  db.exec('CREATE TABLE steps (run TEXT, seq INTEGER, body TEXT, PRIMARY KEY (run, seq)) WITHOUT ROWID');
  const statement = db.prepare('INSERT INTO steps VALUES (?, ?, ?)');
  let seq = 0;
  const insert = (): void => {
    statement.run('run', seq, JSON.stringify(kilobyte(seq)));
    seq += 1;
  };
  return {
    insert,
    insertTogether(count) {
      db.exec('BEGIN IMMEDIATE');
      for (let i = 0; i < count; i += 1) insert();
      db.exec('COMMIT');
    },
    close: () => db.close(),
  };
}

const SYNCHRONOUS_FULL = 2;

export interface Durability {
  journalMode: string;
  synchronous: number;
}

/** What the open connection does for durability. Throws unless it is WAL with a sync on every commit. */
export function assertDurable(db: DatabaseSync): Durability {
  const journalMode = String(db.prepare('PRAGMA journal_mode').get()?.['journal_mode']);
  const synchronous = Number(db.prepare('PRAGMA synchronous').get()?.['synchronous']);
  if (journalMode !== 'wal' || synchronous !== SYNCHRONOUS_FULL) {
    throw new Error(
      `The figures would be of another durability: journal_mode is ${journalMode}, synchronous is ${synchronous}.`,
    );
  }
  return { journalMode, synchronous };
}
