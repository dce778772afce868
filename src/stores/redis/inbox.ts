/** Deliveries: the inbox of a run, hooks and approvals. */

import type { Delivery, DeliverClaim, DeliverResult, Hook } from '../../runtime/store.ts';
import { hookKindFor } from '../rules.ts';
import { TAKE, toClaim } from './claim.ts';
import { HOOKS, toHook } from './hooks.ts';
import { MESSAGES } from './messages.ts';
import { toText } from './payloads.ts';
import { RUNS } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';

export const INBOX: string = `${MESSAGES}
local function hasMessage(row, id) return row.ih > 0 and call('HEXISTS', P .. 'd:' .. row.id, id) == 1 end

local function rememberUser(row, id)
  local key = P .. 'tu:' .. threadKey(row)
  local known = call('HGET', key, id)
  local takers = known and cjson.decode(known) or {}
  takers[#takers + 1] = {row.o, row.id}
  call('HSET', key, id, cjson.encode(takers))
end

local function appendMessage(row, message, stored)
  message.at = now
  call('RPUSH', P .. 'i:' .. row.id, cjson.encode(message), stored)
  call('HSET', P .. 'd:' .. row.id, message.id, message.kind)
  call('HINCRBY', P .. 'mi', message.id, 1)
  if message.kind == 'user' and row.th then rememberUser(row, message.id) end
  put(row, 'ih', row.ih + 1)
  put(row, 'up', now)
  hint('run', 'run', row.id)
  if row.st == 'waiting' then makeReady(row) end
end
`;

const DELIVER_SOURCE = `
local function taken(kind, key, one)
  return {id = one.id, kind = kind, key = key, inputHash = one.hash, by = one.by}
end

local function toRun(one)
  local row = getRun(one.run)
  if not row then return {'not_found'} end
  if hasMessage(row, one.id) then return {'duplicate', row.id, false} end
  if isEnded(row.st) then return {'gone', row.id, false} end
  appendMessage(row, taken(one.kind or 'wake', nil, one), ARGV[one.payload])
  return {'ok', row.id, false}
end

local function hasAnswer(answers, name, value)
  for _, answer in ipairs(answers) do
    if answer[name] == value then return true end
  end
  return false
end

local function takeForHook(row, hook, one)
  local answers = cjson.decode(hook.ans)
  if hasMessage(row, one.id) or hasAnswer(answers, 'id', one.id) then return 'duplicate' end
  if hook.st ~= 'open' then return 'gone' end
  local isApproval = hook.kind == 'approval'
  if isApproval then
    local by = one.by or ''
    if hasAnswer(answers, 'by', by) then return 'duplicate' end
    answers[#answers + 1] = {by = by, approved = one.approved, at = now, id = one.id}
  elseif hook.once and one.by then
    answers[#answers + 1] = {by = one.by, approved = true, at = now, id = one.id}
  end
  if #answers > 0 then changeHook(hook, {ans = cjson.encode(answers)}) end
  local isDecided = #answers >= hook.needed or hasAnswer(answers, 'approved', false)
  if not isApproval or isDecided then
    appendMessage(row, taken(isApproval and 'decision' or 'hook', hook.key, one), ARGV[one.payload])
    if hook.once or isApproval then
      changeHook(hook, {st = 'resolved', rs = now})
      call('ZREM', P .. 'hopen', hook.token)
    end
  end
  return 'ok'
end

local function toHook(one)
  local hook = getHook(one.hook)
  if not hook or hook.kind ~= one.hookKind then return {'not_found'} end
  local row = getRun(hook.run)
  if not row then return {'not_found'} end
  local kind = takeForHook(row, hook, one)
  return {kind, row.id, hookReply(hook)}
end

local answers = {}
for i, one in ipairs(req.items) do
  local answer = one.run and toRun(one) or toHook(one)
  local row = answer[1] == 'ok' and req.claim and getRun(answer[2])
  if row and row.st == 'ready' and not row.lm and req.claim.queues[row.q] and not isSuspect(row) then answer[4] = take(row, req.claim) end
  answers[i] = answer
end
flush()
return finish({now, answers})
`;

export const DELIVER: Script = toScript('deliver', [RUNS, INBOX, HOOKS, TAKE, DELIVER_SOURCE]);

export function describeDelivery(messages: Delivery[], claim: DeliverClaim | undefined): Request {
  return toRequest((place) => ({
    items: messages.map((message) => ({
      ...message.to,
      id: message.id,
      kind: message.kind,
      hookKind: hookKindFor(message),
      payload: place(message.payload),
      hash: message.inputHash,
      by: message.by,
      approved: message.decision?.approved,
    })),
    claim: claim && {
      nonce: claim.nonce,
      leaseMs: claim.leaseMs,
      queues: Object.fromEntries(claim.queues.map((queue) => [queue, true])),
    },
  }));
}

export function toDeliverResults(reply: Reply): DeliverResult[] {
  const [now, answers] = reply as [number, Reply[]];
  return answers.map((answer) => {
    const [kindReply = null, runReply = null, hookReply = null, claimed = null] = answer as Reply[];
    const kind = toText(kindReply) as DeliverResult['kind'];
    if (kind === 'not_found') return { kind };
    const hook: Hook | null = hookReply === null ? null : toHook(hookReply);
    const run = toText(runReply);
    if (kind !== 'ok' || claimed === null) return { kind, run, hook };
    return { kind, run, hook, claimed: { claim: toClaim(claimed), now } };
  });
}
