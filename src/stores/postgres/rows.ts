/** Rows as Postgres answers them in JSON, and what they mean. */

import type {
  EndStatus,
  Hint,
  Hook,
  LedgerRow,
  Limit,
  Message,
  MessageKind,
  Payload,
  Responder,
  Run,
  RunStatus,
} from '../../runtime/store.ts';

export type JsonRow = Record<string, unknown>;

const NOTHING: Payload = new Uint8Array(0);

/** Bytes as Postgres writes them in text: `\x` and hex digits. */
export function toBytes(value: unknown): Payload | null {
  if (typeof value !== 'string') return null;
  const bytes = Buffer.from(value.slice(2), 'hex');
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A row of the view of whole runs. */
export function toRun(row: JsonRow): Run {
  return {
    id: row['id'] as string,
    workflow: row['workflow'] as string,
    version: row['version'] as string,
    queue: row['queue'] as string,
    thread: row['thread'] as string | null,
    tenant: row['tenant'] as string | null,
    input: toBytes(row['input']) ?? NOTHING,
    inputHash: row['input_hash'] as string,
    attributes: row['attributes'] as Record<string, string>,
    parent: row['parent_run'] === null ? null : { run: row['parent_run'] as string, key: row['parent_key'] as string },
    supersedes: row['supersedes'] as string | null,
    limits: (row['limits'] ?? []) as Limit[],
    status: row['status'] as RunStatus,
    dueAt: row['due_at'] as number | null,
    epoch: row['epoch'] as number,
    nonce: row['nonce'] as string | null,
    lastCommit: row['last_commit'] as string | null,
    head: row['head'] as number,
    checkpoint: row['checkpoint'] as number,
    inboxHead: row['inbox_head'] as number,
    seen: row['seen'] as number,
    cancel: row['cancel'] as boolean,
    attempts: row['attempts'] as number,
    suspects: row['suspects'] as string[] | null,
    result: toBytes(row['result']),
    error: toBytes(row['error']),
    errorCode: row['error_code'] as string | null,
    parked:
      row['park_code'] === null
        ? null
        : { code: row['park_code'] as string, details: toBytes(row['park_details']) ?? NOTHING },
    createdAt: row['created_at'] as number,
    updatedAt: row['updated_at'] as number,
    endedAt: row['ended_at'] as number | null,
  };
}

export function toMessage(row: JsonRow): Message {
  return {
    seq: row['seq'] as number,
    id: row['id'] as string,
    kind: row['kind'] as MessageKind,
    key: row['target'] as string | null,
    payload: toBytes(row['payload']) ?? NOTHING,
    status: row['status'] as EndStatus | null,
    inputHash: row['input_hash'] as string | null,
    by: row['sender'] as string | null,
    at: row['at'] as number,
  };
}

/** A row of the view of whole hooks. */
export function toHook(row: JsonRow): Hook {
  return {
    tokenHash: row['token_hash'] as string,
    key: row['target'] as string,
    kind: row['kind'] as Hook['kind'],
    once: row['once'] as boolean,
    needed: row['needed'] as number,
    tool: row['tool'] as string | null,
    details: toBytes(row['details']) ?? NOTHING,
    run: row['run_id'] as string,
    workflow: row['workflow'] as string,
    thread: row['thread'] as string | null,
    tenant: row['tenant'] as string | null,
    status: row['status'] as Hook['status'],
    responders: (row['answers'] as Responder[]).map(({ by, approved, at }) => ({ by, approved, at })),
    notes: (row['notes'] as string[]).map((note) => toBytes(note) ?? NOTHING),
    createdAt: row['created_at'] as number,
    resolvedAt: row['resolved_at'] as number | null,
  };
}

export function toLedgerRow(row: JsonRow): LedgerRow {
  return {
    id: row['id'] as string,
    run: row['run'] as string,
    thread: row['thread'] as string | null,
    tenant: row['tenant'] as string | null,
    key: row['turn'] as string,
    attempt: row['attempt'] as number,
    provider: row['provider'] as string,
    model: row['model'] as string,
    outcome: row['outcome'] as LedgerRow['outcome'],
    inputTokens: row['input_tokens'] as number | null,
    outputTokens: row['output_tokens'] as number | null,
    toolCalls: row['tool_calls'] as number,
    nanoUsd: row['nano_usd'] as number | null,
    details: toBytes(row['details']),
    at: row['at'] as number,
  };
}

/** A hint as the functions of the database make them; undefined for one that is not known here. */
export function toHint(row: JsonRow): Hint | undefined {
  const run = row['run'] as string;
  switch (row['kind'] as Hint['kind']) {
    case 'run':
      return { kind: 'run', run };
    case 'thread':
      return { kind: 'thread', thread: row['thread'] as string, tenant: row['tenant'] as string | null, run };
    case 'stream':
      return { kind: 'stream', run, stream: row['stream'] as string };
    case 'due':
      return { kind: 'due' };
    case 'any':
      return { kind: 'any' };
    default:
      return undefined;
  }
}

export function toHints(rows: JsonRow[]): Hint[] {
  return rows.flatMap((row) => toHint(row) ?? []);
}
