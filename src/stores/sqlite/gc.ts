/** Removing old runs, and the store's own secret. */

import type { OpenFile } from './open-file.ts';
import type { Parts } from './parts.ts';
import { allRows } from './rows.ts';

export interface Upkeep {
  /** S25 */
  gc(options: { olderThanMs: number; limit: number }): number;
  secret(proposed: Uint8Array): Uint8Array;
}

/** In this order: notes and chunks are found through what they belong to. */
const DELETES = [
  'DELETE FROM notes WHERE hook IN (SELECT key FROM hooks WHERE run = ?)',
  'DELETE FROM hooks WHERE run = ?',
  'DELETE FROM chunks WHERE stream IN (SELECT key FROM streams WHERE run = ?)',
  'DELETE FROM streams WHERE run = ?',
  'DELETE FROM messages WHERE run = ?',
  'DELETE FROM events WHERE run = ?',
  'DELETE FROM checkpoints WHERE run = ?',
  'DELETE FROM payloads WHERE run = ?',
  'DELETE FROM runs WHERE key = ?',
];

export function prepareUpkeep({ db, clock }: OpenFile, parts: Parts): Upkeep {
  const old = db.prepare('SELECT key, id FROM runs WHERE ended_at < ? ORDER BY ended_at, key LIMIT ?');
  const deletes = DELETES.map((sql) => db.prepare(sql));
  const propose = db.prepare("INSERT INTO settings (name, value) VALUES ('secret', ?) ON CONFLICT (name) DO NOTHING");
  const secret = db.prepare("SELECT value FROM settings WHERE name = 'secret'");
  return {
    gc({ olderThanMs, limit }) {
      const rows = allRows<{ key: number; id: string }>(old, clock.now() - olderThanMs, limit);
      for (const { key, id } of rows) {
        for (const statement of deletes) statement.run(key);
        parts.release(id);
      }
      return rows.length;
    },
    secret(proposed) {
      propose.run(proposed);
      return (secret.get() as { value: Uint8Array } | undefined)?.value ?? proposed;
    },
  };
}
