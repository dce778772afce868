/**
 * Who else lives: each store that claims holds a shared lock on `<file>.lock` while it is open, as an open read transaction
 * of a second SQLite file. The operating system drops it when the process dies, however it dies.
 *
 *  L1 A store that gets the lock for itself alone knows that every lease in the file belongs to the dead.
 *  L2 It has the shared lock before its first claim; so no claim of a living store is ever taken for one of the dead.
 */

import { DatabaseSync } from 'node:sqlite';
import { isBusy } from './failure.ts';

export interface ProcessLock {
  /** Takes the shared lock; calls `whenAlone` before that if nobody else holds it. The second call does nothing. */
  join(whenAlone: () => void): void;
  close(): void;
}

/** Two stores may try for it at once; each lets go within one transaction. */
const SHARED_TIMEOUT_MS = 5_000;

export function processLock(path: string): ProcessLock {
  let held: DatabaseSync | null = null;
  return {
    join(whenAlone) {
      if (held !== null) return;
      const db = new DatabaseSync(path);
      try {
        if (lockAlone(db)) {
          whenAlone();
          db.exec('COMMIT');
        }
        db.exec(`PRAGMA busy_timeout = ${SHARED_TIMEOUT_MS}; BEGIN; SELECT count(*) FROM sqlite_schema;`);
        held = db;
      } catch (error) {
        db.close();
        throw error;
      }
    },
    close() {
      held?.close();
      held = null;
    },
  };
}

/** A database in memory has one user. Nothing is left in it by the dead. */
export function noLock(): ProcessLock {
  return { join: () => undefined, close: () => undefined };
}

function lockAlone(db: DatabaseSync): boolean {
  try {
    db.exec('PRAGMA busy_timeout = 0; PRAGMA journal_mode = delete; BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  }
}
