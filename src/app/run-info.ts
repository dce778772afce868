/**
 * Rows as they are read from outside: values in place of bytes, without nonces, tokens and hashes.
 *
 *  I1 A value that cannot be read stands as the `value_corrupt` error that says why: one damaged row hides no other.
 *  I2 Values are decoded on first use. A page of runs is read for their statuses more often than for their results.
 */

import { decodeValue } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import type { JournalEvent } from '../runtime/event.ts';
import { isReference } from '../runtime/reference.ts';
import type { LedgerRow, Limit, Payload, Run, RunStatus } from '../runtime/store.ts';

/** A run as it stood when it was read. Times are milliseconds since the epoch, on the store's clock. */
export interface RunInfo {
  id: string;
  /** The name under which its workflow or agent is registered. */
  workflow: string;
  /** Version of the code that started it. */
  version: string;
  /** Which workers take it: those of `workflow@version`, or of any version (`workflow@*`). */
  queue: string;
  thread: string | null;
  tenant: string | null;
  status: RunStatus;
  attributes: Record<string, string>;
  /** The run that started it as a child, and the key of the call there. */
  parent: { run: string; key: string } | null;
  /** The run that this one replaces in its thread's history. */
  supersedes: string | null;
  /** What it shares with others. */
  limits: readonly Limit[];
  /** Of a run that is due: the first of the keys of its limits that had no room when it was read. */
  blockedBy: string | null;
  /** Of a run that has been due for 5 s and is not blocked: its `queue`, from which no worker takes it. None executes it, or all are busy. */
  waitsForWorker: string | null;
  /** Claims since it last recorded something. */
  attempts: number;
  /** What was executing when processes died of it; null unless that has happened repeatedly. */
  suspects: string[] | null;
  /** It was asked to stop. */
  cancelRequested: boolean;
  /** Number of events in its journal. */
  head: number;
  /** How often it was claimed. */
  epoch: number;
  /** When it falls due: since when it is ready, until when its worker has it, or when it wakes. Null: not by itself. */
  dueAt: number | null;
  createdAt: number;
  updatedAt: number;
  endedAt: number | null;
  /**
   * What it was started with. If it cannot be read, the `value_corrupt` error that says why, and in a list of runs the `value_not_loaded` error if
   * it is large; this goes for all values.
   */
  readonly input: unknown;
  /** What it answered; undefined unless it is completed. Agents may leave one when they fail or are cancelled too. */
  readonly result: unknown;
  /** Why it failed or was cancelled; else null. */
  readonly error: RunError | null;
  /** Why it is parked, and what is known of it; else null. */
  readonly parked: { code: string; details: unknown } | null;
}

export interface RunError {
  /** An `ErrorCode`. `run_failed` stands for what is none of everturn's. */
  code: string;
  message: string | null;
  /** What the code of the run threw, as it was recorded: with its stack, so not for strangers. */
  cause: unknown;
}

/** One attempt of a model turn, failed and aborted ones included. */
export interface LedgerEntry extends Omit<LedgerRow, 'details'> {
  /** The provider's whole usage record and the like; null if there is none, the `value_corrupt` error if it cannot be read. */
  readonly details: unknown;
}

export function toRunInfo(row: Run): RunInfo {
  const { input, result, parked } = row;
  return lazily<RunInfo, 'input' | 'result' | 'error' | 'parked'>(publicColumns(row), {
    input: () => decoded(input),
    result: () => decoded(result),
    error: () => errorOf(row),
    parked: () => (parked === null ? null : { code: parked.code, details: decoded(parked.details) }),
  });
}

export function toLedgerEntry({ details, ...columns }: LedgerRow): LedgerEntry {
  return lazily<LedgerEntry, 'details'>(columns, { details: () => (details === null ? null : decoded(details)) });
}

/** I1 */
export function readEventValue(event: JournalEvent): unknown {
  return readable(() => event.value);
}

/** I1 */
export function isUnreadable(value: unknown): value is DurableError {
  return DurableError.is(value, 'value_corrupt');
}

function publicColumns(row: Run): Omit<RunInfo, 'input' | 'result' | 'error' | 'parked'> {
  const { id, workflow, version, queue, thread, tenant, status, attributes, parent, supersedes, limits } = row;
  const { attempts, suspects, cancel: cancelRequested, head, epoch, dueAt, createdAt, updatedAt, endedAt } = row;
  return {
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
    limits,
    blockedBy: null,
    waitsForWorker: null,
    attempts,
    suspects,
    cancelRequested,
    head,
    epoch,
    dueAt,
    createdAt,
    updatedAt,
    endedAt,
  };
}

function errorOf({ error, errorCode }: Run): RunError | null {
  if (error === null && errorCode === null) return null;
  const cause = decoded(error);
  const message = cause instanceof Error ? cause.message : typeof cause === 'string' ? cause : null;
  return { code: errorCode ?? 'run_failed', message, cause };
}

function decoded(payload: Payload | null): unknown {
  if (payload === null) return undefined;
  return isReference(payload) ? notLoaded() : readable(() => decodeValue(payload));
}

function notLoaded(): DurableError {
  return new DurableError(
    'value_not_loaded',
    'This value is large and is not loaded with a list of runs: read it by getRun(id).info().',
  );
}

function readable(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (isUnreadable(error)) return error;
    throw error;
  }
}

const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/** I2: an object with properties that are made on first use. */
function lazily<T extends object, K extends keyof T>(known: Omit<T, K>, makers: { [key in K]: () => T[key] }): T {
  const made = new Map<K, unknown>();
  for (const key of Object.keys(makers) as K[]) {
    const get = (): unknown => {
      if (!made.has(key)) made.set(key, makers[key]());
      return made.get(key);
    };
    Object.defineProperty(known, key, { enumerable: true, get });
  }
  // Else the console would show getters.
  return Object.defineProperty(known, INSPECT, { value: () => ({ ...known }) }) as unknown as T;
}
