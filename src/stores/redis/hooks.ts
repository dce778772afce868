/** The rows of hooks and approvals, and their notes. */

import type { Hook, HookQuery, Page, Payload, Responder } from '../../runtime/store.ts';
import { pageSize } from '../rules.ts';
import { ITEMS_PER_PAGE, PAGES, readPage } from './paging.ts';
import type { Ask } from './paging.ts';
import { toPayload, toPayloads, toText } from './payloads.ts';
import { RUNS } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';

const COLUMNS = ['run', 'key', 'kind', 'once', 'needed', 'tool', 'st', 'ans', 'cr', 'rs', 'wf', 'th', 'te', 'ln', 'o'];

export const HOOKS: string = `
local HOOK = {${COLUMNS.map((name) => `'${name}'`).join(',')},'det'}
local hooks = {}

local function getHook(token)
  local hook = hooks[token]
  if hook ~= nil then return hook or nil end
  local values = call('HMGET', P .. 'h:' .. token, unpack(HOOK))
  hook = false
  if values[1] then
    hook = {token = token}
    for i, name in ipairs(HOOK) do hook[name] = values[i] or nil end
    hook.needed = tonumber(hook.needed)
  end
  hooks[token] = hook
  return hook or nil
end

local function changeHook(hook, change)
  local set = {}
  for name, value in pairs(change) do
    hook[name] = value
    set[#set + 1] = name
    set[#set + 1] = value
  end
  call('HSET', P .. 'h:' .. hook.token, unpack(set))
end

local function closeHook(hook, run)
  if not hook or hook.run ~= run or hook.st ~= 'open' then return end
  changeHook(hook, {st = 'closed'})
  call('ZREM', P .. 'hopen', hook.token)
end

local function hookReply(hook)
  local reply = {}
  for i = 1, #HOOK - 1 do reply[i] = hook[HOOK[i]] or false end
  reply[#HOOK] = payload(hook.det)
  reply[#HOOK + 1] = hook.ln and payloads(call('LRANGE', P .. 'hn:' .. hook.token, 0, -1)) or {}
  reply[#HOOK + 2] = hook.token
  return reply
end
`;

const GET_SOURCE = `
local hook = getHook(req.token)
return finish(hook and hookReply(hook) or false)
`;

/** A call that a client repeats by itself must not add its note twice. */
const NOTE_SOURCE = `
local hook = getHook(req.token)
if not hook then return finish(0) end
if hook.ln ~= req.id then
  changeHook(hook, {ln = req.id})
  call('RPUSH', P .. 'hn:' .. hook.token, ARGV[req.note])
end
return finish(1)
`;

const LIST_SOURCE = `
local function isAsked(asked, value) return asked == nil or asked == value end
local function matches(token)
  local hook = getHook(token)
  if not hook then return false end
  local isTenant = req.tenant == nil or hook.te == req.tenant
  if req.untenanted then isTenant = hook.te == nil end
  return isTenant and (req.status == nil or req.status[hook.st]) and isAsked(req.kind, hook.kind)
    and isAsked(req.run, hook.run) and isAsked(req.thread, hook.th) and isAsked(req.tool, hook.tool)
end
local source = 'hooks'
if req.run then source = 'hr:' .. req.run
elseif req.thread then source = 'hth:' .. req.thread
elseif req.open then source = 'hopen' end
return finish(pageOf(source, matches, function(token) return hookReply(getHook(token)) end))
`;

export const GET_HOOK: Script = toScript('hook', [HOOKS, GET_SOURCE]);
export const NOTE: Script = toScript('note', [HOOKS, NOTE_SOURCE]);
export const LIST_HOOKS: Script = toScript('listHooks', [RUNS, HOOKS, PAGES, LIST_SOURCE]);

export function describeNote(token: string, { id, note }: { id: string; note: Payload }): Request {
  return toRequest((place) => ({ token, id, note: place(note) }));
}

export function listHooks(ask: Ask, query: HookQuery): Promise<Page<Hook>> {
  const { status, limit, cursor, tenant, ...rest } = query;
  const request = {
    ...rest,
    tenant,
    untenanted: tenant === null,
    status: status && Object.fromEntries(status.map((one) => [one, true])),
    open: status !== undefined && status.every((one) => one === 'open'),
  };
  return readPage(ask, { script: LIST_HOOKS, request, cursor, size: pageSize(limit, ITEMS_PER_PAGE), toItem: toHook });
}

export function toHook(reply: Reply): Hook {
  const values = reply as Reply[];
  const of = (column: string): Reply => values[COLUMNS.indexOf(column)] ?? null;
  const textOrNull = (column: string): string | null => (of(column) === null ? null : toText(of(column)));
  const [details = null, notes = [], token = null] = values.slice(COLUMNS.length);
  return {
    tokenHash: toText(token),
    key: toText(of('key')),
    kind: toText(of('kind')) as Hook['kind'],
    once: of('once') !== null,
    needed: Number(of('needed')),
    tool: textOrNull('tool'),
    details: toPayload(details),
    run: toText(of('run')),
    workflow: toText(of('wf')),
    thread: textOrNull('th'),
    tenant: textOrNull('te'),
    status: toText(of('st')) as Hook['status'],
    responders: (JSON.parse(toText(of('ans'))) as Responder[]).map(({ by, approved, at }) => ({ by, approved, at })),
    notes: toPayloads(notes),
    createdAt: Number(of('cr')),
    resolvedAt: of('rs') === null ? null : Number(of('rs')),
  };
}
