/** Parts of large values (S35 to S37), by the id that they were put under. */

import { ORPHAN_MS } from '../../runtime/store.ts';
import type { Part } from '../../runtime/store.ts';
import { toPayloadOrNull } from './payloads.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';

/** Ids that a pass looks at: some milliseconds of the server's time. */
const MOST_IDS = 64;

/** S37. The parts of an id are one key, which the server removes beside other work. */
export const ORPHANS: string = `
local function removeOrphans()
  local old = call('ZRANGEBYSCORE', P .. 'parts', '-inf', '(' .. string.format('%.0f', now - ${ORPHAN_MS}), 'LIMIT', 0, ${MOST_IDS})
  for _, id in ipairs(old) do
    if getRun(id) or call('HEXISTS', P .. 'mi', id) == 1 then
      call('ZADD', P .. 'parts', now, id)
    else
      call('UNLINK', P .. 'p:' .. id)
      call('ZREM', P .. 'parts', id)
    end
  end
end
`;

const PUT_SOURCE = `
local key = P .. 'p:' .. req.id
call('ZADD', P .. 'parts', now, req.id)
for i, hash in ipairs(req.hashes) do call('HSETNX', key, hash, ARGV[req.bytes[i]]) end
return finish(1)
`;

const GET_SOURCE = `
local found = call('HMGET', P .. 'p:' .. req.id, unpack(req.hashes))
for i = 1, #req.hashes do found[i] = payload(found[i]) end
return finish(found)
`;

export const PUT_PARTS: Script = toScript('putParts', [PUT_SOURCE]);
export const GET_PARTS: Script = toScript('getParts', [GET_SOURCE]);

export function describePut(id: string, parts: readonly Part[]): Request {
  return toRequest((place) => ({
    id,
    hashes: parts.map(({ hash }) => hash),
    bytes: parts.map(({ bytes }) => place(bytes)),
  }));
}

export function describeGet(id: string, hashes: readonly string[]): Request {
  return toRequest(() => ({ id, hashes }));
}

export function toParts(reply: Reply): Array<Uint8Array | null> {
  return (reply as Reply[]).map(toPayloadOrNull);
}
