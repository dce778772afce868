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

const CLAIM_SOURCE = `
local queues, names = {}, {}
for _, name in ipairs(req.queues) do
  if not names[name] then
    names[name] = true
    queues[#queues + 1] = {key = P .. 'due:' .. name, at = 0, found = {}, next = 1}
  end
end

local PART = 16
local function first(queue)
  if queue.next > #queue.found and not queue.isDone then
    queue.found = call('ZRANGE', queue.key, queue.at, queue.at + PART - 1, 'WITHSCORES')
    queue.at = queue.at + PART
    queue.next = 1
    queue.isDone = #queue.found < 2 * PART
  end
  return queue.found[queue.next], tonumber(queue.found[queue.next + 1])
end

local held = {}
local function earliest()
  local found, member, due
  for _, queue in ipairs(queues) do
    local m, d = first(queue)
    while m and held[string.sub(m, 18)] do
      queue.next = queue.next + 2
      m, d = first(queue)
    end
    if m and (not due or d < due or (d == due and m < member)) then found, member, due = queue, m, d end
  end
  return found, member, due
end

local function pick(limit, suspects)
  local picked = {}
  while true do
    local queue, member, due = earliest()
    if not queue then return picked, false end
    if due > now then return picked, due - now end
    local row = getRun(string.sub(member, 18), #picked < limit)
    local suspect = isSuspect(row)
    local isPassed = suspect and suspects <= 0
    if not isPassed and #picked >= limit then return picked, 0 end
    if suspect and not isPassed then suspects = suspects - 1 end
    if not isPassed then picked[#picked + 1] = row end
    queue.next = queue.next + 2
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
  local _, next = pick(0, suspects)
  return finish({now, next, claims})
end
local picked, next = pick(req.limit, req.suspects)
for i, row in ipairs(picked) do claims[i] = take(row, req) end
flush()
return finish({now, next, claims})
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
