/** Streams: one row per stream with its tail, and one row per flush with its chunks packed. */

import type { Payload, StreamPage, StreamWrite } from '../../runtime/store.ts';
import { allRows, packChunks, toPayload, unpackChunks } from './rows.ts';
import type { Row } from './rows.ts';
import type { Session } from './session.ts';

/** The rows of streams by name, as far as they are there; `write` keeps them as the tables are. */
export type StreamRows = Map<string, StreamRow>;

export interface Streams {
  /** Of the streams that are written to. */
  rows(run: number, writes: StreamWrite[]): StreamRows;
  write(run: { key: number; id: string; streams: StreamRows }, write: StreamWrite): void;
  /** S24 */
  read(run: string, options: { stream: string; from: number; maxBytes: number }): StreamPage | null;
}

export interface StreamRow {
  key: number;
  tail: number;
  closed: number;
}

export function prepareStreams(session: Session): Streams {
  const { db, hints } = session;
  const find = db.prepare('SELECT key, tail, closed FROM streams WHERE run = ? AND name = ?');
  const insert = db.prepare('INSERT INTO streams (run, name, tail, closed) VALUES (?, ?, ?, ?)');
  const update = db.prepare('UPDATE streams SET tail = ?, closed = ? WHERE key = ?');
  const insertChunks = db.prepare('INSERT INTO chunks (stream, first, count, bytes) VALUES (?, ?, ?, ?)');
  return {
    rows(run, writes) {
      const rows: StreamRows = new Map();
      for (const { stream } of writes) {
        if (rows.has(stream)) continue;
        const row = find.get(run, stream) as StreamRow | undefined;
        if (row !== undefined) rows.set(stream, row);
      }
      return rows;
    },
    write(run, { stream, chunks, close }) {
      const row = run.streams.get(stream);
      const first = row?.tail ?? 0;
      const tail = first + chunks.length;
      const closed = close === true ? 1 : (row?.closed ?? 0);
      const key = row?.key ?? Number(insert.run(run.key, stream, tail, closed).lastInsertRowid);
      if (row !== undefined) update.run(tail, closed, key);
      run.streams.set(stream, { key, tail, closed });
      if (chunks.length > 0) insertChunks.run(key, first, chunks.length, packChunks(chunks));
      hints.push({ kind: 'stream', run: run.id, stream });
    },
    read: prepareRead(session),
  };
}

/** Flushes read at once: enough for a page of small ones, little waste for large ones. */
const FLUSHES = 32;

function prepareRead({ db }: Session): Streams['read'] {
  // One statement: an end between two reads would close a stream that has a later tail.
  const find = db.prepare(
    `SELECT streams.key, streams.tail, streams.closed, runs.ended_at
     FROM runs LEFT JOIN streams ON streams.run = runs.key AND streams.name = ? WHERE runs.id = ?`,
  );
  const findChunks = db.prepare(
    `SELECT first, count, bytes FROM chunks WHERE stream = ? AND first < ? AND
       first >= coalesce((SELECT first FROM chunks WHERE stream = ? AND first <= ? ORDER BY first DESC LIMIT 1), 0)
     ORDER BY first LIMIT ${FLUSHES}`,
  );
  return (run, options) => {
    const row = find.get(options.stream, run) as
      | { key: number | null; tail: number | null; closed: number | null; ended_at: number | null }
      | undefined;
    if (row === undefined) return null;
    const from = Math.max(0, options.from);
    const tail = row.tail ?? 0;
    const chunks: Payload[] = [];
    let bytes = 0;
    for (let isFull = row.key === null; !isFull && from + chunks.length < tail;) {
      const flushes = allRows<Row>(findChunks, row.key ?? 0, tail, row.key ?? 0, from + chunks.length);
      for (const chunk of flushes.flatMap((flush) => chunksFrom(flush, from + chunks.length))) {
        bytes += chunk.length;
        isFull ||= bytes > options.maxBytes && chunks.length > 0;
        if (isFull) break;
        chunks.push(chunk);
      }
    }
    const isClosed = row.closed === 1 || row.ended_at !== null;
    return { chunks, from, tail, closed: isClosed && from + chunks.length >= tail };
  };
}

/** Of a flush that may begin before `from`: its chunks from there on. */
function chunksFrom(flush: Row, from: number): Payload[] {
  const chunks = unpackChunks(toPayload(flush['bytes']));
  return chunks.slice(Math.max(0, from - Number(flush['first'])));
}
