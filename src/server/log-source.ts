/**
 * A stream of a run as it is stored, for readers of lines and events: from an offset to its end, and as it grows.
 *
 *  G1 Each chunk goes out once, in order, after its commit; nothing is added to what is stored but the end.
 *  G2 A body that ends without its last frame was cut.
 */

import type { Runtime } from '../app/create-runtime.ts';
import type { StreamPage } from '../runtime/store.ts';
import type { FrameSource } from './event-body.ts';
import { StreamPages } from './stream-pages.ts';
import type { StreamPagesOptions } from './stream-pages.ts';

export interface LogEncoding {
  /** What comes before the first page. */
  first?: Uint8Array | undefined;
  page(page: StreamPage): Uint8Array;
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
    const next = this.#pages.next();
    switch (next.kind) {
      case 'tail':
        return undefined;
      case 'page':
        this.#isClosed = next.page.closed;
        this.#ready = encoding.afterPage?.(next.page);
        return encoding.page(next.page);
      case 'end':
        this.isDone = true;
        return encoding.end({ offset: this.#pages.offset, closed: this.#isClosed || (await this.#looksClosed()) });
    }
  }

  close(): void {
    this.#pages.close();
  }

  /** Nothing was read from here: the reader began at the end, or the stream was closed after its last page. */
  async #looksClosed(): Promise<boolean> {
    const { run, offset } = this.#pages;
    return (await this.#runtime.streams.page({ run, stream: this.#options.stream, from: offset })).closed;
  }
}
