/** The ledger as it leaves the runtime: the same fields as JSON and as a table, for bills. */

import type { LedgerQuery } from '../runtime/store.ts';
import type { Runtime } from './create-runtime.ts';
import type { LedgerEntry } from './run-info.ts';

/** What a row is billed by. Its id is the same for ever: whoever reads rows again knows them by it. */
export type LedgerRecord = Omit<LedgerEntry, 'details' | 'key'> & {
  /** The turn's key in its run. */
  turn: string;
};

export const LEDGER_FIELDS: ReadonlyArray<keyof LedgerRecord> = [
  'id',
  'at',
  'run',
  'thread',
  'tenant',
  'turn',
  'attempt',
  'provider',
  'model',
  'outcome',
  'inputTokens',
  'outputTokens',
  'toolCalls',
  'nanoUsd',
];

export function toLedgerRecord(entry: LedgerEntry): LedgerRecord {
  const { id, at, run, thread, tenant, key: turn, attempt, provider, model } = entry;
  const { outcome, inputTokens, outputTokens, toolCalls, nanoUsd } = entry;
  return {
    id,
    at,
    run,
    thread,
    tenant,
    turn,
    attempt,
    provider,
    model,
    outcome,
    inputTokens,
    outputTokens,
    toolCalls,
    nanoUsd,
  };
}

/** All rows, oldest first, a page at a time. Those that are added meanwhile come too. */
export async function* ledgerRecords(
  runtime: Pick<Runtime, 'ledger'>,
  query: LedgerQuery,
): AsyncGenerator<LedgerRecord[]> {
  for (let { cursor } = query; ;) {
    const page = await runtime.ledger({ ...query, ...(cursor === undefined ? {} : { cursor }) });
    yield page.items.map(toLedgerRecord);
    if (page.cursor === null) return;
    ({ cursor } = page);
  }
}

/** RFC 4180; the first line has the names of the fields. */
export function csvLine(values: ReadonlyArray<string | number | null>): string {
  return `${values.map((value) => quoted(value === null ? '' : String(value))).join(',')}\r\n`;
}

/** A spreadsheet takes what begins so for a formula. */
const FORMULA = /^[=+\-@\t\r]/;

function quoted(text: string): string {
  const plain = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}
