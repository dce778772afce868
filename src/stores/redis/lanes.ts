/**
 * Where due runs stand in line, and the slots of limits (S30 to S34).
 *
 *  L1 A lane holds the due runs of one queue that ask for the same keys; those that ask for none stand in the lane without keys, as do
 *     running ones, whose time is the end of their lease.
 *  L2 The runs of a lane are blocked together, so a claim looks at the first of each lane alone; of a lane that is blocked it reads no run.
 *  L3 Suspects (S8) stand in lanes of their own, however many keys they ask for: a claim that takes no more of them reads none.
 */

import { SUSPECT_ATTEMPTS } from '../../runtime/store.ts';
import type { LimitUse } from '../../runtime/store.ts';
import { toText } from './payloads.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';

/** Which lane a row stands in; what stands in it and when the first is due follows at the end of the script. */
export const LANES: string = `
local function limitsOf(row) return row.lm and cjson.decode(row.lm) or {} end

local function askedLimits(row)
  local asked = {}
  if row.st == 'running' then return asked end
  for _, limit in ipairs(limitsOf(row)) do
    if row['or'] == 'start' or not limit.perMs then asked[#asked + 1] = limit end
  end
  return asked
end

local function originOf(row) return row.st == 'running' and 'lease' or row['or'] end
local function attemptsAfter(row)
  local from = originOf(row)
  return (from == 'start' or from == 'lease') and row.at + 1 or row.at
end
local function isSuspect(row) return attemptsAfter(row) >= ${SUSPECT_ATTEMPTS} end

local SUSPECTS = '!'
local function laneOf(row)
  local keys = {}
  if row.lm then
    for i, limit in ipairs(askedLimits(row)) do keys[i] = limit.key end
  end
  return (isSuspect(row) and SUSPECTS or '') .. (#keys > 0 and cjson.encode(keys) or '')
end
local function hasKeys(lane) return lane ~= '' and lane ~= SUSPECTS end

local function laneKey(queue, lane)
  if lane == '' then return P .. 'due:' .. queue end
  if lane == SUSPECTS then return P .. 'sus:' .. queue end
  return P .. 'lane:' .. nested(queue, lane)
end

local function sortLane(queue, lane)
  local first = call('ZRANGE', laneKey(queue, lane), 0, 0, 'WITHSCORES')
  if first[1] then
    call('ZADD', P .. 'lanes:' .. queue, first[2], lane)
  else
    call('ZREM', P .. 'lanes:' .. queue, lane)
    call('HDEL', P .. 'asked:' .. queue, lane)
  end
end

local function moveInLine(row)
  local lane = row.due and laneOf(row)
  if row.due == row.wasDue and lane == row.wasLane then return end
  local member = ordered(row.o, row.id)
  if row.wasDue and lane ~= row.wasLane then
    call('ZREM', laneKey(row.q, row.wasLane), member)
    if hasKeys(row.wasLane) then sortLane(row.q, row.wasLane) end
  end
  if not row.due then return end
  call('ZADD', laneKey(row.q, lane), row.due, member)
  if lane == '' then return end
  call('HSET', P .. 'meta', hasKeys(lane) and 'lanes' or 'suspects', 1)
  if not hasKeys(lane) then return end
  call('HSET', P .. 'asked:' .. row.q, lane, cjson.encode(askedLimits(row)))
  sortLane(row.q, lane)
end

local uses, changedUses = {}, {}
local function toUse(stored)
  local held, begun, ends = string.match(stored or '0,0,0', '^(%d+),(%d+),(%d+)$')
  return {held = tonumber(held), begun = tonumber(begun), ends = tonumber(ends)}
end
local function useOf(key)
  if not uses[key] then uses[key] = toUse(call('HGET', P .. 'uses', key)) end
  return uses[key]
end
local function readUses(keys)
  local i = 0
  inParts(keys, function(...)
    for _, stored in ipairs(call('HMGET', P .. 'uses', ...)) do
      i = i + 1
      uses[keys[i]] = uses[keys[i]] or toUse(stored)
    end
  end)
end

local function flushUses()
  for key in pairs(changedUses) do
    local use = uses[key]
    if use.held == 0 and use.ends == 0 then
      call('HDEL', P .. 'uses', key)
    else
      call('HSET', P .. 'uses', key, string.format('%.0f,%.0f,%.0f', use.held, use.begun, use.ends))
    end
  end
end

local function takeSlots(row)
  for _, limit in ipairs(askedLimits(row)) do
    local use = useOf(limit.key)
    changedUses[limit.key] = true
    if not limit.perMs then
      use.held = use.held + 1
    elseif use.ends <= now then
      use.begun, use.ends = 1, now + limit.perMs
    else
      use.begun = use.begun + 1
    end
  end
end

local function releaseSlots(row)
  if row.st ~= 'running' then return end
  for _, limit in ipairs(limitsOf(row)) do
    if not limit.perMs then
      local use = useOf(limit.key)
      use.held = math.max(0, use.held - 1)
      changedUses[limit.key] = true
      hint('due')
    end
  end
end

local function opensAt(limits)
  for _, limit in ipairs(limits) do
    local use = useOf(limit.key)
    if not limit.perMs then
      if use.held >= limit.most then return nil end
    elseif use.ends > now and use.begun >= limit.most then
      return use.ends
    end
  end
  return now
end
`;

const LIMITS_SOURCE = `
local found = {}
for i, key in ipairs(req.keys) do
  local use = useOf(key)
  local isOpen = use.ends > now
  found[i] = {key, use.held, isOpen and use.begun or 0, isOpen and use.ends or false}
end
return finish(found)
`;

/** Of rates, whose windows have ended; a part of them at a time. */
export const FORGET_WINDOWS = `
local function forgetWindows()
  local scanned = call('HSCAN', P .. 'uses', call('HGET', P .. 'meta', 'windows') or '0', 'COUNT', 100)
  for i = 1, #scanned[2], 2 do
    local held, ends = string.match(scanned[2][i + 1], '^(%d+),%d+,(%d+)$')
    if held == '0' and tonumber(ends) <= now then call('HDEL', P .. 'uses', scanned[2][i]) end
  end
  call('HSET', P .. 'meta', 'windows', scanned[1])
end
`;

export const LIMITS: Script = toScript('limits', [LANES, LIMITS_SOURCE]);

export function describeLimits(keys: readonly string[]): Request {
  return toRequest(() => ({ keys }));
}

export function toLimitUses(reply: Reply): LimitUse[] {
  return (reply as Reply[]).map((use) => {
    const [key, held, begun, windowEnd] = use as [Reply, number, number, number | null];
    return { key: toText(key), held, begun, windowEnd };
  });
}
