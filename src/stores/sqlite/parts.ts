/** Parts of large values (S35 to S37), by the id that they were put under. */

import { ORPHAN_MS } from '../../runtime/store.ts';
import type { Part } from '../../runtime/store.ts';
import type { OpenFile } from './open-file.ts';
import { allRows, toPayload } from './rows.ts';

export interface Parts {
  put(id: string, parts: readonly Part[]): void;
  get(id: string, hashes: readonly string[]): Array<Uint8Array | null>;
  /** The run of this id is gone: its parts are the next to be removed. */
  release(id: string): void;
  /** Those of ids that nobody has, as far as one pass goes; whether there may be more. */
  removeOrphans(): boolean;
}

/** Ids that a pass looks at, and parts that it removes at most: 6 MB as a rule, and some milliseconds' work. */
const MOST_IDS = 64;
const MOST_REMOVED = 64;

export function prepareParts({ db, clock }: OpenFile): Parts {
  const touch = db.prepare(
    'INSERT INTO part_ids (id, at) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at RETURNING key',
  );
  const insert = db.prepare('INSERT INTO parts (home, hash, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING');
  const find = db.prepare(
    'SELECT bytes FROM parts JOIN part_ids ON part_ids.key = parts.home WHERE part_ids.id = ? AND hash = ?',
  );
  const setAge = db.prepare('UPDATE part_ids SET at = ? WHERE id = ?');
  const remove = prepareRemoval(db);
  const old = db.prepare(
    `SELECT key, id,
       EXISTS (SELECT 1 FROM runs WHERE runs.id = part_ids.id)
       OR EXISTS (SELECT 1 FROM messages WHERE messages.id = part_ids.id) AS is_needed
     FROM part_ids WHERE at < ? ORDER BY at LIMIT ${MOST_IDS}`,
  );
  return {
    put(id, parts) {
      const { key } = touch.get(id, clock.now()) as { key: number };
      for (const { hash, bytes } of parts) insert.run(key, hash, bytes);
    },
    get: (id, hashes) =>
      hashes.map((hash) => {
        const row = find.get(id, hash);
        return row === undefined ? null : toPayload(row['bytes']);
      }),
    release: (id) => void setAge.run(0, id),
    removeOrphans() {
      const now = clock.now();
      let room = MOST_REMOVED;
      const rows = allRows<PartsOf>(old, now - ORPHAN_MS);
      for (const { key, id, is_needed: isNeeded } of rows) {
        // Looked at again in an hour.
        if (isNeeded === 1) setAge.run(now, id);
        else room -= remove(key, room);
        if (room <= 0) return true;
      }
      return rows.length === MOST_IDS;
    },
  };
}

interface PartsOf {
  key: number;
  id: string;
  is_needed: number;
}

/** Answers how many of an id it took out. */
function prepareRemoval(db: OpenFile['db']): (home: number, most: number) => number {
  const some = db.prepare('DELETE FROM parts WHERE key IN (SELECT key FROM parts WHERE home = ? LIMIT ?)');
  const forget = db.prepare('DELETE FROM part_ids WHERE key = ?');
  return (home, most) => {
    const removed = Number(some.run(home, most).changes);
    if (removed < most) forget.run(home);
    return removed;
  };
}
