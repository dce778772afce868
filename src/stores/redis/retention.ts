/** What becomes of chunks that stay: packed into fewer packs (S28), and removed when they are too old or too many (S27). */

import type { Payload, TrimRequest, TrimResult } from '../../runtime/store.ts';
import { unpackChunks } from '../packing.ts';
import type { ChunkPacker } from '../packing.ts';
import type { Ask } from './paging.ts';
import { toText } from './payloads.ts';
import { RUNS } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';
import { PACK_BYTES, packAll, STREAM_ROWS, toStoredPack } from './streams.ts';
import type { StoredPack } from './streams.ts';

/** Packs that a pass looks at, and bytes that it writes anew. */
const MOST_PACKS = 64;
const MOST_BYTES = 32_768;
/** Of packs that a pass looks at. */
const MOST_READ_BYTES = 4 * MOST_BYTES;
/** Larger ones would not become fewer. */
const SMALL_BYTES = PACK_BYTES / 2;
/** Chunks in one pack are written within this time, so that their age is known. */
const PACK_SPAN_MS = 3_600_000;

const LOOK_SOURCE = `
local row = getRun(req.run)
local s = row and getStream(row, req.stream)
if not s then return finish(false) end
local found = call('ZRANGEBYSCORE', chunksKey(row, req.stream), '(' .. s.packed, '+inf', 'LIMIT', 0, ${MOST_PACKS})
local packs, size = {}, 0
for i, stored in ipairs(found) do
  size = size + #stored
  if i > 1 and size > ${MOST_READ_BYTES} then break end
  packs[i] = packReply(stored)
end
local hasMore = (#found == ${MOST_PACKS} or #packs < #found) and 1 or 0
return finish({(s.closed or isEnded(row.st)) and 1 or 0, s.packed, packs, hasMore})
`;

/** What is replaced holds the same chunks, whoever packed them meanwhile; only if some are gone, nothing is done. */
const REPLACE_SOURCE = `
local row = getRun(req.run)
local s = row and getStream(row, req.stream)
if not s or s.packed ~= req.expected then return finish(0) end
if req.first then
  local key, after = chunksKey(row, req.stream), '(' .. req.first
  local old = call('ZRANGEBYSCORE', key, after, req.last, 'WITHSCORES')
  if #old ~= 2 * req.count or tonumber(old[#old]) ~= req.last then return finish(0) end
  call('ZREMRANGEBYSCORE', key, after, req.last)
  local first = req.first
  for _, pack in ipairs(req.packs) do
    call('ZADD', key, first + pack.count, toPack(first, pack.count, pack.size, req.at, ARGV[pack.bytes]))
    first = first + pack.count
  end
end
s.packed = req.packed
putStream(row, req.stream, s)
flush()
return finish(1)
`;

export const LOOK: Script = toScript('compact', [RUNS, STREAM_ROWS, LOOK_SOURCE]);
export const REPLACE: Script = toScript('replace', [RUNS, STREAM_ROWS, REPLACE_SOURCE]);

interface At {
  run: string;
  stream: string;
}

/** Reads, packs here, and replaces if nobody else has done so. */
export async function compact(ask: Ask, { at, packer }: { at: At; packer: ChunkPacker }): Promise<boolean> {
  const looked = await ask(
    LOOK,
    toRequest(() => at),
  );
  if (looked === null) return false;
  const [closed, packed, replies, more] = looked as [number, number, Reply[], number];
  const step = nextStep(replies.map(toStoredPack), { isClosed: closed === 1, hasMore: more === 1, packed });
  if (step.group.length < 2 && step.packed === packed) return step.hasMore;
  await ask(REPLACE, describeReplace(step, { at, packed, packer }));
  return step.hasMore;
}

interface Step {
  /** Packs to write anew. */
  group: StoredPack[];
  /** Up to where all is done. */
  packed: number;
  hasMore: boolean;
}

function nextStep(packs: StoredPack[], stream: { isClosed: boolean; hasMore: boolean; packed: number }): Step {
  const group = smallPacks(packs);
  const last = group.at(-1) ?? packs.at(-1);
  if (last === undefined) return { group, packed: stream.packed, hasMore: false };
  const isAtEnd = last === packs.at(-1) && !stream.hasMore;
  const [first] = group;
  // Packs that come later may join those at the end of an open stream.
  if (isAtEnd && !stream.isClosed && first !== undefined && sizeOf(group) < SMALL_BYTES)
    return { group, packed: first.first, hasMore: false };
  return { group, packed: last.first + last.count, hasMore: !isAtEnd };
}

/** The first packs that together would be fewer. */
function smallPacks(packs: StoredPack[]): StoredPack[] {
  const group: StoredPack[] = [];
  for (const pack of packs) {
    const isSmall = pack.bytes.length < SMALL_BYTES;
    const joins = group.length === 0 || (isWithin(group, pack) && sizeOf([...group, pack]) <= MOST_BYTES);
    if (isSmall && joins) group.push(pack);
    else if (group.length > 0) break;
  }
  return group;
}

function isWithin([first]: StoredPack[], { at }: StoredPack): boolean {
  return at - (first?.at ?? 0) <= PACK_SPAN_MS;
}

function sizeOf(packs: StoredPack[]): number {
  return packs.reduce((size, { bytes }) => size + bytes.length, 0);
}

function describeReplace(
  { group, packed }: Step,
  { at, packed: expected, packer }: { at: At; packed: number; packer: ChunkPacker },
): Request {
  const [first] = group;
  const last = group.at(-1);
  if (group.length < 2 || first === undefined || last === undefined)
    return toRequest(() => ({ ...at, expected, packed }));
  const chunks: Payload[] = group.flatMap(({ bytes }) => unpackChunks(bytes, { from: 0 }));
  return toRequest((place) => ({
    ...at,
    expected,
    packed,
    first: first.first,
    last: last.first + last.count,
    count: group.length,
    at: last.at,
    packs: packAll(chunks, packer).map((pack) => ({ ...pack, bytes: place(pack.bytes) })),
  }));
}

/** Packs that one pass removes, and reads the age of. */
const MOST_REMOVED = 256;

/** How many go is said at once; what does not fit into a pass is taken out when the cursor comes again. */
const TRIM_SOURCE = `
local function isSpared(name)
  for _, spared in ipairs(req.spare) do
    if name == spared then return true end
    if string.sub(spared, -1) == ':' and string.sub(name, 1, #spared) == spared then return true end
  end
  return false
end

local function youngFrom(key, s)
  if not req.olderThanMs then return 0 end
  local since, from = now - req.olderThanMs, s.trimmed
  for _, stored in ipairs(call('ZRANGEBYSCORE', key, '(' .. s.trimmed, '+inf', 'LIMIT', 0, ${MOST_REMOVED})) do
    local first, count, _, at = string.match(stored, '^(%d+):(%d+):(%d+):(%d+):')
    if tonumber(at) >= since then break end
    from = first + count
  end
  return from
end

local room, removed = ${MOST_REMOVED}, 0
local function trim(row, name, s)
  local key = chunksKey(row, name)
  local byCount = req.keep and s.tail - req.keep or 0
  local byAge = youngFrom(key, s)
  local trimmed = math.max(byCount, byAge)
  if trimmed > s.trimmed then
    removed = removed + trimmed - s.trimmed
    s.trimmed = trimmed
    s.by = byAge > byCount and 'age' or 'count'
    if s.packed < trimmed then s.packed = trimmed end
    putStream(row, name, s)
  end
  if s.trimmed == 0 then return end
  local gone = call('ZCOUNT', key, '-inf', s.trimmed)
  if gone == 0 then return end
  call('ZREMRANGEBYRANK', key, 0, math.min(gone, room) - 1)
  room = room - gone
end

local found = call('ZRANGEBYSCORE', P .. 'streams', req.cursor and '(' .. req.cursor or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, req.limit)
local cursor = req.cursor or '0'
for i = 1, #found, 2 do
  local size, rest = string.match(found[i], '^(%d+):(.*)$')
  local row, name = getRun(string.sub(rest, 1, size)), string.sub(rest, size + 2)
  local isKept = not isEnded(row.st) and isSpared(name)
  if not isKept and room > 0 then trim(row, name, getStream(row, name)) end
  if room <= 0 then break end
  cursor = found[i + 1]
end
flush()
local isLast = room > 0 and #found < 2 * req.limit
return finish({removed, not isLast and cursor})
`;

export const TRIM: Script = toScript('trim', [RUNS, STREAM_ROWS, TRIM_SOURCE]);

export function describeTrim(request: TrimRequest): Request {
  return toRequest(() => request);
}

export function toTrimResult(reply: Reply): TrimResult {
  const [removed, cursor] = reply as [number, Reply];
  return { removed, cursor: cursor === null ? null : toText(cursor) };
}
