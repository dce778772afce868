/**
 * Chunks on their way to the store: bytes, one buffer per run.
 *
 *  O1 Order within a stream is the order of `emit`.
 *  O2 Chunks go with the process's next flush (`committer.ts` paces it) or with a commit of the run for another reason. What
 *     somebody waits for is asked for at once: `flush`, a close, a full buffer.
 *  O3 Bounded: above the limit `emit` answers a promise that resolves when there is room.
 *  O4 A commit with events carries all chunks: a step that is recorded does not write again.
 *  O5 What users write stays within the limits of the runtime: a chunk by itself, a stream as far as its tail is known here (the
 *     first flush tells it).
 */

import { MAX_VALUE_BYTES } from './codec.ts';
import type { Payload } from './codec.ts';
import { DurableError } from './errors.ts';
import { isLarge } from './reference.ts';
import type { StreamWrite } from './store.ts';

const MAX_BYTES = 1_048_576;
const MAX_CHUNKS = 4_096;
/** One commit carries at most this much of the buffer. */
const MAX_COMMIT_BYTES = 524_288;

export interface StreamLimits {
  /** Of one chunk. */
  maxChunkBytes: number;
  /** Of one stream. */
  maxChunks: number;
}

export const STREAM_LIMITS: StreamLimits = { maxChunkBytes: MAX_VALUE_BYTES, maxChunks: 1_000_000 };

export interface OutboxOptions {
  limits?: StreamLimits;
  /** Asks for a commit at the end of this macrotask. */
  request: () => void;
  /** Asks to be part of the next flush. */
  requestFlush: () => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  #writes: StreamWrite[] = [];
  #bytes = 0;
  #chunks = 0;
  #large = 0;
  #emitted = 0;
  #committed = 0;
  #inFlight = 0;
  #roomWaiters: Array<() => void> = [];
  #flushWaiters: Array<{ upTo: number; resolve: () => void }> = [];
  readonly #closed = new Set<string>();
  readonly #emittedTo = new Map<string, number>();
  /** Where this continuation's chunks begin in a stream. */
  readonly #startOf = new Map<string, number>();
  readonly #committedTo = new Map<string, number>();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  get empty(): boolean {
    return this.#writes.length === 0;
  }

  /** Somebody waits for what is in here (O2). */
  get urgent(): boolean {
    return (
      this.#flushWaiters.length > 0 || this.#roomWaiters.length > 0 || this.#writes.some(({ close }) => close === true)
    );
  }

  /** Everything that was emitted is committed. */
  get idle(): boolean {
    return this.empty && this.#inFlight === 0;
  }

  /** Chunks that have to go out of line before they are taken. */
  large(): Array<{ payload: Payload; replace: (reference: Payload) => void }> {
    if (this.#large === 0) return [];
    return this.#writes.flatMap(({ chunks }) =>
      chunks.flatMap((payload, index) =>
        isLarge(payload) ? [{ payload, replace: this.#replace(chunks, index) }] : [],
      ),
    );
  }

  #replace(chunks: Payload[], index: number): (reference: Payload) => void {
    return (reference) => {
      this.#bytes += reference.length - (chunks[index]?.length ?? 0);
      this.#large -= 1;
      chunks[index] = reference;
    };
  }

  emit(stream: string, chunks: Payload[]): Promise<void> | undefined {
    if (this.#closed.has(stream)) {
      throw new DurableError(
        'stream_closed',
        `Cannot write to the stream "${stream}": it was closed. Write before closing it, or use another namespace.`,
        { details: { stream } },
      );
    }
    this.#writeFor(stream).chunks.push(...chunks);
    for (const chunk of chunks) {
      this.#bytes += chunk.length;
      if (isLarge(chunk)) this.#large += 1;
    }
    this.#chunks += chunks.length;
    this.#emitted += chunks.length;
    this.#emittedTo.set(stream, this.emittedTo(stream) + chunks.length);
    if (this.#bytes < MAX_BYTES && this.#chunks < MAX_CHUNKS) {
      this.#options.requestFlush();
      return undefined;
    }
    this.#options.request();
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  /** How many chunks were emitted to a stream so far, whoever did. */
  emittedTo(stream: string): number {
    return this.#emittedTo.get(stream) ?? 0;
  }

  /** O5 */
  checkRoom(stream: string, chunk: Payload, { held = 0 }: { held?: number } = {}): void {
    const { maxChunkBytes, maxChunks } = this.#options.limits ?? STREAM_LIMITS;
    if (chunk.length - 1 > maxChunkBytes) throw chunkTooLarge(stream, chunk, maxChunkBytes);
    const length = (this.#startOf.get(stream) ?? 0) + this.emittedTo(stream) + held;
    if (length >= maxChunks) throw streamFull(stream, { length, maxChunks });
  }

  close(stream: string): void {
    if (this.#closed.has(stream)) return;
    this.#closed.add(stream);
    this.#writeFor(stream).close = true;
    this.#options.request();
  }

  /** Resolves when all that was emitted before is committed. */
  flush(): Promise<void> {
    if (this.idle) return Promise.resolve();
    this.#options.request();
    return new Promise((resolve) => this.#flushWaiters.push({ upTo: this.#emitted, resolve }));
  }

  /** The chunks for a commit that is sent now, as many as one commit carries. */
  take(): StreamWrite[] {
    return this.#bytes <= MAX_COMMIT_BYTES ? this.takeAll() : this.#sent(this.#head());
  }

  /** All chunks, for a commit with events: what was emitted before an event must not come after it (O4). */
  takeAll(): StreamWrite[] {
    return this.#sent(this.#writes.splice(0));
  }

  #sent(writes: StreamWrite[]): StreamWrite[] {
    for (const write of writes) {
      this.#inFlight += write.chunks.length;
      this.#chunks -= write.chunks.length;
      for (const chunk of write.chunks) this.#bytes -= chunk.length;
    }
    return writes;
  }

  /** The commit was applied; `tails` are those of the streams that it wrote to. */
  committed(writes: StreamWrite[], tails: Record<string, number>): void {
    for (const { stream, chunks } of writes)
      this.#committedTo.set(stream, (this.#committedTo.get(stream) ?? 0) + chunks.length);
    for (const { stream } of writes)
      this.#startOf.set(stream, (tails[stream] ?? 0) - (this.#committedTo.get(stream) ?? 0));
    this.#committed += this.#release(writes);
    this.#wakeWaiters();
  }

  /** The commit was refused: its chunks go back to the front. Those of `without` are dropped. */
  refused(writes: StreamWrite[], without?: string): void {
    this.#release(writes);
    const kept = writes.filter((write) => write.stream !== without);
    for (const write of writes) if (write.stream === without) this.#committed += write.chunks.length;
    for (const write of kept) {
      this.#chunks += write.chunks.length;
      for (const chunk of write.chunks) this.#bytes += chunk.length;
    }
    this.#writes = [...kept, ...this.#writes];
    if (without !== undefined) this.#wakeWaiters();
  }

  #wakeWaiters(): void {
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
    this.#flushWaiters = this.#flushWaiters.filter((waiter) => {
      if (waiter.upTo > this.#committed) return true;
      waiter.resolve();
      return false;
    });
  }

  #release(writes: StreamWrite[]): number {
    let count = 0;
    for (const write of writes) count += write.chunks.length;
    this.#inFlight -= count;
    return count;
  }

  #writeFor(stream: string): StreamWrite {
    const last = this.#writes.at(-1);
    if (last !== undefined && last.stream === stream && last.close !== true) return last;
    const write: StreamWrite = { stream, chunks: [] };
    this.#writes.push(write);
    return write;
  }

  /** Whole writes from the front, the last one cut, so that a commit stays within its limit. */
  #head(): StreamWrite[] {
    const taken: StreamWrite[] = [];
    let room = MAX_COMMIT_BYTES;
    while (room > 0) {
      const write = this.#writes[0];
      if (write === undefined) break;
      let count = 0;
      while (count < write.chunks.length && room > 0) room -= write.chunks[count++]?.length ?? 0;
      if (count === write.chunks.length) {
        taken.push(write);
        this.#writes.shift();
      } else {
        taken.push({ stream: write.stream, chunks: write.chunks.splice(0, count) });
      }
    }
    return taken;
  }
}

function chunkTooLarge(stream: string, chunk: Payload, limit: number): DurableError {
  const bytes = chunk.length - 1;
  return new DurableError(
    'value_too_large',
    `Cannot write a chunk of ${bytes} bytes to the stream "${stream}": the limit is ${limit}. Write it in several chunks, or store it ` +
      'elsewhere and write where it is.',
    { details: { stream, bytes, limit } },
  );
}

function streamFull(stream: string, { length, maxChunks }: { length: number; maxChunks: number }): DurableError {
  return new DurableError(
    'stream_full',
    `Cannot write to the stream "${stream}": it has ${length} chunks and the limit is ${maxChunks}. Go on in a stream of another ` +
      'namespace, write larger chunks, or raise `streams.maxChunks` of createRuntime.',
    { details: { stream, chunks: length, limit: maxChunks } },
  );
}
