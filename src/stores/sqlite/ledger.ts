/** The ledger: a row for each attempt at a model turn. Rows outlive their runs. */

import type { LedgerQuery, LedgerRow, LedgerScope, LedgerTotals, Page } from '../../runtime/store.ts';
import { pageSize } from '../rules.ts';
import { prepareLedgerTotals } from './ledger-totals.ts';
import { isTenant, toPage, where } from './paging.ts';
import { toLedgerRow } from './rows.ts';
import type { OpenFile } from './open-file.ts';

export interface Ledger {
  /** Does nothing if there is a row of that id. */
  add(row: LedgerRow): void;
  list(query: LedgerQuery): Page<LedgerRow>;
  totals(scopes: readonly LedgerScope[]): LedgerTotals[];
}

const ROWS_PER_PAGE = { normal: 500, most: 5000 };

export function prepareLedger(file: OpenFile): Ledger {
  const { db } = file;
  const insert = db.prepare(
    `INSERT INTO ledger (id, run, thread, tenant, turn, attempt, provider, model, outcome, input_tokens, output_tokens, tool_calls, nano_usd, details, at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
  );
  const totals = prepareLedgerTotals(file);
  return {
    add(row) {
      const { changes } = insert.run(
        row.id,
        row.run,
        row.thread,
        row.tenant,
        row.key,
        row.attempt,
        row.provider,
        row.model,
        row.outcome,
        row.inputTokens,
        row.outputTokens,
        row.toolCalls,
        row.nanoUsd,
        row.details,
        row.at,
      );
      if (changes > 0) totals.count(row);
    },
    list(query) {
      const size = pageSize(query.limit, ROWS_PER_PAGE);
      const filter = where([
        ['run = ?', query.run],
        ['thread = ?', query.thread],
        isTenant('tenant', query.tenant),
        ['key > ?', query.cursor === undefined ? undefined : Number(query.cursor)],
      ]);
      const rows = db
        .prepare(`SELECT * FROM ledger ${filter.sql} ORDER BY key LIMIT ?`)
        .all(...filter.values, size + 1);
      return toPage(rows, { size, toItem: toLedgerRow });
    },
    totals: (scopes) => scopes.map(totals.of),
  };
}
