/** Reads a stream of a run one page ahead, and says when it has one. */

import type { UIMessageChunk } from 'ai';
import type { Runtime } from '../app/create-runtime.ts';
import type { StreamPage } from '../runtime/store.ts';
import { isEnded } from '../runtime/store.ts';
import { decodeChunk } from '../runtime/chunk.ts';
import { DurableError } from '../runtime/errors.ts';
import { missingEnd } from '../streams/end.ts';
import type { StreamCursor } from '../streams/reader.ts';
import { DEFAULT_STREAM } from '../streams/wire.ts';
import { endOf, isUpToDate } from './durable-streams.ts';
import type { Position } from '../streams/wire.ts';

/** `page`: the next one. `tail`: none yet, `wake` will be called. `end`: all was taken, and nothing more is read. */
export type NextPage = { kind: 'page'; page: StreamPage } | { kind: 'tail' } | { kind: 'end' };

export interface StreamPagesOptions {
  at: Position;
  /** What there is at that place, if it has been read. */
  first?: StreamPage;
  /** Default: the run's main stream. */
  stream?: string;
  /** Go on at the tail until the stream is closed. Default true. */
  follow?: boolean;
  wake: () => void;
}

interface Result {
  /** Undefined at the end. */
  page: StreamPage | undefined;
  /** It is known that none comes after it. */
  isLast: boolean;
}

const END: Result = { page: undefined, isLast: true };

export class StreamPages {
  readonly run: string;
  /** The offset after the last page taken. */
  offset: number;
  readonly #runtime: Runtime;
  readonly #wake: () => void;
  readonly #cursor: StreamCursor;
  #isReading = false;
  #result: Result | undefined;
  #failure: { error: unknown } | undefined;
  #last: StreamPage | undefined;

  constructor(runtime: Runtime, { at, first, stream = DEFAULT_STREAM, follow = true, wake }: StreamPagesOptions) {
    this.run = at.run;
    this.offset = at.offset;
    this.#runtime = runtime;
    this.#wake = wake;
    const from = first === undefined ? at.offset : endOf(first);
    this.#cursor = runtime.streams.cursor({ run: at.run, stream, from, follow });
    if (first === undefined) return;
    const isLast = first.closed || (!follow && isUpToDate(first));
    this.#result = first.chunks.length > 0 ? { page: first, isLast } : isLast ? END : undefined;
  }

  /** Throws what the store throws. */
  next(): NextPage {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#result === undefined) {
      this.#read();
      return { kind: 'tail' };
    }
    const { page, isLast } = this.#result;
    if (page === undefined) return { kind: 'end' };
    this.#result = isLast ? END : undefined;
    this.#last = page;
    this.offset = page.from + page.chunks.length;
    return { kind: 'page', page };
  }

  /** Whether nothing is stored after what was taken. */
  async isAtTail(): Promise<boolean> {
    const { chunks, closed } = await this.#runtime.streams.page(this.#at(this.offset));
    return chunks.length === 0 && !closed && this.#result === undefined;
  }

  /** What a closed stream should have ended with. */
  async missingEnd(): Promise<UIMessageChunk[]> {
    const { status, error } = await this.#runtime.getRun(this.run).info();
    const end = {
      status: isEnded(status) ? status : ('completed' as const),
      errorText: `The run failed (${error?.code ?? 'unknown'}).`,
    };
    try {
      return missingEnd(await this.#lastChunk(), end);
    } catch (failure) {
      if (!DurableError.is(failure, 'offset_expired')) throw failure;
      // Retention took the last chunk too. Whoever stands after it has had it; only a bad end is worth saying twice.
      return end.status === 'completed' ? [] : missingEnd(undefined, end);
    }
  }

  close(): void {
    this.#cursor.finish();
  }

  #read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#cursor.next().then(
      (page) => {
        this.#isReading = false;
        this.#result = { page, isLast: false };
        this.#wake();
      },
      (error: unknown) => {
        this.#failure = { error };
        this.#wake();
      },
    );
  }

  async #lastChunk(): Promise<UIMessageChunk | undefined> {
    if (this.offset === 0) return undefined;
    const page = this.#last ?? (await this.#runtime.streams.page(this.#at(this.offset - 1)));
    const payload = page.chunks.at(-1);
    return payload === undefined ? undefined : (decodeChunk(payload) as UIMessageChunk);
  }

  #at(from: number): { run: string; stream: string; from: number } {
    return { run: this.run, stream: DEFAULT_STREAM, from };
  }
}
