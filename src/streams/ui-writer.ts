/**
 * Writes an agent's UI message chunks to a durable stream, over any number of executions of the same segment: what an earlier
 * execution had stored is read back and `recovery.ts` decides what is appended. Chunks that tools write to the same
 * stream by `getWritable` do not pass here.
 *
 *  U1 At creation everything that earlier executions emitted is committed and known; the `reset-step` of an open step is
 *     appended then, before a tool of this execution can write.
 *  U2 A cancelled run is not reset: what the user saw when he stopped it stays.
 *  U3 `error` and `abort` chunks end a client's message for good, so they are never piped: the caller decides whether the
 *     segment is entered again, or writes the end at last.
 *  U4 After a lost lease or a close of the runtime nothing is written: the next holder goes on.
 */

import type { UIMessageChunk } from 'ai';
import type { RunContext } from '../runtime/context.ts';
import { DurableError } from '../runtime/errors.ts';
import { decodeChunk, encodeChunk } from './chunk.ts';
import { createRecoveryFilter, recoveryPlan } from './recovery.ts';
import type { RecoveryPlan } from './recovery.ts';

export interface UiWriterOptions {
  stream: string;
  /** The stream's tail when the segment began; null if this execution is the first (nothing is read then). */
  from: number | null;
}

/** How a piped stream ended. `aborted`, `failed`: it had a chunk of type `abort` or `error`; from there on nothing was written. */
export type PipeEnd = { kind: 'finished' } | { kind: 'aborted' } | { kind: 'failed'; errorText: string };

export interface UiWriter {
  /** Appends the chunk unless an earlier execution did. A promise means: the buffer is full, await it. */
  write(chunk: UIMessageChunk): Promise<void> | undefined;
  /** Writes all chunks, reading on only while the buffer has room. Rejects as the stream does. */
  pipe(chunks: ReadableStream<UIMessageChunk>): Promise<PipeEnd>;
  /** From now on this writer writes nothing: another one takes over, and an abandoned loop may still be running. */
  stop(): void;
}

/** A writer for one execution of a segment. Create it before anything of this execution writes to the stream. */
export async function createUiWriter(context: RunContext, options: UiWriterOptions): Promise<UiWriter> {
  const filter = createRecoveryFilter(
    options.from === null ? recoveryPlan([]) : await readPlan(context, { ...options, from: options.from }),
  );

  let isStopped = false;

  const append = (chunks: UIMessageChunk[]): Promise<void> | undefined => {
    if (chunks.length === 0 || isStopped || isLeaving(context.signal)) return undefined; // U4
    return context.emit(options.stream, chunks.map(encodeChunk));
  };
  const write = (chunk: UIMessageChunk): Promise<void> | undefined => append(filter.next(chunk));

  if (!isCancelled(context)) await append(filter.reset()); // U1, U2
  const stop = (): void => {
    isStopped = true;
  };
  return { write, pipe: (chunks) => pipe(chunks, write), stop };
}

async function pipe(chunks: ReadableStream<UIMessageChunk>, write: UiWriter['write']): Promise<PipeEnd> {
  let end: PipeEnd | undefined;
  for await (const chunk of chunks) {
    end ??= endOf(chunk); // U3
    if (end !== undefined) continue; // drained, so that the SDK's result settles
    const full = write(chunk);
    if (full !== undefined) await full;
  }
  return end ?? { kind: 'finished' };
}

function endOf(chunk: UIMessageChunk): PipeEnd | undefined {
  if (chunk.type === 'error') return { kind: 'failed', errorText: chunk.errorText };
  return chunk.type === 'abort' ? { kind: 'aborted' } : undefined;
}

async function readPlan(
  context: RunContext,
  { stream, from }: { stream: string; from: number },
): Promise<RecoveryPlan> {
  if (from === 0) return recoveryPlan(await readStored(context, { stream, from }));
  const [before, ...stored] = await readStored(context, { stream, from: from - 1 });
  return recoveryPlan(stored, before);
}

async function readStored(context: RunContext, start: { stream: string; from: number }): Promise<UIMessageChunk[]> {
  await context.flush();
  const stored: UIMessageChunk[] = [];
  for (let from = start.from; ;) {
    const page = await context.readStream(start.stream, from);
    for (const payload of page.chunks) stored.push(decodeChunk(payload) as UIMessageChunk);
    from = page.from + page.chunks.length;
    if (page.chunks.length === 0 || from >= page.tail) return stored;
  }
}

function isCancelled(context: RunContext): boolean {
  return context.run.cancel || (context.signal.aborted && DurableError.is(context.signal.reason, 'cancelled'));
}

function isLeaving(signal: AbortSignal): boolean {
  return (
    signal.aborted && (DurableError.is(signal.reason, 'lease_lost') || DurableError.is(signal.reason, 'runtime_closed'))
  );
}
