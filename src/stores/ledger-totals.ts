/** Sums of the ledger as counters: under which keys a row counts, and what it adds. Pure. */

import type { LedgerRow, LedgerScope, LedgerTotals } from '../runtime/store.ts';

export const NO_TOTALS: Readonly<LedgerTotals> = {
  attempts: 0,
  turns: 0,
  toolCalls: 0,
  inputTokens: 0,
  outputTokens: 0,
  nanoUsd: 0,
  unpriced: 0,
};

/** The same for equal scopes, and for no others. */
export function scopeKey(scope: LedgerScope): string {
  if ('run' in scope) return JSON.stringify(['run', scope.run]);
  if ('thread' in scope) return JSON.stringify(['thread', scope.tenant, scope.thread]);
  return JSON.stringify(['tenant', scope.tenant, ...(scope.period === undefined ? [] : [scope.period])]);
}

/** Of the thread's and the tenant's scopes that a row counts in: at most four. */
export function scopeKeysOf({ thread, tenant, at }: LedgerRow): string[] {
  const scopes: LedgerScope[] = [];
  if (thread !== null) scopes.push({ thread, tenant });
  if (tenant !== null) scopes.push({ tenant }, ...periodsOf(at).map((period) => ({ tenant, period })));
  return scopes.map(scopeKey);
}

/** The month and the day, in UTC. */
function periodsOf(at: number): [string, string] {
  const date = new Date(at).toISOString();
  return [date.slice(0, 7), date.slice(0, 10)];
}

/** S40: what a row does not know counts as nothing. */
export function rowTotals(row: LedgerRow): LedgerTotals {
  return {
    attempts: 1,
    turns: row.outcome === 'completed' ? 1 : 0,
    toolCalls: row.toolCalls,
    inputTokens: row.inputTokens ?? 0,
    outputTokens: row.outputTokens ?? 0,
    nanoUsd: row.nanoUsd ?? 0,
    unpriced: row.nanoUsd === null ? 1 : 0,
  };
}

export function addToTotals(sum: Readonly<LedgerTotals>, row: LedgerRow): LedgerTotals {
  const more = rowTotals(row);
  return {
    attempts: sum.attempts + more.attempts,
    turns: sum.turns + more.turns,
    toolCalls: sum.toolCalls + more.toolCalls,
    inputTokens: sum.inputTokens + more.inputTokens,
    outputTokens: sum.outputTokens + more.outputTokens,
    nanoUsd: sum.nanoUsd + more.nanoUsd,
    unpriced: sum.unpriced + more.unpriced,
  };
}
