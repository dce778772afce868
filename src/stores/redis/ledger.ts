/** The ledger: a row for each attempt at a model turn, and their sums as counters (S40, S41). Rows outlive their runs. */

import type { LedgerQuery, LedgerRow, LedgerScope, LedgerTotals, Page } from '../../runtime/store.ts';
import { NO_TOTALS, rowTotals, scopeKey, scopeKeysOf } from '../ledger-totals.ts';
import { pageSize } from '../rules.ts';
import { PAGES, readPage } from './paging.ts';
import type { Ask } from './paging.ts';
import { toPayloadOrNull, toText } from './payloads.ts';
import { toJson, toRequest, toScript } from './script.ts';
import type { PlaceOf, Reply, Request, Script } from './script.ts';

const ROWS_PER_PAGE = { normal: 500, most: 5000 };
const TOTALS = Object.keys(NO_TOTALS) as Array<keyof LedgerTotals>;

/** The sums of a scope are one field: each command of a script is billed where commands are. */
export const LEDGER = `
local function addTotals(entry)
  local known = call('HMGET', P .. 'totals', unpack(entry.scopes))
  local set = {}
  for i, scope in ipairs(entry.scopes) do
    local sums = {}
    for sum in string.gmatch(known[i] or '', '[^,]+') do sums[#sums + 1] = tonumber(sum) end
    for j, more in ipairs(entry.totals) do sums[j] = string.format('%.0f', (sums[j] or 0) + more) end
    set[#set + 1] = scope
    set[#set + 1] = table.concat(sums, ',')
  end
  call('HSET', P .. 'totals', unpack(set))
end

local function addToLedger(entry)
  local key = P .. 'l:' .. entry.id
  if call('HSETNX', key, 'row', entry.row) == 0 then return end
  if entry.details then call('HSET', key, 'details', ARGV[entry.details]) end
  local order = nextOrder()
  for _, index in ipairs(entry.indexes) do call('ZADD', P .. index, order, entry.id) end
  addTotals(entry)
end
`;

const LIST_SOURCE = `
local function matches(id)
  if not req.filter then return true end
  local row = cjson.decode(call('HGET', P .. 'l:' .. id, 'row'))
  local function isAsked(asked, value) return asked == nil or asked == value end
  local tenant = row.tenant
  if tenant == cjson.null then tenant = nil end
  local isTenant = req.tenant == nil or tenant == req.tenant
  if req.untenanted then isTenant = tenant == nil end
  return isTenant and isAsked(req.run, row.run) and isAsked(req.thread, row.thread)
end
local function toItem(id)
  local row = call('HMGET', P .. 'l:' .. id, 'row', 'details')
  return {row[1], payload(row[2])}
end
return finish(pageOf(req.source, matches, toItem))
`;

const TOTALS_SOURCE = `return finish(call('HMGET', P .. 'totals', unpack(req.scopes)))`;

export const LIST_LEDGER: Script = toScript('ledger', [PAGES, LIST_SOURCE]);
export const LEDGER_TOTALS: Script = toScript('ledgerTotals', [TOTALS_SOURCE]);

export function describeLedgerRow(row: LedgerRow, place: PlaceOf): unknown {
  const { details, ...columns } = row;
  const totals = rowTotals(row);
  return {
    id: row.id,
    row: toJson(columns),
    details: details === null ? null : place(details),
    indexes: indexesOf(row),
    scopes: [scopeKey({ run: row.run }), ...scopeKeysOf(row)],
    totals: TOTALS.map((name) => totals[name]),
  };
}

function indexesOf({ run, thread, tenant }: LedgerRow): string[] {
  const indexes = ['ledger', `lr:${run}`];
  if (thread !== null) indexes.push(`lt:${thread}`);
  if (tenant !== null) indexes.push(`lten:${tenant}`);
  return indexes;
}

export function listLedger(ask: Ask, query: LedgerQuery): Promise<Page<LedgerRow>> {
  const { limit, cursor, tenant, run, thread } = query;
  const asked = [run, thread, tenant].filter((value) => value !== undefined).length;
  const source = sourceOf(query);
  return readPage(ask, {
    script: LIST_LEDGER,
    request: {
      run,
      thread,
      tenant,
      source,
      untenanted: tenant === null,
      oldest: true,
      filter: asked > (source === 'ledger' ? 0 : 1),
    },
    cursor,
    size: pageSize(limit, ROWS_PER_PAGE),
    toItem: toLedgerRow,
  });
}

/** The index that is likely to be the shortest. */
function sourceOf({ run, thread, tenant }: LedgerQuery): string {
  if (run !== undefined) return `lr:${run}`;
  if (thread !== undefined) return `lt:${thread}`;
  return tenant === undefined || tenant === null ? 'ledger' : `lten:${tenant}`;
}

function toLedgerRow(reply: Reply): LedgerRow {
  const [row = null, details = null] = reply as Reply[];
  return { ...(JSON.parse(toText(row)) as Omit<LedgerRow, 'details'>), details: toPayloadOrNull(details) };
}

export function describeTotals(scopes: readonly LedgerScope[]): Request {
  return toRequest(() => ({ scopes: scopes.map(scopeKey) }));
}

export function toLedgerTotals(reply: Reply): LedgerTotals[] {
  return (reply as Reply[]).map((sums) => {
    const values = sums === null ? [] : toText(sums).split(',');
    return Object.fromEntries(
      TOTALS.map((name, index) => [name, Number(values[index] ?? 0)]),
    ) as unknown as LedgerTotals;
  });
}
