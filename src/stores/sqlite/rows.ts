/** Rows as SQLite answers them, and what they mean. */

import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import type {
  EndStatus,
  Hook,
  LedgerRow,
  LedgerTotals,
  Limit,
  Message,
  MessageKind,
  Payload,
  Responder,
  Run,
  RunStatus,
} from '../../runtime/store.ts';
import type { Origin } from '../rules.ts';

export type Row = Record<string, SQLOutputValue>;

/** What transitions need to know of a run: no payload. */
export interface BriefRow {
  key: number;
  id: string;
  status: RunStatus;
  origin: Origin;
  attempts: number;
  seen: number;
  inbox_head: number;
  thread: string | null;
  tenant: string | null;
  workflow: string;
  queue: string;
  input_hash: string;
  parent_run: string | null;
  parent_key: string | null;
  /** JSON; null if there are none. */
  limits: string | null;
  lane: number;
}

export const BRIEF_COLUMNS =
  'key, id, status, origin, attempts, seen, inbox_head, thread, tenant, workflow, queue, input_hash, parent_run, parent_key, limits, lane';

export function allRows<T>(statement: StatementSync, ...values: Array<string | number | null>): T[] {
  return statement.all(...values) as T[];
}

/**
 * One row by its columns, for what every commit reads (bench `writers`): Node makes a list of values in a third of the time that a record
 * takes it. Releases of Node that cannot make lists answer the same.
 */
export function prepareRow<T extends object>(
  db: DatabaseSync,
  { columns, where }: { columns: ReadonlyArray<keyof T & string>; where: string },
): (...values: SQLInputValue[]) => T | undefined {
  const statement = db.prepare(`SELECT ${columns.join(', ')} ${where}`);
  const { setReturnArrays }: Partial<StatementSync> = statement;
  if (setReturnArrays === undefined) return (...values) => statement.get(...values) as T | undefined;
  statement.setReturnArrays(true);
  return (...values) => {
    const list = statement.get(...values) as unknown as SQLOutputValue[] | undefined;
    if (list === undefined) return undefined;
    const row: Row = {};
    for (let index = 0; index < columns.length; index += 1)
      row[columns[index] as string] = list[index] as SQLOutputValue;
    return row as T;
  };
}

/** Columns of `runs` joined with `payloads`, in no order. */
export function toRun(row: Row): Run {
  return {
    id: text(row['id']),
    workflow: text(row['workflow']),
    version: text(row['version']),
    queue: text(row['queue']),
    thread: textOrNull(row['thread']),
    tenant: textOrNull(row['tenant']),
    input: toPayload(row['input']),
    inputHash: text(row['input_hash']),
    attributes: JSON.parse(text(row['attributes'])) as Record<string, string>,
    parent: row['parent_run'] === null ? null : { run: text(row['parent_run']), key: text(row['parent_key']) },
    supersedes: textOrNull(row['supersedes']),
    limits: row['limits'] === null ? [] : (JSON.parse(text(row['limits'])) as Limit[]),
    status: text(row['status']) as RunStatus,
    dueAt: numberOrNull(row['due_at']),
    epoch: Number(row['epoch']),
    nonce: textOrNull(row['nonce']),
    lastCommit: textOrNull(row['last_commit']),
    head: Number(row['head']),
    checkpoint: Number(row['checkpoint']),
    inboxHead: Number(row['inbox_head']),
    seen: Number(row['seen']),
    cancel: row['cancel'] === 1,
    attempts: Number(row['attempts']),
    suspects: row['suspects'] === null ? null : (JSON.parse(text(row['suspects'])) as string[]),
    result: payloadOrNull(row['result']),
    error: payloadOrNull(row['error']),
    errorCode: textOrNull(row['error_code']),
    parked:
      row['park_code'] === null ? null : { code: text(row['park_code']), details: toPayload(row['park_details']) },
    createdAt: Number(row['created_at']),
    updatedAt: Number(row['updated_at']),
    endedAt: numberOrNull(row['ended_at']),
  };
}

export function toMessage(row: Row): Message {
  return {
    seq: Number(row['seq']),
    id: text(row['id']),
    kind: text(row['kind']) as MessageKind,
    key: textOrNull(row['target']),
    payload: toPayload(row['payload']),
    status: textOrNull(row['status']) as EndStatus | null,
    inputHash: textOrNull(row['input_hash']),
    by: textOrNull(row['sender']),
    at: Number(row['at']),
  };
}

/** An answer to an approval, with the id of its delivery. */
export interface Answer extends Responder {
  id: string;
}

export function toAnswers(row: Row): Answer[] {
  return JSON.parse(text(row['answers'])) as Answer[];
}

export function toHook(row: Row, notes: Payload[]): Hook {
  return {
    tokenHash: text(row['token_hash']),
    key: text(row['target']),
    kind: text(row['kind']) as Hook['kind'],
    once: row['once'] === 1,
    needed: Number(row['needed']),
    tool: textOrNull(row['tool']),
    details: toPayload(row['details']),
    run: text(row['run_id']),
    workflow: text(row['workflow']),
    thread: textOrNull(row['thread']),
    tenant: textOrNull(row['tenant']),
    status: text(row['status']) as Hook['status'],
    responders: toAnswers(row).map(({ by, approved, at }) => ({ by, approved, at })),
    notes,
    createdAt: Number(row['created_at']),
    resolvedAt: numberOrNull(row['resolved_at']),
  };
}

export function toLedgerRow(row: Row): LedgerRow {
  return {
    id: text(row['id']),
    run: text(row['run']),
    thread: textOrNull(row['thread']),
    tenant: textOrNull(row['tenant']),
    key: text(row['turn']),
    attempt: Number(row['attempt']),
    provider: text(row['provider']),
    model: text(row['model']),
    outcome: text(row['outcome']) as LedgerRow['outcome'],
    inputTokens: numberOrNull(row['input_tokens']),
    outputTokens: numberOrNull(row['output_tokens']),
    toolCalls: Number(row['tool_calls']),
    nanoUsd: numberOrNull(row['nano_usd']),
    details: payloadOrNull(row['details']),
    at: Number(row['at']),
  };
}

/** Of the sums that a statement names as the columns of `ledger_totals`. */
export function toLedgerTotals(row: Row): LedgerTotals {
  return {
    attempts: Number(row['attempts']),
    turns: Number(row['turns']),
    toolCalls: Number(row['tool_calls']),
    inputTokens: Number(row['input_tokens']),
    outputTokens: Number(row['output_tokens']),
    nanoUsd: Number(row['nano_usd']),
    unpriced: Number(row['unpriced']),
  };
}

/** Chunks as releases before packing wrote them: each as its length (32 bits, little endian) and its bytes. */
export function unpackFlat(
  bytes: Payload,
  { from, take = () => true }: { from: number; take?: (bytes: number) => boolean },
): Payload[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: Payload[] = [];
  for (let at = 0, index = 0; at < bytes.length; index += 1) {
    const length = view.getUint32(at, true);
    if (index >= from) {
      if (!take(length)) break;
      chunks.push(bytes.subarray(at + 4, at + 4 + length));
    }
    at += 4 + length;
  }
  return chunks;
}

export function toPayload(value: SQLOutputValue | undefined): Payload {
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}

function payloadOrNull(value: SQLOutputValue | undefined): Payload | null {
  return value instanceof Uint8Array ? value : null;
}

function text(value: SQLOutputValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

function textOrNull(value: SQLOutputValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOrNull(value: SQLOutputValue | undefined): number | null {
  return typeof value === 'number' ? value : null;
}
