/**
 * A `ReadableStream` as the result of a step: its chunks are a stream of the run, the journal holds where they stand.
 *
 *  R1 The step is recorded when its source has ended and all chunks are in the store, or go there with the record. A failed attempt leaves its
 *     chunks; the next one writes behind them. Nobody else writes there, and an attempt only until it ends: then its source is cancelled.
 *  R2 What the workflow gets reads those chunks, and no others: after a crash, in every attempt of the steps that use it.
 */

import { assertJson, decodeChunk, encodeChunk } from './chunk.ts';
import type { RunContext } from './context.ts';
import { DurableError } from './errors.ts';

const MARK = 'everturn:stream';

/** What the names of these streams begin with (R1). */
export const RESULT_STREAMS = 'step:';

interface StoredStream {
  [MARK]: { namespace: string; from: number; to: number };
}

interface Result<T> {
  key: string;
  value: T;
  /** Of the attempt. */
  signal: AbortSignal;
}

/** The result as it is recorded. Rejects as the source does, with what writing to a stream throws, and with the signal's reason. */
export function storeResult(context: RunContext, result: Result<unknown>): unknown {
  const { key, value, signal } = result;
  if (value instanceof WritableStream) throw notAResult(key);
  return value instanceof ReadableStream ? storeStream(context, { key, value, signal }) : value;
}

async function storeStream(
  context: RunContext,
  { key, value, signal }: Result<ReadableStream<unknown>>,
): Promise<StoredStream> {
  const namespace = `${RESULT_STREAMS}${key}`;
  await context.flush();
  const { tail: from } = await context.readStream(namespace, Number.MAX_SAFE_INTEGER);
  let to = from;
  const write = (chunk: unknown): Promise<void> | undefined => {
    if (!(chunk instanceof Uint8Array)) assertJson(chunk);
    const payload = encodeChunk(chunk);
    context.checkRoom(namespace, payload);
    to += 1;
    return context.emit(namespace, [payload]);
  };
  await value.pipeTo(new WritableStream({ write }), { signal });
  return { [MARK]: { namespace, from, to } };
}

/** The result as the step's caller gets it. */
export function openResult(context: RunContext, recorded: unknown): unknown {
  return isStored(recorded) ? new StoredReadable(context, recorded[MARK]) : recorded;
}

function isStored(value: unknown): value is StoredStream {
  return typeof value === 'object' && value !== null && MARK in value;
}

/** Each reading begins at the first chunk: a step that is tried again reads it again. */
class StoredReadable extends ReadableStream<unknown> {
  readonly #open: () => ReadableStream<unknown>;

  constructor(context: RunContext, at: StoredStream[typeof MARK]) {
    const source = (): UnderlyingDefaultSource<unknown> => chunkSource(context, at);
    super(source(), { highWaterMark: 0 });
    this.#open = () => new ReadableStream(source(), { highWaterMark: 0 });
  }

  override getReader(): ReadableStreamDefaultReader<unknown>;
  override getReader(options: { mode: 'byob' }): ReadableStreamBYOBReader;
  override getReader(options?: ReadableStreamGetReaderOptions): ReadableStreamReader<unknown>;
  override getReader(options?: ReadableStreamGetReaderOptions): ReadableStreamReader<unknown> {
    return this.#open().getReader(options);
  }

  override pipeTo(...args: Parameters<ReadableStream['pipeTo']>): Promise<void> {
    return this.#open().pipeTo(...args);
  }

  override pipeThrough<T>(...args: Parameters<ReadableStream<unknown>['pipeThrough']>): ReadableStream<T> {
    return this.#open().pipeThrough(...args) as ReadableStream<T>;
  }

  override tee(): [ReadableStream<unknown>, ReadableStream<unknown>] {
    return this.#open().tee();
  }

  override [Symbol.asyncIterator](): ReturnType<ReadableStream<unknown>[typeof Symbol.asyncIterator]> {
    return this.#open()[Symbol.asyncIterator]();
  }

  override values(): ReturnType<ReadableStream<unknown>['values']> {
    return this.#open().values();
  }
}

function chunkSource(
  context: RunContext,
  { namespace, from, to }: StoredStream[typeof MARK],
): UnderlyingDefaultSource<unknown> {
  let at = from;
  return {
    async pull(controller) {
      if (at < to) {
        const { chunks } = await context.readStream(namespace, at);
        for (const chunk of chunks.slice(0, to - at)) controller.enqueue(decodeChunk(chunk));
        at += chunks.length;
      }
      if (at >= to) controller.close();
    },
  };
}

function notAResult(key: string): DurableError {
  return new DurableError(
    'value_not_serializable',
    `Cannot store the result of the step "${key}": it is a WritableStream. Call getWritable({ namespace }) where you write; a step may ` +
      'also write to one that its workflow has opened.',
    { details: { path: '' } },
  );
}
