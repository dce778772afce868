/**
 * Sums of the ledger. Those of threads and tenants are counters, which a row moves in its own transaction (S40, S41); those of a run are
 * taken over its rows.
 */

import type { LedgerRow, LedgerScope, LedgerTotals } from '../../runtime/store.ts';
import { NO_TOTALS, rowTotals, scopeKey, scopeKeysOf } from '../ledger-totals.ts';
import type { OpenFile } from './open-file.ts';
import { toLedgerTotals } from './rows.ts';

interface PreparedTotals {
  /** For a row that is new. */
  count(row: LedgerRow): void;
  of(scope: LedgerScope): LedgerTotals;
}

export function prepareLedgerTotals({ db }: OpenFile): PreparedTotals {
  const add = db.prepare(
    `INSERT INTO ledger_totals (scope, attempts, turns, tool_calls, input_tokens, output_tokens, nano_usd, unpriced)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope) DO UPDATE SET
       attempts = attempts + excluded.attempts, turns = turns + excluded.turns,
       tool_calls = tool_calls + excluded.tool_calls, input_tokens = input_tokens + excluded.input_tokens,
       output_tokens = output_tokens + excluded.output_tokens, nano_usd = nano_usd + excluded.nano_usd,
       unpriced = unpriced + excluded.unpriced`,
  );
  const counted = db.prepare('SELECT * FROM ledger_totals WHERE scope = ?');
  const sumOfRun = db.prepare(
    `SELECT count(*) AS attempts, ifnull(sum(outcome = 'completed'), 0) AS turns, ifnull(sum(tool_calls), 0) AS tool_calls,
       ifnull(sum(input_tokens), 0) AS input_tokens, ifnull(sum(output_tokens), 0) AS output_tokens,
       ifnull(sum(nano_usd), 0) AS nano_usd, ifnull(sum(nano_usd IS NULL), 0) AS unpriced
     FROM ledger WHERE run = ?`,
  );
  return {
    count(row) {
      const { attempts, turns, toolCalls, inputTokens, outputTokens, nanoUsd, unpriced } = rowTotals(row);
      for (const key of scopeKeysOf(row))
        add.run(key, attempts, turns, toolCalls, inputTokens, outputTokens, nanoUsd, unpriced);
    },
    of(scope) {
      const row = 'run' in scope ? sumOfRun.get(scope.run) : counted.get(scopeKey(scope));
      return row === undefined ? { ...NO_TOTALS } : toLedgerTotals(row);
    },
  };
}
