/**
 * Reads a durable stream from any offset, to its end and as it grows. A reader asks for a page when it has room for one: a slow one
 * holds up nobody and is buffered nowhere.
 *
 *  D1 Every chunk from the offset on comes once, in order, after its commit.
 *  D2 A stream ends after its last chunk, when it is closed; without `follow` at the tail.
 *  D3 A reader that is cancelled or aborted leaves nothing behind: no timer, no watch.
 *  D4 Where retention has removed chunks there is `offset_expired`, never a gap.
 */

import type { Clock } from '../runtime/clock.ts';
import { DurableError } from '../runtime/errors.ts';
import type { StreamExpiry, StreamPage } from '../runtime/store.ts';
import { decodeChunk } from '../runtime/chunk.ts';
import { mergeItems } from './fold.ts';
import { createSubscriptions, PAGE_BYTES } from './subscriptions.ts';
import type { StreamStore, Subscriptions, Topic } from './subscriptions.ts';

export interface StreamReadOptions {
  run: string;
  stream: string;
  /** Default 0. Beyond the tail: waits for that offset. Negative: so many chunks before the tail of now. */
  from?: number;
  /** Go on at the tail until the stream is closed. Default true. */
  follow?: boolean;
  /** Ends the stream, without an error. */
  signal?: AbortSignal;
}

export interface ChunkReadOptions extends StreamReadOptions {
  /**
   * Neighbouring deltas of one part that are stored already come as one chunk, at the offset of the last of them: the same message in
   * fewer chunks. Only from the start on. Default false.
   */
  merge?: boolean;
}

export interface StreamItem {
  offset: number;
  /** A JSON value, or bytes. */
  chunk: unknown;
}

/** A reader's position, for whoever asks for pages one at a time. */
export interface StreamCursor {
  /** The next page that has chunks, when there is one; undefined at the end. One call at a time. Rejects as the stream errors. */
  next(): Promise<StreamPage | undefined>;
  /** Leaves nothing behind; a call that waits resolves with undefined. */
  readonly finish: () => void;
}

export interface StreamReader {
  cursor(options: StreamReadOptions): StreamCursor;
  /** The stream in pages of stored payloads, none of them empty. Readers at the same offset get the same page object. */
  pages(options: StreamReadOptions): ReadableStream<StreamPage>;
  /** One page at an offset, at the tail an empty one. Throws `run_not_found`, `offset_expired` and `invalid_argument`. */
  page(at: { run: string; stream: string; from: number }): Promise<StreamPage>;
  /** The stream chunk by chunk, decoded. Throws `invalid_argument` for `merge` from another offset than 0. */
  chunks(options: ChunkReadOptions): ReadableStream<StreamItem>;
}

/**
 * One per process and store: its readers share their subscriptions. Streams error with `run_not_found` for an unknown run, with
 * `offset_expired` below what is kept. Throws `invalid_argument` for an offset that is no whole number.
 */
export function createStreamReader(options: { store: StreamStore; clock: Clock }): StreamReader {
  const subscriptions = createSubscriptions(options);
  const pages = (request: StreamReadOptions): ReadableStream<StreamPage> => {
    const cursor = new Cursor(subscriptions, request);
    let isCancelled = false;
    return new ReadableStream<StreamPage>(
      {
        async pull(controller) {
          const page = await cursor.next();
          if (isCancelled) return;
          if (page === undefined) controller.close();
          else controller.enqueue(page);
        },
        cancel() {
          isCancelled = true;
          cursor.finish();
        },
      },
      { highWaterMark: 0 },
    );
  };
  const page: StreamReader['page'] = async (at) => {
    checkOffset(at);
    return readable(await options.store.read(at.run, at.stream, { from: at.from, maxBytes: PAGE_BYTES }), at);
  };
  const cursor = (request: StreamReadOptions): StreamCursor => new Cursor(subscriptions, request);
  const chunks: StreamReader['chunks'] = ({ merge = false, ...request }) => {
    if (merge && (request.from ?? 0) !== 0) throw mergedFrom(request);
    return decodePages(pages(request), merge ? mergeItems : (items) => items);
  };
  return { cursor, pages, page, chunks };
}

/** One reader's position. It takes its place in the topic when it is first asked for a page. */
class Cursor implements StreamCursor {
  readonly #subscriptions: Subscriptions;
  readonly #request: StreamReadOptions;
  #topic: Topic | undefined;
  #from: number;
  /** The topic's version at which this reader stood at the tail: nothing to read before the next one. */
  #tailVersion = -1;
  #isDone = false;
  #wake: (() => void) | undefined;

  constructor(subscriptions: Subscriptions, request: StreamReadOptions) {
    checkOffset(request);
    this.#subscriptions = subscriptions;
    this.#request = request;
    this.#from = request.from ?? 0;
  }

  /** The next page that has chunks; undefined at the end. */
  async next(): Promise<StreamPage | undefined> {
    if (this.#isDone || this.#request.signal?.aborted === true) return undefined;
    try {
      const topic = (this.#topic ??= this.#open());
      if (this.#from < 0)
        this.#from = Math.max(0, (await this.#read(topic, Number.MAX_SAFE_INTEGER)).tail + this.#from);
      while (!this.#isDone) {
        const page = await this.#advance(topic);
        if (page !== undefined) return page;
      }
      return undefined;
    } catch (error) {
      this.finish();
      throw error;
    }
  }

  readonly finish = (): void => {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#request.signal?.removeEventListener('abort', this.finish);
    this.#topic?.release();
    this.#wake?.();
  };

  #open(): Topic {
    const topic = this.#subscriptions.open(this.#request.run, this.#request.stream);
    this.#request.signal?.addEventListener('abort', this.finish);
    return topic;
  }

  async #advance(topic: Topic): Promise<StreamPage | undefined> {
    if (this.#tailVersion === topic.version) await this.#change(topic);
    if (this.#isDone) return undefined;
    const version = topic.version;
    const page = await this.#read(topic, this.#from);
    if (this.#isDone) return undefined;
    const end = page.from + page.chunks.length;
    if (end >= page.tail) this.#tailVersion = version;
    if (page.closed || (end >= page.tail && this.#request.follow === false)) this.finish();
    if (page.chunks.length === 0) return undefined;
    this.#from = end;
    return page;
  }

  async #change(topic: Topic): Promise<void> {
    let forget: (() => void) | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      forget = topic.onChange(this.#tailVersion, resolve);
    });
    this.#wake = undefined;
    forget?.();
  }

  async #read(topic: Topic, offset: number): Promise<StreamPage> {
    return readable(await topic.read(offset), { ...this.#request, from: offset });
  }
}

function decodePages(
  pages: ReadableStream<StreamPage>,
  toItems: (items: StreamItem[]) => StreamItem[],
): ReadableStream<StreamItem> {
  const source = pages.getReader();
  return new ReadableStream<StreamItem>(
    {
      async pull(controller) {
        const { done, value: page } = await source.read();
        if (done) {
          controller.close();
          return;
        }
        const items = page.chunks.map((payload, index) => ({ offset: page.from + index, chunk: decodeChunk(payload) }));
        for (const item of toItems(items)) controller.enqueue(item);
      },
      cancel: (reason) => source.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Of anything else no read would ever be at the tail. */
function checkOffset({ run, stream, from }: StreamReadOptions): void {
  if (from === undefined || Number.isSafeInteger(from)) return;
  throw new DurableError(
    'invalid_argument',
    `Cannot read the stream "${stream}" of run "${run}" from ${String(from)} on: an offset is a whole number of chunks. Pass one that a reader ` +
      'gave, or leave `from` out.',
    { details: { run, stream } },
  );
}

function mergedFrom({ run, stream, from }: StreamReadOptions): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot merge the deltas of the stream "${stream}" of run "${run}" from ${from} on: who reads from an offset counts chunks. Leave \`from\` ` +
      'out, or `merge`.',
    { details: { run, stream, from } },
  );
}

/** The page, if there is one to read. */
function readable(page: StreamPage | null, at: { run: string; stream: string; from: number }): StreamPage {
  if (page === null) throw runNotFound(at);
  if (page.expired !== undefined) throw offsetExpired(page.expired, at);
  return page;
}

function offsetExpired(
  { before, reason }: StreamExpiry,
  at: { run: string; stream: string; from: number },
): DurableError {
  const { run, stream, from } = at;
  const why = reason === 'age' ? 'they were older than' : 'they were more than';
  return new DurableError(
    'offset_expired',
    `Cannot read the stream "${stream}" of run "${run}" from ${from} on: its chunks before ${before} were removed, as ${why} the runtime's ` +
      `retention keeps. Read from ${before} on.`,
    { details: { run, stream, from, before, reason } },
  );
}

function runNotFound(request: Pick<StreamReadOptions, 'run' | 'stream'>): DurableError {
  return new DurableError(
    'run_not_found',
    `Cannot read the stream "${request.stream}" of run "${request.run}": there is no such run in this store. Check the id; ended runs ` +
      'are removed with their streams by gc.',
    { details: { run: request.run, stream: request.stream } },
  );
}
