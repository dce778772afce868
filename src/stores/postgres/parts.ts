/** Parts of large values (S35 to S37), by the id that they were put under. */

import { ORPHAN_MS } from '../../runtime/store.ts';
import type { Part } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import { Blobs } from './payloads.ts';
import { toBytes } from './rows.ts';

/** Ids that a pass looks at, and parts that it removes at most. */
const MOST_IDS = 64;
const MOST_REMOVED = 512;

export const PARTS_FUNCTIONS: string = `
-- S35
CREATE FUNCTION @.put_parts(of_id text, parts jsonb, data bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO @.part_ids (id, at) VALUES (of_id, @.now_ms()) ON CONFLICT (id) DO UPDATE SET at = excluded.at;
  INSERT INTO @.parts (id, hash, bytes)
    SELECT of_id, p->>0, substring(data FROM (p->>1)::integer + 1 FOR (p->>2)::integer) FROM jsonb_array_elements(parts) p
    ON CONFLICT DO NOTHING;
END $$;

-- S37. What is being put meanwhile is passed over.
CREATE FUNCTION @.remove_orphans() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  now bigint := @.now_ms();
  room integer := ${MOST_REMOVED};
  gone integer;
  p record;
BEGIN
  FOR p IN SELECT id FROM @.part_ids WHERE at < now - ${ORPHAN_MS} ORDER BY at LIMIT ${MOST_IDS} FOR UPDATE SKIP LOCKED LOOP
    IF EXISTS (SELECT 1 FROM @.runs r WHERE r.id = p.id) OR EXISTS (SELECT 1 FROM @.messages m WHERE m.id = p.id) THEN
      -- Looked at again in an hour.
      UPDATE @.part_ids SET at = now WHERE id = p.id;
    ELSE
      DELETE FROM @.parts WHERE id = p.id AND hash IN (SELECT hash FROM @.parts WHERE id = p.id LIMIT room);
      GET DIAGNOSTICS gone = ROW_COUNT;
      room := room - gone;
      IF room > 0 THEN DELETE FROM @.part_ids WHERE id = p.id; END IF;
    END IF;
    EXIT WHEN room <= 0;
  END LOOP;
END $$;
`;

/** S36 */
const GET_PARTS =
  'SELECT p.bytes FROM unnest($2::text[]) WITH ORDINALITY AS h (hash, n) LEFT JOIN @.parts p ON p.id = $1 AND p.hash = h.hash ORDER BY h.n';

export interface Parts {
  putParts(id: string, parts: readonly Part[]): Promise<void>;
  getParts(id: string, hashes: readonly string[]): Promise<Array<Uint8Array | null>>;
}

export function prepareParts(db: Database): Parts {
  return {
    async putParts(id, parts) {
      const blobs = new Blobs();
      const list = parts.map(({ hash, bytes }) => [hash, ...blobs.add(bytes)]);
      await db.rows('put_parts', [db.text(id), db.json(list), blobs.bytes()]);
    },
    async getParts(id, hashes) {
      const rows = await db.query<{ bytes: string | null }>('parts', GET_PARTS, [db.text(id), db.texts(hashes)]);
      return rows.map(({ bytes }) => toBytes(bytes));
    },
  };
}
