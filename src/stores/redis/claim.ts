/** Claiming due runs. */

import type { Claim, ClaimRequest, ClaimResult } from '../../runtime/store.ts';
import { SUSPECT_ATTEMPTS } from '../../runtime/store.ts';
import { MESSAGES, toMessages } from './messages.ts';
import { originOf, RUNS, toRun } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';

/** A claim that is repeated later than this is a new one. */
const REMEMBERED_MS = 3_600_000;

export const TAKE: string = `
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
  return {wholeReply(row), messagesWithClaim(row)}
end
`;

/** S8, S9, S31. */
const CLAIM_SOURCE = `
local sources, lines, names = {}, {}, {}
local flags = call('HMGET', P .. 'meta', 'lanes', 'suspects')
local function toSource(queue, lane, limits)
  local isSuspect = string.sub(lane, 1, 1) == SUSPECTS
  return {key = laneKey(queue, lane), limits = limits, isSuspect = isSuspect, at = 0, found = {}, next = 1}
end

local held, heldCount = {}, 0
local later
local AFTER_NOW = '(' .. string.format('%.0f', now)
local function countLater(key)
  local next = call('ZRANGEBYSCORE', key, AFTER_NOW, '+inf', 'WITHSCORES', 'LIMIT', 0, heldCount + 1)
  for i = 1, #next, 2 do
    if not held[string.sub(next[i], 18)] then
      later = math.min(later or math.huge, tonumber(next[i + 1]))
      return
    end
  end
end

for _, name in ipairs(req.queues) do
  if not names[name] then
    names[name] = true
    sources[#sources + 1] = toSource(name, '')
    if flags[2] then sources[#sources + 1] = toSource(name, SUSPECTS) end
    if flags[1] then
      lines[#lines + 1] = {queue = name, at = 0, part = 32, lanes = {}, next = 1}
      countLater(P .. 'lanes:' .. name)
    end
  end
end

local function readLanes(line)
  local found = call('ZRANGEBYSCORE', P .. 'lanes:' .. line.queue, '-inf', now, 'WITHSCORES', 'LIMIT', line.at, line.part)
  line.lanes, line.next, line.at = {}, 1, line.at + line.part
  line.isDone = #found < 2 * line.part
  line.part = math.min(512, 2 * line.part)
  if #found == 0 then return end
  local names, keys = {}, {}
  for i = 1, #found, 2 do
    names[#names + 1] = found[i]
    line.lanes[#names] = {name = found[i], due = tonumber(found[i + 1])}
  end
  for i, limits in ipairs(call('HMGET', P .. 'asked:' .. line.queue, unpack(names))) do
    line.lanes[i].limits = cjson.decode(limits)
    for _, limit in ipairs(line.lanes[i].limits) do keys[#keys + 1] = limit.key end
  end
  readUses(keys)
end
local function nextLane(line)
  if line.next > #line.lanes and not line.isDone then readLanes(line) end
  return line.lanes[line.next]
end

local PART = 16
local function first(source)
  repeat
    if source.next > #source.found and not source.isDone then
      source.found = call('ZRANGE', source.key, source.at, source.at + PART - 1, 'WITHSCORES')
      source.at = source.at + PART
      source.next = 1
      source.isDone = #source.found < 2 * PART
    end
    local member = source.found[source.next]
    if not member then return nil end
    if not held[string.sub(member, 18)] then return member, tonumber(source.found[source.next + 1]) end
    source.next = source.next + 2
  until false
end

local opens
local function isInLine(source, suspects)
  local at = now
  if source.limits then at = opensAt(source.limits) end
  source.member, source.due = nil, nil
  if at == now then
    if source.isSuspect and suspects <= 0 then countLater(source.key) else source.member, source.due = first(source) end
  else
    -- What is not due yet is not blocked yet.
    local member, due = first(source)
    if member and due > now then
      later = math.min(later or due, due)
    elseif member and at then
      opens = math.min(opens or at, at)
    end
  end
  return source.member ~= nil
end

local function sooner(a, b)
  if not a or b.due < a.due or (b.due == a.due and b.member < a.member) then return b end
  return a
end

local function earliest(suspects)
  local found, i = nil, 1
  while i <= #sources do
    if isInLine(sources[i], suspects) then
      found = sooner(found, sources[i])
      i = i + 1
    else
      sources[i] = sources[#sources]
      sources[#sources] = nil
    end
  end
  for _, line in ipairs(lines) do
    local lane = nextLane(line)
    while lane and not (found and lane.due > found.due) do
      if opensAt(lane.limits) then
        local source = toSource(line.queue, lane.name, lane.limits)
        if isInLine(source, suspects) then
          sources[#sources + 1] = source
          found = sooner(found, source)
        end
      end
      line.next = line.next + 1
      lane = nextLane(line)
    end
  end
  return found
end

local function untilNext(source)
  local at = math.min(source and source.due or math.huge, opens or math.huge, later or math.huge)
  return at < math.huge and math.max(0, at - now)
end

local function takeDue(limit, suspects)
  local taken = {}
  while true do
    local source = earliest(suspects)
    if not source or source.due > now then return taken, untilNext(source) end
    if #taken >= limit then return taken, 0 end
    if source.isSuspect then suspects = suspects - 1 end
    taken[#taken + 1] = take(getRun(string.sub(source.member, 18), true), req)
    source.next = source.next + 2
  end
end

local claims = {}
for _, id in ipairs(call('LRANGE', P .. 'n:' .. req.nonce, 0, -1)) do
  local row = not held[id] and getRun(id, true)
  if row and row.st == 'running' and row.no == req.nonce then
    held[id] = true
    heldCount = heldCount + 1
    claims[#claims + 1] = row
  end
end
if #claims > 0 then
  local suspects = req.suspects
  for i, row in ipairs(claims) do
    if row.at >= ${SUSPECT_ATTEMPTS} then suspects = suspects - 1 end
    claims[i] = {toReply(row), messagesWithClaim(row)}
  end
  local _, next = takeDue(0, suspects)
  return finish({now, next, claims})
end
local taken, next = takeDue(req.limit, req.suspects)
flush()
return finish({now, next, taken})
`;

export const CLAIM: Script = toScript('claim', [RUNS, MESSAGES, TAKE, CLAIM_SOURCE]);

export function describeClaim({ nonce, leaseMs, queues, limit, suspects }: ClaimRequest): Request {
  return toRequest(() => ({ nonce, leaseMs, queues, limit, suspects }));
}

export function toClaimResult(reply: Reply): ClaimResult {
  const [now, next, claims] = reply as [number, number | null, Reply[]];
  return { claims: claims.map(toClaim), nextDueInMs: next, now };
}

export function toClaim(reply: Reply): Claim {
  const [row = null, messages = null] = reply as Reply[];
  const run = toRun(row);
  const token = { epoch: run.epoch, nonce: run.nonce ?? '' };
  return { run, token, from: originOf(row), ...(messages === null ? {} : { messages: toMessages(messages) }) };
}
