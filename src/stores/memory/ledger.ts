/** The ledger: a row for each attempt at a model turn, and their sums. Rows outlive their runs. */

import type { LedgerQuery, LedgerRow, LedgerScope, LedgerTotals, Page } from '../../runtime/store.ts';
import { addToTotals, NO_TOTALS, scopeKey, scopeKeysOf } from '../ledger-totals.ts';
import { pageSize } from '../rules.ts';
import { isSameIfAsked, toPage } from './read.ts';
import { nextOrder } from './state.ts';
import type { MemoryState } from './state.ts';

const ROWS_PER_PAGE = { normal: 500, most: 5000 };

/** S15, S40 */
export function addLedgerRow(state: MemoryState, row: LedgerRow): void {
  if (state.ledger.has(row.id)) return;
  state.ledger.set(row.id, { row: { ...row }, order: nextOrder(state) });
  for (const key of [scopeKey({ run: row.run }), ...scopeKeysOf(row)])
    state.ledgerTotals.set(key, addToTotals(state.ledgerTotals.get(key) ?? NO_TOTALS, row));
}

export function ledger(state: MemoryState, query: LedgerQuery): Page<LedgerRow> {
  const after = query.cursor === undefined ? 0 : Number(query.cursor);
  const found = [...state.ledger.values()].filter(
    ({ row, order }) =>
      order > after &&
      isSameIfAsked(query.run, row.run) &&
      isSameIfAsked(query.thread, row.thread) &&
      isSameIfAsked(query.tenant, row.tenant),
  );
  return toPage(found, { size: pageSize(query.limit, ROWS_PER_PAGE), item: ({ row }) => ({ ...row }) });
}

/** S40, S41 */
export function ledgerTotals(state: MemoryState, scopes: readonly LedgerScope[]): LedgerTotals[] {
  return scopes.map((scope) => ({ ...(state.ledgerTotals.get(scopeKey(scope)) ?? NO_TOTALS) }));
}
