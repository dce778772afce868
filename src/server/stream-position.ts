/**
 * Which response a reader means, and where in it they are. Offsets are of the run's stream; indexes count from the response's handle.
 */

import type { Runtime } from '../app/create-runtime.ts';
import { runNotFound } from '../app/run-handle.ts';
import { decodeText, isBytes } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import type { RunInfo } from '../app/run-info.ts';
import { decodeOffset, decodePosition, DEFAULT_STREAM } from '../streams/wire.ts';
import type { Position } from '../streams/wire.ts';
import type { AccessRequest, Caller } from './access.ts';
import { allowRow } from './row-access.ts';
import type { Allow } from './row-access.ts';
import { lastRun, runsAfter } from './thread-state.ts';
import type { ThreadKey } from './thread-state.ts';

/** A response: a run's stream from an offset on. */
export interface Target {
  run: RunInfo;
  base: number;
}

export interface AskedId {
  id: string;
  action: AccessRequest['action'];
  allow: Allow;
}

/**
 * The response that an id means: a handle, a run, or a thread's active or last run. Null for a thread without runs. Throws
 * `run_not_found`, also for runs of another tenant, and the response of `authorize`.
 */
export async function findTarget(runtime: Runtime, { id, action, allow }: AskedId): Promise<Target | null> {
  const handle = decodePosition(id);
  if (handle !== undefined) {
    return { run: await findRun(runtime, { id: handle.run, action, allow }), base: handle.offset };
  }
  if (id.startsWith('run_')) return { run: await findRun(runtime, { id, action, allow }), base: 0 };
  const { tenant } = await allow({ action, threadId: id });
  const run = await lastRun(runtime, { id, tenant });
  return run === null ? null : { run, base: 0 };
}

/** A run that the caller may use. Throws `run_not_found`, also for runs of another tenant, and the response of `authorize`. */
export async function findRun(runtime: Runtime, { id, action, allow }: AskedId): Promise<RunInfo> {
  const read = (): Promise<RunInfo> => runtime.getRun(id).info();
  const missing = (): DurableError => runNotFound(id);
  return (await allowRow(runtime, { allow, access: { action, runId: id }, read, missing })).row;
}

export async function readTail(runtime: Runtime, run: string): Promise<number> {
  return (await runtime.streams.page({ run, stream: DEFAULT_STREAM, from: Number.MAX_SAFE_INTEGER })).tail;
}

export interface AskedPosition {
  lastEventId: string | null;
  startIndex: string | undefined;
}

/** What a reader gets: from which offset, and what the tail header says. */
export interface ReadFrom {
  offset: number;
  tailIndex: number;
  /** The reader counts, so chunks may not be merged. */
  counts: boolean;
}

/** Throws `invalid_offset`, and `offset_expired` for what is not kept any more. */
export async function resolvePosition(runtime: Runtime, target: Target, asked: AskedPosition): Promise<ReadFrom> {
  const from = await placeOf(runtime, target, asked);
  await assertKept(runtime, { run: target.run.id, offset: from.offset });
  return from;
}

/** Throws `offset_expired`. Said before the answer begins: a body can only be cut. */
async function assertKept(runtime: Runtime, { run, offset: from }: Position): Promise<void> {
  await runtime.streams.page({ run, stream: DEFAULT_STREAM, from });
}

async function placeOf(runtime: Runtime, { run, base }: Target, asked: AskedPosition): Promise<ReadFrom> {
  const tail = await readTail(runtime, run.id);
  if (base > tail) throw invalidOffset(`the handle begins at ${base}, and the stream has ${tail} chunks`, { tail });
  const tailIndex = tail - base - 1;
  if (asked.lastEventId !== null) {
    return { offset: within(parseEventId(asked.lastEventId, run.id), tail), tailIndex, counts: true };
  }
  if (asked.startIndex === undefined) return { offset: base, tailIndex, counts: false };
  const index = parseIndex(asked.startIndex);
  if (index >= 0) return { offset: within(base + index, tail), tailIndex, counts: true };
  const offset = await snapToStep(runtime, { run: run.id, offset: base }, Math.max(base, tail + index));
  // The client takes tail index + 1 + startIndex for the index of the first chunk that it gets.
  return { offset, tailIndex: offset - base - index - 1, counts: true };
}

/** Digits, or a position in a thread that lies in this run. */
function parseEventId(id: string, run: string): number {
  const position = decodePosition(id);
  if (position !== undefined && position.run !== run) {
    throw invalidOffset(`the id "${id}" is of another run's stream`, { lastEventId: id });
  }
  const offset = position?.offset ?? decodeOffset(id);
  if (offset === undefined) throw invalidOffset(`the id "${id}" is no offset`, { lastEventId: id });
  return offset;
}

function parseIndex(text: string): number {
  const index = /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
  if (index === undefined)
    throw invalidOffset(`startIndex is ${JSON.stringify(text)}, not a number`, { startIndex: text });
  return index;
}

function within(offset: number, tail: number): number {
  if (offset <= tail) return offset;
  throw invalidOffset(`the position is ${offset}, and the stream has ${tail} chunks`, { offset, tail });
}

/** The `start-step` of the step that an offset lies in, or the base. In the middle of a step a client lacks the parts' beginnings. */
async function snapToStep(runtime: Runtime, base: Position, offset: number): Promise<number> {
  let found = base.offset;
  for (let from = base.offset; from <= offset;) {
    const page = await runtime.streams.page({ run: base.run, stream: DEFAULT_STREAM, from });
    if (page.chunks.length === 0) break;
    for (const [index, payload] of page.chunks.entries()) {
      if (from + index > offset) break;
      if (!isBytes(payload) && decodeText(payload).startsWith('{"type":"start-step"')) found = from + index;
    }
    from += page.chunks.length;
  }
  return found;
}

/** Throws `offset_expired` if a reader of the thread would come to a run whose beginning is not kept any more. */
export async function assertRunsKept(runtime: Runtime, key: ThreadKey, after: RunInfo | null): Promise<void> {
  for (const run of await runsAfter(runtime, key, after)) await assertKept(runtime, { run: run.id, offset: 0 });
}

/**
 * A place in a thread where a reader goes on. Throws `invalid_offset`, also for runs of other threads and tenants, and `offset_expired`.
 */
export async function findThreadPosition(
  runtime: Runtime,
  { position, thread, caller }: { position: string; thread: string; caller: Caller },
): Promise<{ run: RunInfo; offset: number }> {
  const at = decodePosition(position);
  if (at === undefined) throw invalidOffset(`"${position}" is no position in a thread`, { position });
  const run = await runtime
    .getRun(at.run)
    .info()
    .catch((error: unknown) => {
      if (DurableError.is(error, 'run_not_found')) return null;
      throw error;
    });
  if (run === null || run.tenant !== caller.tenant || run.thread !== thread) {
    throw invalidOffset(`"${position}" is no position in the thread "${thread}"`, { position, thread });
  }
  const offset = within(at.offset, await readTail(runtime, run.id));
  await assertKept(runtime, { run: run.id, offset });
  return { run, offset };
}

function invalidOffset(why: string, details: Record<string, unknown>): DurableError {
  return new DurableError(
    'invalid_offset',
    `Cannot read from there: ${why}. Read the history again, or the stream from its beginning.`,
    { details },
  );
}

export function noPositionIn(thread: string, asked: AskedPosition): DurableError {
  return invalidOffset(`the thread "${thread}" has no runs`, { thread, ...asked });
}
