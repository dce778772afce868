/**
 * What becomes of chunks that stay: packed into fewer rows (S28), and removed when they are too old or too many (S27). Neither has a sync
 * of its own (`writes.ts` W4): after a loss of power, chunks may be there again until they are removed once more.
 */

import { ChunkPacker } from '../packing.ts';
import { isSpared } from '../rules.ts';
import type { Payload, StreamExpiry, TrimRequest, TrimResult } from '../../runtime/store.ts';
import { allRows } from './rows.ts';
import type { Row } from './rows.ts';
import type { OpenFile } from './open-file.ts';
import { chunksOf, FORMAT, ROW_BYTES, ROW_SPAN_MS } from './streams.ts';

export interface Retention {
  compact(run: string, stream: string): boolean;
  trim(request: TrimRequest): TrimResult;
}

export function prepareRetention(file: OpenFile): Retention {
  return { compact: prepareCompact(file), trim: prepareTrim(file) };
}

/** Rows that a pass looks at, and bytes that it writes anew: a millisecond's work (bench `stream`). */
const MOST_ROWS = 64;
const MOST_BYTES = 32_768;
/** Larger ones would not become fewer. */
const SMALL_BYTES = 8_000;

interface SmallRow extends Row {
  key: number;
  first: number;
  count: number;
  size: number;
  format: number;
  at: number | null;
}

interface CompactRow {
  key: number;
  last_key: number | null;
  compacted: number;
  is_closed: number;
}

function prepareCompact({ db }: OpenFile): Retention['compact'] {
  const find = db.prepare(
    `SELECT streams.key, last_key, compacted, closed OR ended_at IS NOT NULL AS is_closed
     FROM streams JOIN runs ON runs.key = streams.run WHERE runs.id = ? AND streams.name = ?`,
  );
  const sizes = db.prepare(
    `SELECT key, first, count, length(bytes) AS size, format, at FROM chunks WHERE stream = ? AND first >= ? ORDER BY first LIMIT ${MOST_ROWS}`,
  );
  const bytesOf = db.prepare('SELECT bytes, format FROM chunks WHERE key = ?');
  const remove = db.prepare('DELETE FROM chunks WHERE key = ?');
  const insert = db.prepare(
    `INSERT INTO chunks (stream, first, count, bytes, format, at) VALUES (?, ?, ?, ?, ${FORMAT.packed}, ?)`,
  );
  const advance = db.prepare('UPDATE streams SET compacted = ?, last_key = ? WHERE key = ?');
  const packer = new ChunkPacker();

  const rewrite = (stream: number, rows: SmallRow[]): void => {
    const chunks: Payload[] = [];
    for (const { key } of rows) {
      const row = bytesOf.get(key) as Row;
      for (const chunk of chunksOf(row, { from: 0 })) chunks.push(chunk);
      remove.run(key);
    }
    const first = rows[0]?.first ?? 0;
    const at = rows.at(-1)?.at ?? null;
    for (let start = 0; start < chunks.length;) {
      const pack = packer.pack(chunks, { start, base: null, maxBytes: ROW_BYTES, appends: false });
      insert.run(stream, first + start, pack.count, pack.bytes, at);
      start += pack.count;
    }
  };

  return (run, name) => {
    const stream = find.get(run, name) as CompactRow | undefined;
    if (stream === undefined) return false;
    const found = allRows<SmallRow>(sizes, stream.key, stream.compacted);
    const { group, compacted, hasMore } = nextStep(stream, found);
    if (group.length > 1 || group[0]?.format === FORMAT.flat) rewrite(stream.key, group);
    const lastKey = stream.is_closed === 1 ? null : stream.last_key;
    if (compacted !== stream.compacted || lastKey !== stream.last_key) advance.run(compacted, lastKey, stream.key);
    return hasMore;
  };
}

interface Step {
  /** Rows to write anew. */
  group: SmallRow[];
  /** Up to where all is done. */
  compacted: number;
  hasMore: boolean;
}

function nextStep(stream: CompactRow, found: SmallRow[]): Step {
  const isClosed = stream.is_closed === 1;
  // The last row of an open stream is being written.
  const rows = isClosed ? found : found.filter(({ key }) => key !== stream.last_key);
  const group = smallRows(rows);
  const last = group.at(-1) ?? rows.at(-1);
  if (last === undefined) return { group, compacted: stream.compacted, hasMore: false };
  const isAtEnd = last === rows.at(-1);
  const [first] = group;
  // Rows that come later may join those at the end of an open stream.
  if (isAtEnd && !isClosed && first !== undefined && sizeOf(group) < SMALL_BYTES)
    return { group, compacted: first.first, hasMore: false };
  return { group, compacted: last.first + last.count, hasMore: !isAtEnd || found.length === MOST_ROWS };
}

/** The first rows that together would be fewer. */
function smallRows(rows: SmallRow[]): SmallRow[] {
  const group: SmallRow[] = [];
  for (const row of rows) {
    const isSmall = row.size < SMALL_BYTES || row.format === FORMAT.flat;
    const joins = group.length === 0 || (isWithin(group, row) && sizeOf(group) + row.size <= MOST_BYTES);
    if (isSmall && joins) group.push(row);
    else if (group.length > 0) break;
  }
  return group;
}

function isWithin([first]: SmallRow[], { at }: SmallRow): boolean {
  return (at ?? 0) - (first?.at ?? 0) <= ROW_SPAN_MS;
}

function sizeOf(rows: SmallRow[]): number {
  return rows.reduce((size, row) => size + row.size, 0);
}

/** Rows that one pass removes at most. */
const MOST_REMOVED = 256;

interface TrimRow {
  key: number;
  name: string;
  tail: number;
  trimmed: number;
  trimmed_by: StreamExpiry['reason'] | null;
  ended_at: number | null;
  updated_at: number;
}

/** Before the offset that is answered rows are too old, as far as one pass goes. */
function prepareYoungFrom({
  db,
  clock,
}: Pick<OpenFile, 'db' | 'clock'>): (row: TrimRow, olderThanMs: number) => number {
  const ages = db.prepare(
    `SELECT first, count, at FROM chunks WHERE stream = ? AND first >= ? ORDER BY first LIMIT ${MOST_REMOVED}`,
  );
  return (row, olderThanMs) => {
    const before = clock.now() - olderThanMs;
    let end = row.trimmed;
    // One by one: the first is young as a rule (bench `storage`).
    for (const next of ages.iterate(row.key, row.trimmed)) {
      const { first, count, at } = next as Row & SmallRow;
      const writtenBy = at === null ? row.updated_at : at + ROW_SPAN_MS;
      if (writtenBy >= before) break;
      end = first + count;
    }
    return end;
  };
}

function prepareTrim({ db, clock }: OpenFile): Retention['trim'] {
  const streams = db.prepare(
    `SELECT streams.key, name, tail, trimmed, trimmed_by, ended_at, updated_at
     FROM streams JOIN runs ON runs.key = streams.run WHERE streams.key > ? ORDER BY streams.key LIMIT ?`,
  );
  const youngFrom = prepareYoungFrom({ db, clock });
  const setTrimmed = db.prepare('UPDATE streams SET trimmed = ?, trimmed_by = ? WHERE key = ?');
  const remove = db.prepare(
    `DELETE FROM chunks WHERE key IN
       (SELECT key FROM chunks WHERE stream = ? AND first < ? AND first + count <= ? ORDER BY first LIMIT ${MOST_REMOVED})`,
  );
  const forgetLast = db.prepare(
    'UPDATE streams SET last_key = NULL WHERE key = ? AND NOT EXISTS (SELECT 1 FROM chunks WHERE key = last_key)',
  );

  const limits = (row: TrimRow, { keep, olderThanMs }: TrimRequest): Pick<TrimRow, 'trimmed' | 'trimmed_by'> => {
    const byCount = keep === undefined ? 0 : row.tail - keep;
    const byAge = olderThanMs === undefined ? 0 : youngFrom(row, olderThanMs);
    const trimmed = Math.max(byCount, byAge);
    return trimmed <= row.trimmed ? row : { trimmed, trimmed_by: byAge > byCount ? 'age' : 'count' };
  };

  /** How many rows it took out. */
  const apply = (row: TrimRow, next: Pick<TrimRow, 'trimmed' | 'trimmed_by'>): number => {
    if (next.trimmed > row.trimmed) setTrimmed.run(next.trimmed, next.trimmed_by, row.key);
    if (next.trimmed === 0) return 0;
    const { changes } = remove.run(row.key, next.trimmed, next.trimmed);
    if (Number(changes) > 0) forgetLast.run(row.key);
    return Number(changes);
  };

  return (request) => {
    const rows = allRows<TrimRow>(streams, Number(request.cursor ?? 0), request.limit);
    let removed = 0;
    let room = MOST_REMOVED;
    let cursor: number | null = null;
    for (const row of rows) {
      const isKept = row.ended_at === null && isSpared(row.name, request.spare);
      if (!isKept && room > 0) {
        const next = limits(row, request);
        removed += next.trimmed - row.trimmed;
        room -= apply(row, next);
      }
      if (room <= 0) break;
      cursor = row.key;
    }
    const isLast = room > 0 && rows.length < request.limit;
    return { removed, cursor: isLast ? null : String(cursor ?? request.cursor ?? 0) };
  };
}
