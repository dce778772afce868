/**
 * Writes an agent's UI message chunks to a durable stream, over any number of passes of the same segment: what an earlier
 * pass had stored is read back and `recovery.ts` decides what is appended. Chunks that tools write to the same
 * stream by `getWritable` do not pass here.
 *
 *  U1 At creation everything that earlier passes emitted is committed and known; the `reset-step` of an open step is
 *     appended then, before a tool of this pass can write. A step of which all that is stored is repeated goes on as it is.
 *  U2 A cancelled run is not reset: what the user saw when he stopped it stays.
 *  U3 `error` and `abort` chunks end a client's message for good, so they are never piped: the caller decides whether the
 *     segment is entered again, or writes the end at last.
 *  U4 After a lost lease or a close of the runtime nothing is written: the next holder goes on.
 *  U5 What was written is told as a reader gets it, or not at all if anybody else wrote to the stream meanwhile.
 */

import type { UIMessageChunk } from 'ai';
import type { Payload } from '../runtime/codec.ts';
import type { RunContext } from '../runtime/context.ts';
import { DurableError } from '../runtime/errors.ts';
import { decodeChunk, encodeChunk } from '../runtime/chunk.ts';
import { addMerged } from './fold.ts';
import { createRecoveryFilter, recoveryPlan } from './recovery.ts';
import { readStoredChunks } from './stored-chunks.ts';
import type { StoredChunks } from './stored-chunks.ts';

export interface UiWriterOptions {
  stream: string;
  /** The stream's tail when the segment began; null if this pass is the first (nothing is read then). */
  from: number | null;
  /**
   * Of a step (from 0) that this pass is certain to repeat: whether a stored chunk is one that it writes again. Undefined if it may write
   * something else.
   */
  repeats?: (step: number) => Promise<((chunk: UIMessageChunk) => boolean) | undefined>;
}

/** How a piped stream ended. `aborted`, `failed`: it had a chunk of type `abort` or `error`; from there on nothing was written. */
export type PipeEnd = { kind: 'finished' } | { kind: 'aborted' } | { kind: 'failed'; errorText: string };

export interface UiWriter {
  /** Appends the chunk unless an earlier pass did. A promise means: the buffer is full, await it. */
  write(chunk: UIMessageChunk): Promise<void> | undefined;
  /** Writes all chunks, reading on only while the buffer has room. Rejects as the stream does. */
  pipe(chunks: ReadableStream<UIMessageChunk>): Promise<PipeEnd>;
  /** From now on this writer writes nothing: another one takes over, and an abandoned loop may still be running. */
  stop(): void;
  /** All that the segment has in the stream, or will have with the next commit; null if it has to be read (U5). */
  written(): Written | null;
}

export interface Written {
  /** Deltas are merged. */
  chunks: UIMessageChunk[];
  /** How many chunks they are in the stream. */
  count: number;
}

/** A writer for one pass of a segment. Create it before anything of this pass writes to the stream. */
export async function createUiWriter(context: RunContext, options: UiWriterOptions): Promise<UiWriter> {
  const copy = new Copy(context, options.stream);
  const { stored, before }: StoredChunks =
    options.from === null ? { stored: [] } : await readStoredChunks(context, { ...options, from: options.from });
  const plan = recoveryPlan(stored, before);
  const isRepeated = plan.openStep ? await options.repeats?.(plan.completedSteps) : undefined;
  const filter = createRecoveryFilter(plan, { resumes: isRepeated !== undefined && plan.shown.every(isRepeated) });
  for (const chunk of stored) copy.add(chunk);

  let isStopped = false;

  const append = (chunks: UIMessageChunk[]): Promise<void> | undefined => {
    if (chunks.length === 0 || isStopped || isLeaving(context.signal)) return undefined; // U4
    const payloads = chunks.map(encodeChunk);
    const full = context.emit(options.stream, payloads);
    chunks.forEach((chunk, index) => copy.addOwn(chunk, payloads[index] as Payload));
    return full;
  };
  const write = (chunk: UIMessageChunk): Promise<void> | undefined => append(filter.next(chunk));

  if (!isCancelled(context)) await append(filter.reset()); // U1, U2
  const stop = (): void => {
    isStopped = true;
  };
  return { write, pipe: (chunks) => pipe(chunks, write), stop, written: () => copy.read() };
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

/** What a segment has in its stream (U5). */
class Copy {
  readonly #context: RunContext;
  readonly #stream: string;
  readonly #before: number;
  readonly #chunks: UIMessageChunk[] = [];
  #count = 0;
  #own = 0;

  constructor(context: RunContext, stream: string) {
    this.#context = context;
    this.#stream = stream;
    this.#before = context.emittedTo(stream);
  }

  add(chunk: UIMessageChunk): void {
    addMerged(this.#chunks, chunk);
    this.#count += 1;
  }

  /** Values may be other ones when they are read back (a Date is a text); texts are the same. */
  addOwn(chunk: UIMessageChunk, payload: Payload): void {
    this.add(isTextAlone(chunk) ? chunk : (decodeChunk(payload) as UIMessageChunk));
    this.#own += 1;
  }

  read(): Written | null {
    const emitted = this.#context.emittedTo(this.#stream) - this.#before;
    return emitted === this.#own ? { chunks: this.#chunks, count: this.#count } : null;
  }
}

function isTextAlone(chunk: UIMessageChunk): boolean {
  for (const key in chunk) if (typeof chunk[key as keyof typeof chunk] !== 'string') return false;
  return true;
}

function isCancelled(context: RunContext): boolean {
  return context.run.cancel || (context.signal.aborted && DurableError.is(context.signal.reason, 'cancelled'));
}

function isLeaving(signal: AbortSignal): boolean {
  return (
    signal.aborted && (DurableError.is(signal.reason, 'lease_lost') || DurableError.is(signal.reason, 'runtime_closed'))
  );
}
