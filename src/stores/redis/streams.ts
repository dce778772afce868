/**
 * Streams: a field of the run's row for each, and packs of chunks by their offset. A flush is a pack of its own; `compact` makes few of
 * many.
 */

import { DurableError } from '../../runtime/errors.ts';
import type { Payload, StreamExpiry, StreamPage, StreamWrite } from '../../runtime/store.ts';
import { unpackChunks } from '../packing.ts';
import type { ChunkPacker } from '../packing.ts';
import { toPayload, toText } from './payloads.ts';
import { RUNS } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Bulk, PlaceOf, Reply, Request, Script } from './script.ts';

/** Read whole for any of its chunks. */
export const PACK_BYTES = 16_000;

/** S24. The field of a stream: `tail,closed,trimmed,by,packed,order`. */
export const STREAM_ROWS = `
local function toStream(text)
  local tail, closed, trimmed, by, packed, order = string.match(text, '^(%d+),(%d),(%d+),(%a*),(%d+),(%d+)$')
  return {tail = tonumber(tail), closed = closed == '1', trimmed = tonumber(trimmed), by = by, packed = tonumber(packed), o = order}
end

local function getStream(row, name)
  local field = 's:' .. name
  if row[field] == nil and not row.isNew and row.sn then
    row[field] = call('HGET', P .. 'r:' .. row.id, field) or nil
  end
  return row[field] and toStream(row[field])
end

local function putStream(row, name, s)
  local text = string.format('%.0f,%d,%.0f,%s,%.0f,%s', s.tail, s.closed and 1 or 0, s.trimmed, s.by, s.packed, s.o)
  put(row, 's:' .. name, text)
end

local function streamNames(row) return row.sn and cjson.decode(row.sn) or {} end

local function openStream(row, name)
  local names, order = streamNames(row), nextOrder()
  names[#names + 1] = name
  put(row, 'sn', cjson.encode(names))
  call('ZADD', P .. 'streams', order, nested(row.id, name))
  return {tail = 0, closed = false, trimmed = 0, by = '', packed = 0, o = order}
end

local function openStreams(row)
  local open = {}
  for _, name in ipairs(streamNames(row)) do
    if not getStream(row, name).closed then open[#open + 1] = name end
  end
  return open
end

local function chunksKey(row, name) return P .. 'c:' .. nested(row.id, name) end
local function toPack(first, count, size, at, stored)
  return string.format('%.0f:%.0f:%.0f:%.0f:', first, count, size, at) .. stored
end
local function packReply(stored)
  local first, count, size, at, pack = string.match(stored, '^(%d+):(%d+):(%d+):(%d+):(.*)$')
  return {tonumber(first), tonumber(count), tonumber(size), tonumber(at), payload(pack)}
end

local function writeStream(row, write)
  local s = getStream(row, write.stream) or openStream(row, write.stream)
  local packs = {}
  for _, pack in ipairs(write.packs) do
    s.tail = s.tail + pack.count
    packs[#packs + 1] = s.tail
    packs[#packs + 1] = toPack(s.tail - pack.count, pack.count, pack.size, now, ARGV[pack.bytes])
  end
  inParts(packs, function(...) call('ZADD', chunksKey(row, write.stream), ...) end)
  if write.close then s.closed = true end
  putStream(row, write.stream, s)
  hint('stream', 'run', row.id, 'stream', write.stream)
end
`;

/** The pack that holds the first chunk, and those after it; the caller takes as many chunks of them as it wants. */
const READ_SOURCE = `
local values = call('HMGET', P .. 'r:' .. req.run, 'st', 's:' .. req.stream)
if not values[1] then return finish(false) end
local s = values[2] and toStream(values[2])
if not s then return finish({0, isEnded(values[1]) and 1 or 0, 0, '', {}}) end
local isClosed = (s.closed or isEnded(values[1])) and 1 or 0
local packs, size = {}, 0
if req.from >= s.trimmed or s.by == '' then
  local key, after, PART = chunksKey({id = req.run}, req.stream), req.from, 8
  while after < s.tail and size <= req.maxBytes do
    local found = call('ZRANGEBYSCORE', key, '(' .. after, '+inf', 'LIMIT', 0, PART)
    if #found == 0 then break end
    for _, stored in ipairs(found) do
      if size > req.maxBytes then break end
      local pack = packReply(stored)
      if pack[1] >= req.from then size = size + pack[3] end
      after = pack[1] + pack[2]
      packs[#packs + 1] = pack
    end
  end
end
return finish({s.tail, isClosed, s.trimmed, s.by, packs})
`;

export const READ: Script = toScript('read', [RUNS, STREAM_ROWS, READ_SOURCE]);

export interface ReadAt {
  run: string;
  stream: string;
  from: number;
  maxBytes: number;
}

export function describeRead({ run, stream, from, maxBytes }: ReadAt): Request {
  return toRequest(() => ({ run, stream, from, maxBytes }));
}

export interface StoredPack {
  first: number;
  count: number;
  size: number;
  at: number;
  bytes: Payload;
}

export function toStoredPack(reply: Reply): StoredPack {
  const [first, count, size, at, bytes] = reply as [number, number, number, number, Bulk];
  return { first, count, size, at, bytes: toPayload(bytes) };
}

/** S24 */
export function toStreamPage(reply: Reply, asked: ReadAt): StreamPage | null {
  if (reply === null) return null;
  const [tail, closed, trimmed, by, packs] = reply as [number, number, number, Bulk, Reply[]];
  const { from } = asked;
  const reason = toText(by) as StreamExpiry['reason'] | '';
  if (from < trimmed && reason !== '')
    return { chunks: [], from, tail, closed: false, expired: { before: trimmed, reason } };
  const chunks = chunksOf(packs.map(toStoredPack), asked);
  if (chunks.length === 0 && from < tail) throw missingChunks(asked);
  return { chunks, from, tail, closed: closed === 1 && from + chunks.length >= tail };
}

function chunksOf(packs: StoredPack[], asked: ReadAt): Payload[] {
  const chunks: Payload[] = [];
  let bytes = 0;
  let count = 0;
  let isFull = false;
  const take = (size: number): boolean => {
    bytes += size;
    count += 1;
    isFull = bytes > asked.maxBytes && count > 1;
    return !isFull;
  };
  for (const pack of packs) {
    const skipped = asked.from + chunks.length - pack.first;
    if (isFull || skipped < 0) break;
    for (const chunk of unpackChunks(pack.bytes, { from: skipped, take })) chunks.push(chunk);
  }
  return chunks;
}

function missingChunks({ run, stream, from }: ReadAt): DurableError {
  return new DurableError(
    'store_corrupt',
    `Cannot read the stream "${stream}" of run "${run}" from ${from} on: chunks are missing in Redis. Restore it from a backup.`,
    { details: { run, stream, from } },
  );
}

/** How a request tells of a write. */
export function describeWrite(
  { stream, chunks, close }: StreamWrite,
  { place, packer }: { place: PlaceOf; packer: ChunkPacker },
): Record<string, unknown> {
  return {
    stream,
    close: close === true ? true : undefined,
    packs: packAll(chunks, packer).map((pack) => ({ ...pack, bytes: place(pack.bytes) })),
  };
}

/** Chunks as packs, in order. */
export function packAll(chunks: Payload[], packer: ChunkPacker): Array<Pick<StoredPack, 'count' | 'size' | 'bytes'>> {
  const packs: Array<Pick<StoredPack, 'count' | 'size' | 'bytes'>> = [];
  for (let start = 0; start < chunks.length;) {
    const { count, bytes } = packer.pack(chunks, { start, base: null, maxBytes: PACK_BYTES, appends: false });
    const size = chunks.slice(start, start + count).reduce((sum, chunk) => sum + chunk.length, 0);
    packs.push({ count, size, bytes });
    start += count;
  }
  return packs;
}
