/** Removing old runs, what is added to hooks, and the store's own secret. */

import type { Payload } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import { toMillis } from './payloads.ts';
import { toBytes } from './rows.ts';

export const UPKEEP_FUNCTIONS = `
-- S25
CREATE FUNCTION @.remove_runs(older_than bigint, most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  old bigint[];
BEGIN
  old := ARRAY(SELECT key FROM @.runs WHERE ended_at < @.now_ms() - older_than ORDER BY ended_at, key LIMIT most FOR UPDATE SKIP LOCKED);
  DELETE FROM @.notes WHERE hook IN (SELECT key FROM @.hooks WHERE run = ANY (old));
  DELETE FROM @.hooks WHERE run = ANY (old);
  DELETE FROM @.chunks WHERE stream IN (SELECT key FROM @.streams WHERE run = ANY (old));
  DELETE FROM @.streams WHERE run = ANY (old);
  DELETE FROM @.messages WHERE run = ANY (old);
  DELETE FROM @.events WHERE run = ANY (old);
  DELETE FROM @.checkpoints WHERE run = ANY (old);
  DELETE FROM @.payloads WHERE run = ANY (old);
  UPDATE @.part_ids SET at = 0 WHERE id IN (SELECT id FROM @.runs WHERE key = ANY (old));
  DELETE FROM @.runs WHERE key = ANY (old);
  PERFORM @.remove_orphans();
  DELETE FROM @.rates WHERE window_end <= @.now_ms();
  RETURN cardinality(old);
END $$;

CREATE FUNCTION @.keep_secret(proposed bytea) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO @.settings (name, value) VALUES ('secret', proposed) ON CONFLICT (name) DO NOTHING;
  RETURN (SELECT value FROM @.settings WHERE name = 'secret');
END $$;
`;

export interface Upkeep {
  gc(options: { olderThanMs: number; limit: number }): Promise<number>;
  secret(proposed: Uint8Array): Promise<Uint8Array>;
  note(tokenHash: string, note: Payload): Promise<boolean>;
}

export function prepareUpkeep(db: Database): Upkeep {
  return {
    async gc({ olderThanMs, limit }) {
      const [row] = await db.rows<{ remove_runs: string }>('remove_runs', [toMillis(olderThanMs), limit]);
      return Number(row?.remove_runs ?? 0);
    },
    async secret(proposed) {
      const [row] = await db.rows<{ keep_secret: string }>('keep_secret', [proposed]);
      return toBytes(row?.keep_secret ?? null) ?? proposed;
    },
    async note(tokenHash, note) {
      const rows = await db.query(
        'note',
        'INSERT INTO @.notes (hook, note) SELECT key, $2::bytea FROM @.hooks WHERE token_hash = $1 RETURNING 1 AS done',
        [db.text(tokenHash), note],
      );
      return rows.length > 0;
    },
  };
}
