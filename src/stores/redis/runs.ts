/** The rows of runs: read once, changed in the script's memory, and written at its end. */

import type { Limit, NewRun, Payload, Run, RunStatus } from '../../runtime/store.ts';
import type { Origin } from '../rules.ts';
import { LANES } from './lanes.ts';
import { toPayload, toPayloadOrNull, toText } from './payloads.ts';
import { toJson } from './script.ts';
import type { PlaceOf, Reply } from './script.ts';

/** What transitions look at. The order is that of a reply. */
const STATE = ['st', 'due', 'ep', 'no', 'h', 'cp', 'ih', 'se', 'ca', 'at', 'su', 'lc', 'n', 'or', 'o'];
const OF_START = ['q', 'wf', 've', 'th', 'te', 'hs', 'ab', 'pr', 'pk', 'sp', 'cr'];
const COLUMNS = [...STATE, ...OF_START, 'up', 'en', 'ec', 'pc', 'sn', 'hk', 'lm'];
const NUMBERS = ['due', 'ep', 'h', 'cp', 'ih', 'se', 'at', 'n', 'o', 'cr', 'up', 'en'];
const PAYLOADS = ['in', 'res', 'err', 'pd'];
const WHOLE = [...COLUMNS, ...PAYLOADS];

const list = (names: string[]): string => names.map((name) => `'${name}'`).join(',');

export const RUNS: string = `${LANES}
local COLUMNS = {${list(COLUMNS)}}
local PAYLOADS = {${list(PAYLOADS)}}
local WHOLE = {${list(WHOLE)}}
local NUMBER = {${NUMBERS.map((name) => `${name}=true`).join(',')}}
local rows, touched = {}, {}

local function fill(row, names, values)
  for i, name in ipairs(names) do
    local value = values[i]
    if value and not row.dirty[name] then row[name] = NUMBER[name] and tonumber(value) or value end
  end
end

local function getRun(id, whole)
  local row = rows[id]
  if row == false then return nil end
  if row and (row.whole or not whole) then return row end
  local key = P .. 'r:' .. id
  if row then
    fill(row, PAYLOADS, call('HMGET', key, unpack(PAYLOADS)))
    row.whole = true
    return row
  end
  local names = whole and WHOLE or COLUMNS
  local values = call('HMGET', key, unpack(names))
  if not values[1] then
    rows[id] = false
    return nil
  end
  row = {id = id, dirty = {}, whole = whole}
  fill(row, names, values)
  row.wasDue = row.due
  row.wasLane = row.due and laneOf(row)
  rows[id] = row
  return row
end

local function put(row, name, value)
  row[name] = value
  row.dirty[name] = true
  if not row.isTouched then
    row.isTouched = true
    touched[#touched + 1] = row
  end
end

local function flush()
  for _, row in ipairs(touched) do
    local set, del = {}, {}
    for name in pairs(row.dirty) do
      if row[name] == nil then
        del[#del + 1] = name
      else
        set[#set + 1] = name
        set[#set + 1] = row[name]
      end
    end
    local key = P .. 'r:' .. row.id
    inParts(set, function(...) call('HSET', key, ...) end)
    if not row.isNew then inParts(del, function(...) call('HDEL', key, ...) end) end
    moveInLine(row)
  end
  flushUses()
end

local function toReply(row, withoutInput)
  local reply = {}
  for i, name in ipairs(COLUMNS) do reply[i] = row[name] or false end
  local base = #COLUMNS
  for i, name in ipairs(PAYLOADS) do reply[base + i] = payload(row[name]) end
  if withoutInput then reply[base + 1] = false end
  reply[base + #PAYLOADS + 1] = row.id
  return reply
end
local function wholeReply(row) return toReply(getRun(row.id, true)) end

local function isActive(st) return st == 'ready' or st == 'running' or st == 'waiting' or st == 'parked' end
local function isEnded(st) return st == 'completed' or st == 'failed' or st == 'cancelled' end
local function threadKey(of) return of.te and ('y' .. nested(of.te, of.th)) or ('n' .. of.th) end

local function tellThread(row)
  if row.th then hint('thread', 'thread', row.th, 'tenant', row.te or cjson.null, 'run', row.id) end
end

local function makeReady(row)
  put(row, 'st', 'ready')
  put(row, 'up', now)
  put(row, 'due', now)
  hint('due')
  tellThread(row)
end

local function activeOf(of)
  if not of.th then return nil end
  local id = call('GET', P .. 'ta:' .. threadKey(of))
  return id and getRun(id) or nil
end

local function insertRun(new, st)
  local id, order = new.id, nextOrder()
  local row = {id = id, dirty = {}, whole = true, isNew = true}
  rows[id] = row
  for _, name in ipairs({'q', 'wf', 've', 'th', 'te', 'hs', 'ab', 'pr', 'pk', 'sp', 'lm', 'in'}) do
    if new[name] ~= nil then put(row, name, new[name]) end
  end
  for _, name in ipairs({'ep', 'h', 'cp', 'ih', 'se', 'at', 'n'}) do put(row, name, 0) end
  put(row, 'or', 'start')
  put(row, 'o', order)
  put(row, 'st', st)
  put(row, 'cr', now)
  put(row, 'up', now)
  call('ZADD', P .. 'runs', order, id)
  call('ZADD', P .. 'live', order, id)
  call('HINCRBY', P .. 'backlog', row.q, 1)
  if row.te then call('ZADD', P .. 'ten:' .. row.te, order, id) end
  if row.pr then call('ZADD', P .. 'ch:' .. row.pr, order, id) end
  if row.th then
    local key = threadKey(row)
    call('ZADD', P .. 't:' .. key, order, id)
    if isActive(st) then call('SET', P .. 'ta:' .. key, id) else call('ZADD', P .. 'tq:' .. key, order, id) end
    tellThread(row)
  end
  if st == 'ready' then
    put(row, 'due', now)
    hint('due')
  end
  return row
end
`;

/** How a request tells of a new run. */
export function describeRun(run: NewRun, place: PlaceOf): Record<string, unknown> {
  return {
    id: run.id,
    wf: run.workflow,
    ve: run.version,
    q: run.queue,
    th: run.thread,
    te: run.tenant,
    in: place(run.input),
    hs: run.inputHash,
    ab: toJson(run.attributes),
    pr: run.parent?.run,
    pk: run.parent?.key,
    sp: run.supersedes,
    lm: run.limits.length === 0 ? null : toJson(run.limits),
    busy: run.whenBusy,
  };
}

type Column = (typeof WHOLE)[number];

/** Of a row as a script answers it. `input`: where the caller knows it, the script does not send it back. */
export function toRun(reply: Reply, input?: Payload): Run {
  const cell = cellsOf(reply);
  const parent = cell.textOrNull('pr');
  const parkCode = cell.textOrNull('pc');
  const suspects = cell.textOrNull('su');
  const limits = cell.textOrNull('lm');
  return {
    id: toText((reply as Reply[])[WHOLE.length] ?? null),
    workflow: cell.text('wf'),
    version: cell.text('ve'),
    queue: cell.text('q'),
    thread: cell.textOrNull('th'),
    tenant: cell.textOrNull('te'),
    input: input ?? toPayload(cell.of('in')),
    inputHash: cell.text('hs'),
    attributes: JSON.parse(cell.text('ab')) as Record<string, string>,
    parent: parent === null ? null : { run: parent, key: cell.text('pk') },
    supersedes: cell.textOrNull('sp'),
    limits: limits === null ? [] : (JSON.parse(limits) as Limit[]),
    status: cell.text('st') as RunStatus,
    dueAt: cell.numberOrNull('due'),
    epoch: cell.number('ep'),
    nonce: cell.textOrNull('no'),
    lastCommit: cell.textOrNull('lc'),
    head: cell.number('h'),
    checkpoint: cell.number('cp'),
    inboxHead: cell.number('ih'),
    seen: cell.number('se'),
    cancel: cell.of('ca') !== null,
    attempts: cell.number('at'),
    suspects: suspects === null ? null : (JSON.parse(suspects) as string[]),
    result: toPayloadOrNull(cell.of('res')),
    error: toPayloadOrNull(cell.of('err')),
    errorCode: cell.textOrNull('ec'),
    parked: parkCode === null ? null : { code: parkCode, details: toPayload(cell.of('pd')) },
    createdAt: cell.number('cr'),
    updatedAt: cell.number('up'),
    endedAt: cell.numberOrNull('en'),
  };
}

/** What the run came to its holder from. */
export function originOf(reply: Reply): Origin {
  return cellsOf(reply).text('or') as Origin;
}

interface Cells {
  of(column: Column): Reply;
  text(column: Column): string;
  textOrNull(column: Column): string | null;
  number(column: Column): number;
  numberOrNull(column: Column): number | null;
}

function cellsOf(reply: Reply): Cells {
  const values = reply as Reply[];
  const of = (column: Column): Reply => values[WHOLE.indexOf(column)] ?? null;
  return {
    of,
    text: (column) => toText(of(column)),
    textOrNull: (column) => (of(column) === null ? null : toText(of(column))),
    number: (column) => Number(of(column)),
    numberOrNull: (column) => (of(column) === null ? null : Number(of(column))),
  };
}
