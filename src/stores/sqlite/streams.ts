/**
 * Streams: one row per stream with its tail, and rows of packed chunks. A flush goes to the end of the stream's last row while that
 * is small, so that a token that is flushed alone takes a few bytes, and none in an index; it touches no more pages than a row of its own.
 */

import { DurableError } from '../../runtime/errors.ts';
import type { Payload, StreamPage, StreamWrite } from '../../runtime/store.ts';
import { ChunkPacker, unpackChunks } from '../packing.ts';
import { allRows, prepareRow, toPayload, unpackFlat } from './rows.ts';
import type { Row } from './rows.ts';
import type { OpenFile } from './open-file.ts';

/** The rows of streams by name, as far as they are there; `write` keeps them as the tables are. */
export type StreamRows = Map<string, StreamRow>;

export interface Streams {
  /** Of the streams that are written to. */
  rows(run: number, writes: StreamWrite[]): StreamRows;
  write(run: { key: number; id: string; streams: StreamRows }, write: StreamWrite): void;
  /** S24, S26 */
  read(run: string, options: { stream: string; from: number; maxBytes: number }): StreamPage | null;
}

export interface StreamRow {
  key: number;
  tail: number;
  closed: number;
  /** Of its last row of chunks: its key, when its first chunk was written, its bytes, and what further ones share with. */
  last_key: number | null;
  last_at: number | null;
  last_size: number;
  last_base: Payload | null;
}

/** How chunks stand in their row. */
export const FORMAT = { flat: 0, packed: 1 };
/** Read whole for any of its chunks, written whole: some pages of SQLite. */
export const ROW_BYTES = 16_000;
/** Four to a page: growing, they seldom split it. */
const GROWN_BYTES = 1_000;
/** Chunks in one row are written within this time, so that their age is known. */
export const ROW_SPAN_MS = 3_600_000;

const NEW_STREAM = { tail: 0, closed: 0, last_key: null, last_at: null, last_size: 0, last_base: null };

export function prepareStreams(file: OpenFile): Streams {
  const { db, hints, fresh } = file;
  const find = prepareRow<StreamRow>(db, {
    columns: ['key', 'tail', 'closed', 'last_key', 'last_at', 'last_size', 'last_base'],
    where: 'FROM streams WHERE run = ? AND name = ?',
  });
  const insert = db.prepare('INSERT INTO streams (run, name, tail, closed) VALUES (?, ?, 0, 0)');
  const update = db.prepare(
    'UPDATE streams SET tail = ?, closed = ?, last_key = ?, last_at = ?, last_size = ?, last_base = ? WHERE key = ?',
  );
  const add = prepareAdd(file);
  return {
    rows(run, writes) {
      const rows: StreamRows = new Map();
      for (const { stream } of writes) {
        if (rows.has(stream)) continue;
        const row = find(run, stream);
        if (row !== undefined) rows.set(stream, row);
      }
      return rows;
    },
    write(run, { stream, chunks, close }) {
      const known = run.streams.get(stream);
      const row = known ?? { ...NEW_STREAM, key: Number(insert.run(run.key, stream).lastInsertRowid) };
      add(row, chunks);
      if (close === true) row.closed = 1;
      update.run(row.tail, row.closed, row.last_key, row.last_at, row.last_size, row.last_base, row.key);
      run.streams.set(stream, row);
      fresh.add(
        { run: run.id, stream },
        { chunks, from: row.tail - chunks.length, tail: row.tail, closed: row.closed === 1 },
      );
      hints.push({ kind: 'stream', run: run.id, stream });
    },
    read: prepareRead(file),
  };
}

/** Hot: each flush of each stream (bench `stream`). Adds chunks to the tables, and says in the row what became of the stream. */
function prepareAdd({ db, clock }: OpenFile): (row: StreamRow, chunks: Payload[]) => void {
  const packer = new ChunkPacker();
  const insert = db.prepare(
    `INSERT INTO chunks (stream, first, count, bytes, format, at) VALUES (?, ?, ?, ?, ${FORMAT.packed}, ?)`,
  );
  // Joining makes a text of blobs, whose bytes are theirs; the cast takes it back.
  const grow = db.prepare('UPDATE chunks SET count = count + ?, bytes = CAST(bytes || ? AS BLOB) WHERE key = ?');

  const growLast = (row: StreamRow, { chunks, now }: { chunks: Payload[]; now: number }): number => {
    const room = GROWN_BYTES - row.last_size;
    if (row.last_key === null || room <= 0 || now - (row.last_at ?? 0) > ROW_SPAN_MS) return 0;
    const pack = packer.pack(chunks, { start: 0, base: row.last_base, maxBytes: room, appends: true });
    if (pack.count === 0) return 0;
    grow.run(pack.count, pack.bytes, row.last_key);
    row.last_size += pack.bytes.length;
    row.last_base = pack.base;
    return pack.count;
  };

  return (row, chunks) => {
    if (chunks.length === 0) return;
    const now = clock.now();
    let start = growLast(row, { chunks, now });
    while (start < chunks.length) {
      const pack = packer.pack(chunks, { start, base: null, maxBytes: ROW_BYTES, appends: false });
      const { lastInsertRowid } = insert.run(row.key, row.tail + start, pack.count, pack.bytes, now);
      row.last_key = Number(lastInsertRowid);
      row.last_at = now;
      row.last_size = pack.bytes.length;
      row.last_base = pack.base;
      start += pack.count;
    }
    row.tail += chunks.length;
  };
}

/** Rows read at once: enough for a page of small ones, little waste for large ones. */
const ROWS_AT_ONCE = 4;

interface ReadRow {
  key: number | null;
  tail: number | null;
  closed: number | null;
  trimmed: number | null;
  trimmed_by: 'age' | 'count' | null;
  ended_at: number | null;
}

function prepareRead({ db, fresh }: OpenFile): Streams['read'] {
  // One statement: an end between two reads would close a stream that has a later tail.
  const find = db.prepare(
    `SELECT streams.key, streams.tail, streams.closed, streams.trimmed, streams.trimmed_by, runs.ended_at
     FROM runs LEFT JOIN streams ON streams.run = runs.key AND streams.name = ? WHERE runs.id = ?`,
  );
  const findChunks = db.prepare(
    `SELECT first, bytes, format FROM chunks WHERE stream = ? AND first < ? AND
       first >= coalesce((SELECT first FROM chunks WHERE stream = ? AND first <= ? ORDER BY first DESC LIMIT 1), 0)
     ORDER BY first LIMIT ${ROWS_AT_ONCE}`,
  );
  const readRows = (
    row: ReadRow & { key: number },
    { from, maxBytes }: { from: number; maxBytes: number },
  ): Payload[] | null => {
    const tail = row.tail ?? 0;
    const chunks: Payload[] = [];
    const page = { bytes: 0, count: 0, isFull: false };
    const take = (bytes: number): boolean => {
      page.bytes += bytes;
      page.isFull = page.bytes > maxBytes && page.count > 0;
      page.count += 1;
      return !page.isFull;
    };
    while (!page.isFull && from + chunks.length < tail) {
      const at = from + chunks.length;
      const rows = allRows<Row>(findChunks, row.key, tail, row.key, at);
      if (rows.length === 0) return null;
      for (const next of rows) {
        if (page.isFull) break;
        const skipped = from + chunks.length - Number(next['first']);
        if (skipped < 0) return null;
        for (const chunk of chunksOf(next, { from: skipped, take })) chunks.push(chunk);
      }
      if (from + chunks.length === at && !page.isFull) return null;
    }
    return chunks;
  };
  const read = (at: ReadAt, known?: ReadRow): StreamPage | null => {
    const { run, stream, from, maxBytes } = at;
    const row = find.get(stream, run) as ReadRow | undefined;
    if (row === undefined) return null;
    const { key, trimmed_by: reason } = row;
    const tail = row.tail ?? 0;
    const before = row.trimmed ?? 0;
    if (from < before && reason !== null) return { chunks: [], from, tail, closed: false, expired: { before, reason } };
    const chunks = key === null ? [] : readRows({ ...row, key }, { from, maxBytes });
    if (chunks === null) {
      // Another process may have trimmed the stream since its row was read.
      if (known?.trimmed === row.trimmed) throw missingChunks(at);
      return read(at, row);
    }
    const isClosed = row.closed === 1 || row.ended_at !== null;
    return { chunks, from, tail, closed: isClosed && from + chunks.length >= tail };
  };
  return (run, { from, ...options }) => {
    const at = { run, ...options, from: Math.max(0, from) };
    return fresh.find(at) ?? read(at);
  };
}

interface ReadAt {
  run: string;
  stream: string;
  from: number;
  maxBytes: number;
}

function missingChunks({ run, stream, from }: ReadAt): DurableError {
  return new DurableError(
    'store_corrupt',
    `Cannot read the stream "${stream}" of run "${run}" from ${from} on: chunks are missing in the file. Restore it from a backup.`,
    { details: { run, stream, from } },
  );
}

/** The chunks of a row from the n-th on, as many as `take` wants. */
export function chunksOf(row: Row, options: { from: number; take?: (bytes: number) => boolean }): Payload[] {
  const bytes = toPayload(row['bytes']);
  return row['format'] === FORMAT.flat ? unpackFlat(bytes, options) : unpackChunks(bytes, options);
}
