/** The end of a run and its consequences, and the controls that people have. */

import type { Control, ControlResult } from '../../runtime/store.ts';
import { HOOKS } from './hooks.ts';
import { INBOX } from './inbox.ts';
import { RUNS, toRun } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';
import { STREAM_ROWS } from './streams.ts';
import { toText } from './payloads.ts';

export const ENDINGS = `
local function leaveThread(row)
  if not row.th then return end
  local key = threadKey(row)
  if isActive(row.st) then call('DEL', P .. 'ta:' .. key) else call('ZREM', P .. 'tq:' .. key, row.id) end
end

local function promoteQueued(row)
  if not row.th then return end
  local key = threadKey(row)
  if call('EXISTS', P .. 'ta:' .. key) == 1 then return end
  local id = call('ZRANGE', P .. 'tq:' .. key, 0, 0)[1]
  if not id then return end
  call('ZREM', P .. 'tq:' .. key, id)
  call('SET', P .. 'ta:' .. key, id)
  makeReady(getRun(id))
end

local function tellParent(row, ending)
  local parent = row.pr and getRun(row.pr)
  if not parent or isEnded(parent.st) or hasMessage(parent, row.id) then return end
  local message = {id = row.id, kind = 'child', key = row.pk, status = ending.st}
  appendMessage(parent, message, ending.res or ending.err or 'r')
end

local function closeHooks(row)
  if not row.hk then return end
  for _, token in ipairs(call('ZRANGE', P .. 'hr:' .. row.id, 0, -1)) do closeHook(getHook(token), row.id) end
end

local function endRun(row, ending)
  leaveThread(row)
  releaseSlots(row)
  put(row, 'st', ending.st)
  put(row, 'due', nil)
  put(row, 'res', ending.res)
  put(row, 'err', ending.err)
  put(row, 'ec', ending.ec)
  put(row, 'pc', nil)
  put(row, 'pd', nil)
  put(row, 'up', now)
  put(row, 'en', now)
  call('ZREM', P .. 'live', row.id)
  if call('HINCRBY', P .. 'backlog', row.q, -1) <= 0 then call('HDEL', P .. 'backlog', row.q) end
  call('ZADD', P .. 'ended', now, ordered(row.o, row.id))
  if ending.ec then call('ZADD', P .. 'err:' .. ending.ec, row.o, row.id) end
  hint('run', 'run', row.id)
  for _, name in ipairs(openStreams(row)) do hint('stream', 'run', row.id, 'stream', name) end
  closeHooks(row)
  tellThread(row)
  promoteQueued(row)
  tellParent(row, ending)
end

local cancelChildren
local function cancelRun(row)
  if isEnded(row.st) then return end
  put(row, 'ca', 1)
  put(row, 'up', now)
  if row.st == 'queued' or row.st == 'parked' then
    endRun(row, {st = 'cancelled', ec = 'cancelled'})
    return cancelChildren(row)
  end
  hint('run', 'run', row.id)
  if row.st == 'waiting' then makeReady(row) end
end

cancelChildren = function(row)
  for _, id in ipairs(call('ZRANGE', P .. 'ch:' .. row.id, 0, -1)) do
    local child = getRun(id)
    if child then cancelRun(child) end
  end
end
`;

const CONTROL_SOURCE = `
local function resume(row)
  if row.st ~= 'parked' then return false end
  put(row, 'pc', nil)
  put(row, 'pd', nil)
  put(row, 'at', 0)
  put(row, 'su', nil)
  put(row, 'or', 'yield')
  makeReady(row)
  return true
end

local function handOver(row)
  if row.ih <= row.se then return end
  local unread = call('LRANGE', P .. 'i:' .. row.id, 2 * row.se, -1)
  for i = 1, #unread, 2 do
    local message = cjson.decode(unread[i])
    if message.kind == 'user' and not getRun(message.id) then
      local new = {id = message.id, hs = message.inputHash or '', ['in'] = unread[i + 1]}
      for _, name in ipairs({'wf', 've', 'q', 'th', 'te', 'ab', 'lm'}) do new[name] = row[name] end
      insertRun(new, row.th and 'queued' or 'ready')
    end
  end
end

local function apply(row)
  if isEnded(row.st) then return false end
  if req.control == 'cancel' then cancelRun(row)
  elseif req.control == 'resume' then return resume(row)
  else
    handOver(row)
    endRun(row, {st = 'failed', ec = 'terminated'})
    cancelChildren(row)
  end
  return true
end

local row = getRun(req.run, true)
if not row then return finish({'not_found'}) end
local isDone = apply(row)
flush()
return finish({isDone and 'ok' or 'refused', toReply(row)})
`;

export const CONTROL: Script = toScript('control', [RUNS, INBOX, HOOKS, STREAM_ROWS, ENDINGS, CONTROL_SOURCE]);

export function describeControl(run: string, control: Control): Request {
  return toRequest(() => ({ run, control }));
}

export function toControlResult(reply: Reply): ControlResult {
  const [kindReply = null, run = null] = reply as Reply[];
  const kind = toText(kindReply) as ControlResult['kind'];
  return kind === 'not_found' ? { kind } : { kind, run: toRun(run) };
}
