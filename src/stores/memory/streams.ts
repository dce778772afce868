/** Streams: what they hold, how they are read, and what retention leaves of them. */

import { isEnded } from '../../runtime/store.ts';
import type { Payload, StreamPage, TrimRequest, TrimResult } from '../../runtime/store.ts';
import { isSpared } from '../rules.ts';
import { nextOrder } from './state.ts';
import type { MemoryState, RunRecord, StreamRecord } from './state.ts';

export function openStream(
  state: MemoryState,
  { record, stream }: { record: RunRecord; stream: string },
): StreamRecord {
  const opened = { order: nextOrder(state), chunks: [], times: [], trimmed: 0, trimmedBy: null, closed: false };
  record.streams.set(stream, opened);
  return opened;
}

export function tailOf(stream: StreamRecord | undefined): number {
  return stream === undefined ? 0 : stream.trimmed + stream.chunks.length;
}

/** S24 */
export function read(
  state: MemoryState,
  request: { id: string; stream: string; from: number; maxBytes: number },
): StreamPage | null {
  const record = state.runs.get(request.id);
  if (record === undefined) return null;
  const stream = record.streams.get(request.stream);
  const tail = tailOf(stream);
  const from = Math.max(0, request.from);
  if (stream !== undefined && stream.trimmedBy !== null && from < stream.trimmed) {
    const expired = { before: stream.trimmed, reason: stream.trimmedBy };
    return { chunks: [], from, tail, closed: false, expired };
  }
  const first = from - (stream?.trimmed ?? 0);
  const chunks = chunksUpTo(stream?.chunks ?? [], { from: first, maxBytes: request.maxBytes });
  const isClosed = stream?.closed === true || isEnded(record.run.status);
  return { chunks, from, tail, closed: isClosed && from + chunks.length >= tail };
}

function chunksUpTo(all: Payload[], limits: { from: number; maxBytes: number }): Payload[] {
  let end = limits.from;
  let bytes = 0;
  for (let chunk = all[end]; chunk !== undefined; chunk = all[end]) {
    bytes += chunk.length;
    if (bytes > limits.maxBytes && end > limits.from) break;
    end += 1;
  }
  return all.slice(limits.from, end);
}

/** S27 */
export function trim(state: MemoryState, request: TrimRequest): TrimResult {
  const after = request.cursor === undefined ? 0 : Number(request.cursor);
  const all = [...state.runs.values()].flatMap((record) =>
    [...record.streams].map(([name, stream]) => ({ name, stream, isOpen: !isEnded(record.run.status) })),
  );
  const next = all.filter(({ stream }) => stream.order > after).toSorted((a, b) => a.stream.order - b.stream.order);
  const seen = next.slice(0, request.limit);
  let removed = 0;
  for (const { name, stream, isOpen } of seen)
    if (!isOpen || !isSpared(name, request.spare)) removed += trimStream(state, { stream, request });
  const last = seen.at(-1);
  return { removed, cursor: last === undefined || next.length === seen.length ? null : String(last.stream.order) };
}

function trimStream(state: MemoryState, { stream, request }: { stream: StreamRecord; request: TrimRequest }): number {
  const overCount = Math.max(0, stream.chunks.length - (request.keep ?? Infinity));
  const since = state.clock.now() - (request.olderThanMs ?? Infinity);
  const young = stream.times.findIndex((at) => at >= since);
  const overAge = young < 0 ? stream.chunks.length : young;
  const removed = Math.max(overCount, overAge);
  if (removed === 0) return 0;
  stream.chunks = stream.chunks.slice(removed);
  stream.times = stream.times.slice(removed);
  stream.trimmed += removed;
  stream.trimmedBy = overAge > overCount ? 'age' : 'count';
  return removed;
}
