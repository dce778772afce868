/** Questions about runs: they change nothing. */

import { hasBegun } from '../../runtime/store.ts';
import type { Backlog, Loaded, Page, Run, RunQuery, RunStatus } from '../../runtime/store.ts';
import { pageSize } from '../rules.ts';
import { INBOX } from './inbox.ts';
import { toMessages } from './messages.ts';
import { ITEMS_PER_PAGE, PAGES, readPage } from './paging.ts';
import type { Ask } from './paging.ts';
import { toPayloads, toText } from './payloads.ts';
import { RUNS, toRun } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';

const GET_SOURCE = `
local row = getRun(req.run, true)
return finish(row and toReply(row) or false)
`;

/** S23 */
const LOAD_SOURCE = `
local row = getRun(req.run, true)
if not row then return finish(false) end
local checkpoints = {}
if not req.from and row.cp > 0 then
  for _, seq in ipairs(call('ZRANGEBYSCORE', P .. 'k:' .. row.id, '-inf', '(' .. row.cp)) do
    local event = call('LINDEX', P .. 'e:' .. row.id, seq)
    if event then checkpoints[#checkpoints + 1] = payload(event) end
  end
end
local events = payloads(call('LRANGE', P .. 'e:' .. row.id, req.from or row.cp, -1))
return finish({now, toReply(row), checkpoints, events, messagesFrom(row, row.se)})
`;

const LIST_SOURCE = `
local function isAsked(asked, value) return asked == nil or asked == value end
local function hasAttributes(row)
  if not req.attributes then return true end
  local has = cjson.decode(row.ab)
  for name, value in pairs(req.attributes) do
    if has[name] ~= value then return false end
  end
  return true
end
local function matches(id)
  if not req.filter then return true end
  local row = getRun(id)
  local isTenant = req.tenant == nil or row.te == req.tenant
  if req.untenanted then isTenant = row.te == nil end
  return isTenant and (req.status == nil or req.status[row.st]) and isAsked(req.workflow, row.wf)
    and isAsked(req.thread, row.th) and isAsked(req.errorCode, row.ec) and isAsked(req.parent, row.pr)
    and row.cr > (req.createdAfter or -math.huge) and row.cr < (req.createdBefore or math.huge) and hasAttributes(row)
end
local source = req.source
if req.thread and (req.tenant or req.untenanted) then source = 't:' .. threadKey({th = req.thread, te = req.tenant}) end
return finish(pageOf(source, matches, function(id) return toReply(getRun(id, true)) end))
`;

const BACKLOG_SOURCE = `return finish(call('HGETALL', P .. 'backlog'))`;

const THREAD_SOURCE = `
local found = {}
for i, id in ipairs(call('ZRANGE', P .. 't:' .. threadKey({th = req.thread, te = req.tenant}), 0, -1)) do
  found[i] = toReply(getRun(id, true))
end
return finish(found)
`;

export const GET: Script = toScript('get', [RUNS, GET_SOURCE]);
export const LOAD: Script = toScript('load', [RUNS, INBOX, LOAD_SOURCE]);
export const LIST: Script = toScript('list', [RUNS, PAGES, LIST_SOURCE]);
export const BACKLOG: Script = toScript('backlog', [BACKLOG_SOURCE]);
export const THREAD: Script = toScript('thread', [RUNS, THREAD_SOURCE]);

export function describeGet(run: string): Request {
  return toRequest(() => ({ run }));
}

export function describeLoad(run: string, from: number | undefined): Request {
  return toRequest(() => ({ run, from }));
}

export function toLoaded(reply: Reply): Loaded | null {
  if (reply === null) return null;
  const [now = null, run = null, checkpoints = null, events = null, messages = null] = reply as Reply[];
  return {
    run: toRun(run),
    checkpoints: toPayloads(checkpoints),
    events: toPayloads(events),
    messages: toMessages(messages),
    now: Number(now),
  };
}

const LIVE: readonly RunStatus[] = ['queued', 'ready', 'running', 'waiting', 'parked'];

export function listRuns(ask: Ask, query: RunQuery): Promise<Page<Run>> {
  const { limit, cursor, status, tenant, ...rest } = query;
  const request = {
    ...rest,
    tenant,
    untenanted: tenant === null,
    status: status && Object.fromEntries(status.map((one) => [one, true])),
    source: sourceOf(query),
    filter: Object.keys(rest).length > 0 || tenant !== undefined || status !== undefined,
  };
  return readPage(ask, {
    script: LIST,
    request,
    cursor,
    size: pageSize(limit, ITEMS_PER_PAGE),
    toItem: (reply) => toRun(reply),
  });
}

/** The index that is likely to be the shortest; a thread of a known tenant has one of its own. */
function sourceOf({ parent, errorCode, status, tenant }: RunQuery): string {
  if (parent !== undefined) return `ch:${parent}`;
  if (status !== undefined && status.every((one) => LIVE.includes(one))) return 'live';
  if (errorCode !== undefined) return `err:${errorCode}`;
  return tenant === undefined || tenant === null ? 'runs' : `ten:${tenant}`;
}

/** S29 */
export function toBacklog(reply: Reply, without: readonly string[]): Backlog[] {
  const values = (reply as Reply[]).map(toText);
  const found: Backlog[] = [];
  for (let index = 0; index < values.length; index += 2)
    found.push({ queue: values[index] ?? '', runs: Number(values[index + 1]) });
  return found
    .filter(({ queue, runs }) => runs > 0 && !without.includes(queue))
    .toSorted((a, b) => (a.queue < b.queue ? -1 : 1));
}

export function describeThread(thread: string, tenant: string | null): Request {
  return toRequest(() => ({ thread, tenant }));
}

export function toThread(reply: Reply): Run[] {
  const runs = (reply as Reply[]).map((row) => toRun(row));
  const superseded = new Set(runs.filter(hasBegun).map(({ supersedes }) => supersedes));
  return runs.filter(({ id }) => !superseded.has(id));
}
