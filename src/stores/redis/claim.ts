/** Claiming due runs. */

import type { Claim, ClaimRequest, ClaimResult } from '../../runtime/store.ts';
import { SUSPECT_ATTEMPTS } from '../../runtime/store.ts';
import { originOf, RUNS, toRun } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';

/** A claim that is repeated later than this is a new one. */
const REMEMBERED_MS = 3_600_000;

export const TAKE = `
local function originOf(row) return row.st == 'running' and 'lease' or row['or'] end
local function attemptsAfter(row)
  local from = originOf(row)
  return (from == 'start' or from == 'lease') and row.at + 1 or row.at
end
local function isSuspect(row) return attemptsAfter(row) >= ${SUSPECT_ATTEMPTS} end

local function take(row, claim)
  local attempts, from = attemptsAfter(row), originOf(row)
  takeSlots(row)
  put(row, 'at', attempts)
  put(row, 'or', from)
  put(row, 'st', 'running')
  put(row, 'ep', row.ep + 1)
  put(row, 'no', claim.nonce)
  put(row, 'n', 0)
  put(row, 'up', now)
  put(row, 'due', now + claim.leaseMs)
  local key = P .. 'n:' .. claim.nonce
  call('RPUSH', key, row.id)
  call('PEXPIRE', key, ${REMEMBERED_MS})
  return wholeReply(row)
end
`;

/** S8, S9, S31. */
const CLAIM_SOURCE = `
local sources, names = {}, {}
local function addSource(key, limits) sources[#sources + 1] = {key = key, limits = limits, at = 0, found = {}, next = 1} end

local hasLanes = call('HGET', P .. 'meta', 'lanes')
local later
local function addLanes(queue)
  local lanes = call('ZRANGEBYSCORE', P .. 'lanes:' .. queue, '-inf', now)
  if #lanes > 0 then
    local asked = call('HMGET', P .. 'asked:' .. queue, unpack(lanes))
    for i, lane in ipairs(lanes) do addSource(laneKey(queue, lane), cjson.decode(asked[i])) end
  end
  local next = call('ZRANGEBYSCORE', P .. 'lanes:' .. queue, '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if next[2] then later = math.min(later or math.huge, tonumber(next[2])) end
end

for _, name in ipairs(req.queues) do
  if not names[name] then
    names[name] = true
    addSource(laneKey(name, ''))
    if hasLanes then addLanes(name) end
  end
end

local PART = 16
local function first(source)
  if source.next > #source.found and not source.isDone then
    source.found = call('ZRANGE', source.key, source.at, source.at + PART - 1, 'WITHSCORES')
    source.at = source.at + PART
    source.next = 1
    source.isDone = #source.found < 2 * PART
  end
  return source.found[source.next], tonumber(source.found[source.next + 1])
end

local held = {}
local function earliest()
  local found, member, due, opens
  for _, source in ipairs(sources) do
    local at = now
    if source.limits then at = opensAt(source.limits) end
    if at == now then
      local m, d = first(source)
      while m and held[string.sub(m, 18)] do
        source.next = source.next + 2
        m, d = first(source)
      end
      if m and (not due or d < due or (d == due and m < member)) then found, member, due = source, m, d end
    elseif at and (source.at == 0 or first(source)) then
      opens = math.min(opens or at, at)
    end
  end
  return found, member, due, opens
end

local function untilNext(due, opens)
  local at = math.min(due or math.huge, opens or math.huge, later or math.huge)
  return at < math.huge and math.max(0, at - now)
end

local function takeDue(limit, suspects)
  local taken = {}
  while true do
    local source, member, due, opens = earliest()
    if not source or due > now then return taken, untilNext(due, opens) end
    local row = getRun(string.sub(member, 18), #taken < limit)
    local suspect = isSuspect(row)
    local isPassed = suspect and suspects <= 0
    if not isPassed and #taken >= limit then return taken, 0 end
    if suspect and not isPassed then suspects = suspects - 1 end
    if not isPassed then taken[#taken + 1] = take(row, req) end
    source.next = source.next + 2
  end
end

local claims = {}
for _, id in ipairs(call('LRANGE', P .. 'n:' .. req.nonce, 0, -1)) do
  local row = not held[id] and getRun(id, true)
  if row and row.st == 'running' and row.no == req.nonce then
    held[id] = true
    claims[#claims + 1] = row
  end
end
if #claims > 0 then
  local suspects = req.suspects
  for i, row in ipairs(claims) do
    if row.at >= ${SUSPECT_ATTEMPTS} then suspects = suspects - 1 end
    claims[i] = toReply(row)
  end
  local _, next = takeDue(0, suspects)
  return finish({now, next, claims})
end
local taken, next = takeDue(req.limit, req.suspects)
flush()
return finish({now, next, taken})
`;

export const CLAIM: Script = toScript('claim', [RUNS, TAKE, CLAIM_SOURCE]);

export function describeClaim({ nonce, leaseMs, queues, limit, suspects }: ClaimRequest): Request {
  return toRequest(() => ({ nonce, leaseMs, queues, limit, suspects }));
}

export function toClaimResult(reply: Reply): ClaimResult {
  const [now, next, claims] = reply as [number, number | null, Reply[]];
  return { claims: claims.map(toClaim), nextDueInMs: next, now };
}

export function toClaim(reply: Reply): Claim {
  const run = toRun(reply);
  return { run, token: { epoch: run.epoch, nonce: run.nonce ?? '' }, from: originOf(reply) };
}
