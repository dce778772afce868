/** Reading streams: whole rows of packed chunks, unpacked here. */

import { DurableError } from '../../runtime/errors.ts';
import type { Payload, StreamExpiry, StreamPage } from '../../runtime/store.ts';
import { unpackChunks } from '../packing.ts';
import type { Database } from './database.ts';
import { toInteger } from './payloads.ts';
import { toBytes } from './rows.ts';

/** A row of a pack is read whole for any of its chunks: some pages of Postgres. */
export const ROW_BYTES = 16_000;
/** Rows read at once: there is one for each flush until the stream is compacted. */
const ROWS_AT_ONCE = 256;

/** One row without chunks if there are none; none if there is no such run. Of the chunks as many rows as may be needed for the bytes. */
const READ = `
  SELECT r.ended_at, s.tail, s.closed, s.trimmed, s.trimmed_by, c.first, c.bytes
  FROM @.runs r LEFT JOIN @.streams s ON s.run = r.key AND s.name = $2
  LEFT JOIN LATERAL (
    SELECT first, bytes, sum(octet_length(bytes)) OVER (ORDER BY first) - octet_length(bytes) AS before FROM (
      SELECT first, bytes FROM @.chunks WHERE stream = s.key AND $3::integer >= s.trimmed AND first < s.tail AND
        first >= coalesce((SELECT first FROM @.chunks WHERE stream = s.key AND first <= $3::integer ORDER BY first DESC LIMIT 1), 0)
      ORDER BY first LIMIT ${ROWS_AT_ONCE}) few
  ) c ON c.before <= $4::bigint
  WHERE r.id = $1 ORDER BY c.first`;

interface ReadRow {
  ended_at: string | null;
  tail: string | null;
  closed: string | null;
  trimmed: string | null;
  trimmed_by: StreamExpiry['reason'] | null;
  first: string | null;
  bytes: string | null;
}

interface ReadAt {
  run: string;
  stream: string;
  from: number;
  maxBytes: number;
}

export type Read = (
  run: string,
  stream: string,
  options: { from: number; maxBytes: number },
) => Promise<StreamPage | null>;

/** S24 */
export function prepareRead(db: Database): Read {
  return async (run, stream, options) => {
    const at = { run, stream, from: Math.max(0, options.from), maxBytes: options.maxBytes };
    const fresh = db.fresh.find(at);
    if (fresh !== undefined) return fresh;
    const page: Taken = { chunks: [], bytes: 0, isFull: false };
    for (;;) {
      const next = at.from + page.chunks.length;
      const rows = await db.query<ReadRow>('read', READ, [db.text(run), db.text(stream), toInteger(next), at.maxBytes]);
      const [row] = rows;
      if (row === undefined) return null;
      const tail = Number(row.tail ?? 0);
      const before = Number(row.trimmed ?? 0);
      if (next < before && row.trimmed_by !== null) {
        const expired = { before, reason: row.trimmed_by };
        // Removed since the rows before were read: those stand.
        return {
          chunks: page.chunks,
          from: at.from,
          tail,
          closed: false,
          ...(page.chunks.length === 0 ? { expired } : {}),
        };
      }
      if (next < tail) takeRows(page, { rows, at });
      if (!page.isFull && at.from + page.chunks.length < tail) continue;
      const isClosed = row.closed === 't' || row.ended_at !== null;
      return { chunks: page.chunks, from: at.from, tail, closed: isClosed && at.from + page.chunks.length >= tail };
    }
  };
}

interface Taken {
  chunks: Payload[];
  bytes: number;
  isFull: boolean;
}

function takeRows(page: Taken, { rows, at }: { rows: ReadRow[]; at: ReadAt }): void {
  const known = page.chunks.length;
  const take = (bytes: number): boolean => {
    page.bytes += bytes;
    page.isFull = page.bytes > at.maxBytes && page.chunks.length + taken > 0;
    taken += 1;
    return !page.isFull;
  };
  let taken = 0;
  for (const { first, bytes } of rows) {
    if (page.isFull) break;
    const packed = toBytes(bytes);
    const skipped = at.from + page.chunks.length - Number(first);
    if (packed === null || skipped < 0) throw missingChunks(at);
    taken = 0;
    for (const chunk of unpackChunks(packed, { from: skipped, take })) page.chunks.push(chunk);
  }
  if (page.chunks.length === known && !page.isFull) throw missingChunks(at);
}

function missingChunks({ run, stream, from }: ReadAt): DurableError {
  return new DurableError(
    'store_corrupt',
    `Cannot read the stream "${stream}" of run "${run}" from ${from} on: chunks are missing in the database. Restore it from a backup.`,
    { details: { run, stream, from } },
  );
}
