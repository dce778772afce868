/** The holder's commit. */

import type { Commit, CommitResult, LedgerRow, Then } from '../../runtime/store.ts';
import type { ChunkPacker } from '../packing.ts';
import { ENDINGS } from './end.ts';
import { HOOKS } from './hooks.ts';
import { INBOX } from './inbox.ts';
import { describeLedgerRow, LEDGER } from './ledger.ts';
import { toMessages } from './messages.ts';
import { toText } from './payloads.ts';
import { describeRun, RUNS } from './runs.ts';
import { toJson, toRequest, toScript } from './script.ts';
import type { PlaceOf, Reply, Request, Script } from './script.ts';
import { START_FROM_COMMIT } from './start.ts';
import { describeWrite, STREAM_ROWS } from './streams.ts';

/** S14. Each check answers a refusal, or nothing. */
const CHECKS = `
local function holds(row, one) return row.st == 'running' and row.ep == one.epoch and row.no == one.nonce end

local function hasUnseen(row, one)
  local kind = one['then'].kind
  if (kind == 'wait' or kind == 'end') and one.seen ~= row.ih then return true end
  if kind == 'wait' and row.ca and not one.cancelSeen then return true end
  if #one.close == 0 or row.ih <= one.seen then return false end
  local keys = {}
  for _, message in ipairs(messagesFrom(row, one.seen)) do keys[cjson.decode(message[2]).key or false] = true end
  for _, token in ipairs(one.close) do
    local hook = getHook(token)
    if hook and hook.run == row.id and keys[hook.key] then return true end
  end
  return false
end

local function isFree(hook)
  local row = getRun(hook.run)
  return hook.st == 'closed' or not row or isEnded(row.st)
end

local function takenToken(row, one)
  local own = {}
  for _, new in ipairs(one.create) do
    local hook = getHook(new.token)
    local run, key = row.id, own[new.token] or new.key
    if hook and not isFree(hook) then run, key = hook.run, hook.key end
    if run ~= row.id or key ~= new.key then return {'token_taken', new.token, run, key} end
    own[new.token] = new.key
  end
end

local function closedStream(row, one)
  local closed = {}
  for _, write in ipairs(one.chunks) do
    local s = getStream(row, write.stream)
    if #write.packs > 0 and (closed[write.stream] or (s and s.closed)) then return {'stream_closed', write.stream} end
    if write.close then closed[write.stream] = true end
  end
end

local function refusalOf(row, one)
  if not holds(row, one) then return {'fenced'} end
  if one.expect ~= row.h or (one.number and one.number ~= row.n + 1) or one.received > row.ih then return {'moved', row.h} end
  if hasUnseen(row, one) then return {'pending', messagesFrom(row, one.received), row.ca and 1 or 0} end
  return takenToken(row, one) or closedStream(row, one)
end
`;

/** S15 to S17. */
const CHANGES = `
local function createHook(row, new)
  local old = getHook(new.token)
  if old and not isFree(old) then
    if old.st == 'resolved' and old.kind ~= 'approval' then
      call('HDEL', P .. 'h:' .. new.token, 'rs')
      old.rs = nil
      changeHook(old, {st = 'open', ans = '[]'})
      call('ZADD', P .. 'hopen', old.o, new.token)
    end
    return
  end
  if old then
    call('DEL', P .. 'h:' .. new.token, P .. 'hn:' .. new.token)
    if old.th then call('ZREM', P .. 'hth:' .. old.th, new.token) end
  end
  local order = nextOrder()
  local hook = {token = new.token}
  hooks[new.token] = hook
  changeHook(hook, {run = row.id, key = new.key, kind = new.kind, once = new.once, needed = new.needed, tool = new.tool,
    det = ARGV[new.details], st = 'open', ans = '[]', cr = now, wf = row.wf, th = row.th, te = row.te, o = order})
  call('ZADD', P .. 'hooks', order, new.token)
  call('ZADD', P .. 'hopen', order, new.token)
  call('ZADD', P .. 'hr:' .. row.id, order, new.token)
  if row.th then call('ZADD', P .. 'hth:' .. row.th, order, new.token) end
  put(row, 'hk', 1)
end

local function goOn(row, one)
  local next = one['then']
  if next.kind == 'run' then
    if not next.heartbeat and ((row.due or now) - now) * 3 >= one.leaseMs * 2 then return false end
    put(row, 'due', now + one.leaseMs)
    return true
  end
  if next.kind ~= 'end' then releaseSlots(row) end
  if next.kind == 'end' then
    endRun(row, {st = next.status, res = next.result and ARGV[next.result], err = next.error and ARGV[next.error], ec = next.errorCode})
  elseif next.kind == 'park' then
    put(row, 'st', 'parked')
    put(row, 'due', nil)
    put(row, 'pc', next.code)
    put(row, 'pd', ARGV[next.details])
    hint('run', 'run', row.id)
    tellThread(row)
  elseif next.kind == 'yield' or (next.dueAt and next.dueAt <= now) then
    put(row, 'or', next.kind)
    makeReady(row)
  else
    put(row, 'or', 'wait')
    put(row, 'st', 'waiting')
    put(row, 'due', next.dueAt)
    tellThread(row)
    if next.dueAt then hint('due') end
  end
  return false
end

local function placed(places)
  local stored = {}
  for i, place in ipairs(places) do stored[i] = ARGV[place] end
  return stored
end

local function apply(row, one)
  put(row, 'lc', one.id)
  put(row, 'n', row.n + 1)
  put(row, 'se', one.seen)
  put(row, 'up', now)
  if #one.events > 0 then
    inParts(placed(one.events), function(...) call('RPUSH', P .. 'e:' .. row.id, ...) end)
    put(row, 'h', row.h + #one.events)
    put(row, 'at', 0)
    if row.su then put(row, 'su', nil) end
  end
  if one.checkpoint then
    put(row, 'cp', one.checkpoint)
    call('ZADD', P .. 'k:' .. row.id, one.checkpoint, one.checkpoint)
  end
  if one.suspects then put(row, 'su', one.suspects) end
  for _, write in ipairs(one.chunks) do writeStream(row, write) end
  for _, new in ipairs(one.create) do createHook(row, new) end
  for _, token in ipairs(one.close) do closeHook(getHook(token), row.id) end
  for _, entry in ipairs(one.ledger) do addToLedger(entry) end
  for _, new in ipairs(one.starts) do startFromCommit(new) end
  local extended = goOn(row, one)
  for _, id in ipairs(one.cancels) do
    local target = getRun(id)
    if target then cancelRun(target) end
  end
  return extended
end

local function applied(row, one, extended)
  local tails = {}
  for i, write in ipairs(one.chunks) do
    local s = getStream(row, write.stream)
    tails[i] = s and s.tail or 0
  end
  local told = {holds(row, one) and 1 or 0, row.h, extended and 1 or 0, row.ca and 1 or 0}
  return {'applied', told, messagesFrom(row, one.received), tails}
end

local function commit(one)
  local row = getRun(one.run)
  if not row then return {'fenced'} end
  if row.lc == one.id then
    -- What the first answer told may have been lost with it.
    if one['then'].kind ~= 'run' or #one.starts + #one.cancels > 0 then hint('any') end
    return applied(row, one, false)
  end
  local refusal = refusalOf(row, one)
  if refusal then return refusal end
  return applied(row, one, apply(row, one))
end

local answers = {}
for i, one in ipairs(req.items) do answers[i] = commit(one) end
flush()
return finish({now, answers})
`;

export const COMMIT: Script = toScript('commit', [
  RUNS,
  INBOX,
  HOOKS,
  STREAM_ROWS,
  ENDINGS,
  LEDGER,
  START_FROM_COMMIT,
  CHECKS,
  CHANGES,
]);

export function describeCommits(batch: Commit[], packer: ChunkPacker): Request {
  return toRequest((place) => ({ items: batch.map((commit) => describeCommit(commit, { place, packer })) }));
}

function describeCommit(commit: Commit, { place, packer }: { place: PlaceOf; packer: ChunkPacker }): unknown {
  return {
    run: commit.run,
    epoch: commit.token.epoch,
    nonce: commit.token.nonce,
    expect: commit.expect,
    id: commit.id,
    number: commit.number,
    leaseMs: commit.leaseMs,
    events: commit.events.map(place),
    chunks: commit.chunks.map((write) => describeWrite(write, { place, packer })),
    create: commit.hooks.create.map((hook) => ({
      token: hook.tokenHash,
      key: hook.key,
      kind: hook.kind,
      once: hook.once ? 1 : undefined,
      needed: hook.needed,
      tool: hook.tool,
      details: place(hook.details),
    })),
    close: commit.hooks.close,
    starts: commit.starts.map((run) => describeRun(run, place)),
    cancels: commit.cancels,
    ledger: commit.ledger.map((row: LedgerRow) => describeLedgerRow(row, place)),
    seen: commit.seen,
    received: commit.received,
    cancelSeen: commit.cancelSeen,
    checkpoint: commit.checkpoint,
    suspects: commit.suspects && toJson(commit.suspects),
    then: describeThen(commit.then, place),
  };
}

function describeThen(then: Then, place: PlaceOf): unknown {
  if (then.kind === 'park') return { ...then, details: place(then.details) };
  // Replies of scripts have no fractions.
  if (then.kind === 'wait') return { ...then, dueAt: then.dueAt === null ? null : Math.ceil(then.dueAt) };
  if (then.kind !== 'end') return then;
  const { result, error } = then;
  return { ...then, result: result && place(result), error: error && place(error) };
}

export function toCommitResults(reply: Reply, batch: Commit[]): CommitResult[] {
  const [now, answers] = reply as [number, Reply[]];
  return answers.map((answer, index) => toCommitResult(answer as Reply[], { now, commit: batch[index] as Commit }));
}

function toCommitResult(answer: Reply[], { now, commit }: { now: number; commit: Commit }): CommitResult {
  const [kindReply = null, first = null, second = null, third = null] = answer;
  const kind = toText(kindReply) as CommitResult['kind'];
  switch (kind) {
    case 'fenced':
      return { kind };
    case 'moved':
      return { kind, head: Number(first) };
    case 'pending':
      return { kind, messages: toMessages(first), cancel: second === 1, now };
    case 'token_taken':
      return { kind, tokenHash: toText(first), holder: { run: toText(second), key: toText(third) } };
    case 'stream_closed':
      return { kind, stream: toText(first) };
    case 'applied': {
      const [holder, head = 0, extended, cancel] = first as number[];
      const tails = Object.fromEntries(commit.chunks.map(({ stream }, at) => [stream, Number((third as Reply[])[at])]));
      return {
        kind,
        holder: holder === 1,
        head,
        now,
        extended: extended === 1,
        cancel: cancel === 1,
        messages: toMessages(second),
        tails,
      };
    }
  }
}
