/** Removal of runs that ended long ago, with all that belongs to them but their ledger rows (S25); and the store's secret. */

import { HOOKS } from './hooks.ts';
import { FORGET_WINDOWS } from './lanes.ts';
import type { Ask } from './paging.ts';
import { ORPHANS } from './parts.ts';
import { RUNS } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Request, Script } from './script.ts';
import { STREAM_ROWS } from './streams.ts';

/** Runs that one script removes: some milliseconds of the server's time. */
const MOST_REMOVED = 50;

const GC_SOURCE = `
local function forgetMessages(row)
  if row.ih == 0 then return end
  local users, kinds = {}, call('HGETALL', P .. 'd:' .. row.id)
  for i = 1, #kinds, 2 do
    if call('HINCRBY', P .. 'mi', kinds[i], -1) <= 0 then call('HDEL', P .. 'mi', kinds[i]) end
    if kinds[i + 1] == 'user' and row.th then users[#users + 1] = kinds[i] end
  end
  local key = row.th and P .. 'tu:' .. threadKey(row)
  for _, id in ipairs(users) do
    local takers = {}
    for _, taker in ipairs(cjson.decode(call('HGET', key, id) or '[]')) do
      if taker[2] ~= row.id then takers[#takers + 1] = taker end
    end
    if #takers == 0 then call('HDEL', key, id) else call('HSET', key, id, cjson.encode(takers)) end
  end
end

local function forgetHooks(row)
  if not row.hk then return end
  for _, token in ipairs(call('ZRANGE', P .. 'hr:' .. row.id, 0, -1)) do
    local hook = getHook(token)
    if hook and hook.run == row.id then
      call('UNLINK', P .. 'h:' .. token, P .. 'hn:' .. token)
      call('ZREM', P .. 'hooks', token)
      if hook.th then call('ZREM', P .. 'hth:' .. hook.th, token) end
      hooks[token] = false
    end
  end
end

local function remove(row)
  forgetMessages(row)
  forgetHooks(row)
  for _, name in ipairs(streamNames(row)) do
    call('UNLINK', chunksKey(row, name))
    call('ZREM', P .. 'streams', nested(row.id, name))
  end
  call('ZREM', P .. 'runs', row.id)
  call('ZREM', P .. 'ended', ordered(row.o, row.id))
  call('ZADD', P .. 'parts', 'XX', 0, row.id)
  if row.te then call('ZREM', P .. 'ten:' .. row.te, row.id) end
  if row.ec then call('ZREM', P .. 'err:' .. row.ec, row.id) end
  if row.pr then call('ZREM', P .. 'ch:' .. row.pr, row.id) end
  if row.th then call('ZREM', P .. 't:' .. threadKey(row), row.id) end
  local keys = {}
  for i, name in ipairs({'r:', 'e:', 'k:', 'i:', 'd:', 'hr:'}) do keys[i] = P .. name .. row.id end
  call('UNLINK', unpack(keys))
  rows[row.id] = false
end

local before = '(' .. string.format('%.0f', now - req.olderThanMs)
local old = call('ZRANGEBYSCORE', P .. 'ended', '-inf', before, 'LIMIT', 0, req.limit)
for _, member in ipairs(old) do remove(getRun(string.sub(member, 18))) end
removeOrphans()
forgetWindows()
return finish(#old)
`;

const SECRET_SOURCE = `
call('HSETNX', P .. 'meta', 'secret', ARGV[req.secret])
return finish(payload(call('HGET', P .. 'meta', 'secret')))
`;

const GC: Script = toScript('gc', [RUNS, HOOKS, STREAM_ROWS, ORPHANS, FORGET_WINDOWS, GC_SOURCE]);
export const SECRET: Script = toScript('secret', [SECRET_SOURCE]);

/** In parts; answers how many runs went. */
export async function gc(ask: Ask, { olderThanMs, limit }: { olderThanMs: number; limit: number }): Promise<number> {
  let removed = 0;
  for (let last = MOST_REMOVED; last === MOST_REMOVED && removed < limit;) {
    const request = { olderThanMs, limit: Math.min(MOST_REMOVED, limit - removed) };
    last = Number(
      await ask(
        GC,
        toRequest(() => request),
      ),
    );
    removed += last;
  }
  return removed;
}

export function describeSecret(proposed: Uint8Array): Request {
  return toRequest((place) => ({ secret: place(proposed) }));
}
