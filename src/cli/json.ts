/** Runs and their values as JSON. */

import type { Run } from '../runtime/store.ts';
import { decodeValue } from '../runtime/codec.ts';
import type { Payload } from '../runtime/codec.ts';
import type { JournalEvent } from '../runtime/event.ts';

/** For programs: what JSON has no form for becomes something that it has one for. */
export function toJsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, replacer, indent);
}

function replacer(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Map || value instanceof Set) return [...value];
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') };
  if (value instanceof Error) {
    const { name, message, stack, cause } = value;
    return { ...Object.fromEntries(Object.entries(value)), name, message, stack, cause };
  }
  return value;
}

/** The row, with the field names that the HTTP API has. */
export function runToJson(run: Run): Record<string, unknown> {
  const { id, workflow, version, queue, thread, tenant, status, attributes, parent, supersedes, attempts, suspects } =
    run;
  const { cancel: cancelRequested, dueAt, createdAt, updatedAt, endedAt } = run;
  const parked = run.parked === null ? null : { code: run.parked.code, details: decoded(run.parked.details) };
  const error = run.errorCode === null ? null : { code: run.errorCode, message: errorMessage(run) };
  const row = {
    id,
    workflow,
    version,
    queue,
    thread,
    tenant,
    status,
    attributes,
    parent,
    supersedes,
    attempts,
    suspects,
  };
  return { ...row, cancelRequested, parked, error, dueAt, createdAt, updatedAt, endedAt };
}

export function eventToJson(
  event: JournalEvent,
  { seq, isFull }: { seq: number; isFull: boolean },
): Record<string, unknown> {
  const { type, key, at, attempt, dueAt, meta } = event;
  return { seq, type, key, at, attempt, dueAt, meta, ...(isFull && event.hasValue ? { value: event.value } : {}) };
}

export function decoded(payload: Payload | null): unknown {
  return payload === null ? null : (decodeValue(payload) ?? null);
}

/** What a failed run says of itself; null where it says nothing. */
export function errorMessage({ error }: Run): string | null {
  const value = decoded(error);
  if (value instanceof Error) return value.message;
  return typeof value === 'string' ? value : null;
}
