/**
 * A stream of a run as it is stored, for readers of lines and events: from an offset to its end, and as it grows.
 *
 *  G1 Each chunk goes out once, in order, after its commit; nothing is added to what is stored but the end.
 *  G2 A body that ends without its last frame was cut.
 */

import type { Runtime } from '../app/create-runtime.ts';
import type { StreamPage } from '../runtime/store.ts';
import { concat } from './durable-streams.ts';
import type { FrameSource } from './event-body.ts';
import { StreamPages } from './stream-pages.ts';
import type { StreamPagesOptions } from './stream-pages.ts';

export interface LogEncoding {
  /** What comes before the first page. */
  first?: Uint8Array | undefined;
  page(page: StreamPage): Uint8Array;
  /** How many chunks of a page can be said without those that will follow it; the others wait. Default: all. */
  countWhole?(page: StreamPage): number;
  /** After a page, for this reader alone. */
  afterPage?(page: StreamPage): Uint8Array;
  /** The last frame; `closed` is false where the reader does not follow. Undefined: the pages have said it. */
  end(end: { offset: number; closed: boolean }): Uint8Array | undefined;
}

export interface LogSourceOptions extends StreamPagesOptions {
  stream: string;
  encoding: LogEncoding;
}

export class LogSource implements FrameSource {
  isDone = false;
  readonly #runtime: Runtime;
  readonly #options: LogSourceOptions;
  readonly #pages: StreamPages;
  /** What goes out before the next page. */
  #ready: Uint8Array | undefined;
  #isClosed = false;
  /** Chunks that wait for what follows them. */
  #rest: StreamPage | undefined;

  constructor(runtime: Runtime, options: LogSourceOptions) {
    this.#runtime = runtime;
    this.#options = options;
    this.#pages = new StreamPages(runtime, options);
    this.#ready = options.encoding.first;
  }

  async next(): Promise<Uint8Array | undefined> {
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready !== undefined) return ready;
    const { encoding } = this.#options;
    for (;;) {
      const next = this.#pages.next();
      if (next.kind === 'tail') return undefined;
      if (next.kind === 'end') return this.#end();
      this.#isClosed = next.page.closed;
      const page = this.#takeWhole(next.page);
      if (page.chunks.length === 0) continue;
      this.#ready = encoding.afterPage?.(page);
      return encoding.page(page);
    }
  }

  close(): void {
    this.#pages.close();
  }

  /** What can be said now, with what has waited. */
  #takeWhole(read: StreamPage): StreamPage {
    const { encoding } = this.#options;
    const rest = this.#rest;
    const page = rest === undefined ? read : { ...read, from: rest.from, chunks: [...rest.chunks, ...read.chunks] };
    const { chunks, from, closed } = page;
    const count = closed ? chunks.length : (encoding.countWhole?.(page) ?? chunks.length);
    const isWhole = count === chunks.length;
    this.#rest = isWhole ? undefined : { ...page, from: from + count, chunks: chunks.slice(count) };
    return isWhole ? page : { ...page, chunks: chunks.slice(0, count) };
  }

  async #end(): Promise<Uint8Array | undefined> {
    const { encoding } = this.#options;
    const { offset } = this.#pages;
    const closed = this.#isClosed || (await this.#looksClosed());
    this.isDone = true;
    const rest = this.#rest;
    if (rest === undefined) return encoding.end({ offset, closed });
    const last = { ...rest, tail: offset, closed };
    const said = [encoding.page(last), encoding.afterPage?.(last), encoding.end({ offset, closed })];
    return concat(said.filter((bytes) => bytes !== undefined));
  }

  /** Nothing was read from here: the reader began at the end, or the stream was closed after its last page. */
  async #looksClosed(): Promise<boolean> {
    const { run, offset } = this.#pages;
    return (await this.#runtime.streams.page({ run, stream: this.#options.stream, from: offset })).closed;
  }
}
