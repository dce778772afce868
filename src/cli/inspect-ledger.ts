/** `everturn inspect ledger` */

import type { Runtime } from '../app/create-runtime.ts';
import { csvLine, LEDGER_FIELDS, ledgerRecords, toLedgerRecord } from '../app/ledger-export.ts';
import type { LedgerRecord } from '../app/ledger-export.ts';
import type { LedgerQuery, LedgerScope, LedgerTotals } from '../runtime/store.ts';
import { toJsonText } from './json.ts';
import { nextPage } from './next-page.ts';
import { relativeText } from './relative-time.ts';
import type { Layout, Report, Terminal } from './report.ts';
import { tableLines } from './table.ts';
import type { Column } from './table.ts';

const COLUMNS: readonly Column[] = [
  { title: 'WHEN', isWhole: true },
  { title: 'RUN', isWhole: true },
  { title: 'TURN' },
  { title: 'MODEL' },
  { title: 'OUTCOME' },
  { title: 'IN', align: 'right' },
  { title: 'OUT', align: 'right' },
  { title: 'TOOLS', align: 'right' },
  { title: 'USD', align: 'right' },
];

export async function inspectLedger(runtime: Runtime, query: LedgerQuery): Promise<Report> {
  const { items, cursor } = await runtime.ledger({ limit: 50, ...query });
  const records = items.map(toLedgerRecord);
  const scope = scopeOf(query);
  const totals = scope === undefined ? null : await runtime.ledgerTotals(scope);
  return {
    json: { items: records, cursor, totals },
    lines: (layout) =>
      records.length === 0
        ? ['No rows.']
        : [
            ...tableLines(
              COLUMNS,
              records.map((record) => cellsOf(record, layout)),
              layout,
            ),
            ...(totals === null ? [] : ['', totalLine(totals)]),
            ...nextPage(cursor, { command: 'inspect ledger', layout }),
          ],
  };
}

/** All rows, as lines for programs. */
export async function exportLedger(
  runtime: Runtime,
  query: LedgerQuery,
  { terminal, as }: { terminal: Terminal; as: 'csv' | 'ndjson' },
): Promise<void> {
  if (as === 'csv') terminal.out(csvLine(LEDGER_FIELDS));
  const line = (record: LedgerRecord): string =>
    as === 'csv' ? csvLine(LEDGER_FIELDS.map((name) => record[name])) : `${toJsonText(record)}\n`;
  for await (const page of ledgerRecords(runtime, query)) terminal.out(page.map(line).join(''));
}

/** What the filters name is summed, where that is one thing. */
function scopeOf({ run, thread, tenant }: LedgerQuery): LedgerScope | undefined {
  if (run !== undefined) return { run };
  if (thread !== undefined) return tenant === undefined ? undefined : { thread, tenant };
  return typeof tenant === 'string' ? { tenant } : undefined;
}

function cellsOf(record: LedgerRecord, { now }: Layout): string[] {
  const { at, run, turn, attempt, model, outcome, inputTokens, outputTokens, toolCalls, nanoUsd } = record;
  return [
    relativeText(at, now),
    run,
    attempt === 1 ? turn : `${turn} (${attempt})`,
    model,
    outcome,
    numberCell(inputTokens),
    numberCell(outputTokens),
    toolCalls === 0 ? '' : String(toolCalls),
    nanoUsd === null ? '' : usdText(nanoUsd),
  ];
}

function numberCell(value: number | null): string {
  return value === null ? '?' : String(value);
}

function totalLine({ attempts, turns, toolCalls, inputTokens, outputTokens, nanoUsd, unpriced }: LedgerTotals): string {
  const open = unpriced === 0 ? '' : ` (${unpriced} without a price)`;
  return `In all: ${turns} turns in ${attempts} attempts, ${inputTokens} tokens in, ${outputTokens} out, ${toolCalls} tool calls, $${usdText(nanoUsd)}${open}.`;
}

/** Exact: nine places, without the last zeros beyond six. */
function usdText(nanoUsd: number): string {
  const digits = String(nanoUsd).padStart(10, '0');
  return `${digits.slice(0, -9)}.${digits.slice(-9).replace(/0{1,3}$/, '')}`;
}
