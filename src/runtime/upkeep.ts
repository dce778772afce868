/**
 * What a process does for the streams of its store beside writing them: packs what has been written (S28), and removes what need not be
 * kept any more (S27).
 *
 *  K1 One small call of the store at a time, with a pause after it, so that none delays a commit by more than that call takes
 *     (bench `stream`).
 *  K2 A stream is packed when its run has left this process, or while it runs after each so many bytes. What a process that dies leaves
 *     unpacked stays readable as it is.
 *  K3 A failure is told, and what failed is left for the next time.
 */

import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import type { StreamLimits } from './outbox.ts';
import { codeOf } from './store-calls.ts';
import type { StoreCalls } from './store-calls.ts';
import type { Commit } from './store.ts';

export interface StreamRetention {
  /** Chunks of a stream that are kept, the newest. */
  keep?: number;
  olderThanMs?: number;
  /** Streams of runs that have not ended to leave alone (S27). */
  spare: string[];
}

export interface StreamSettings {
  /** Of what users write. */
  limits: StreamLimits;
  /** Without it streams are kept as long as their runs. */
  retention?: StreamRetention;
}

export interface UpkeepParts {
  calls: StoreCalls;
  clock: Clock;
  logger: Logger;
  streams?: StreamSettings;
}

/** Less is a row or two: nothing to pack. */
const LEAST_BYTES = 16_384;
/** What a run that goes on writes between two times. */
const MANY_BYTES = 262_144;
/** After a write, so that what follows at once goes first. */
const QUIET_MS = 1_000;
const PAUSE_MS = 50;
const RETRY_MS = 10_000;
/** Between two rounds of retention through all streams. */
const ROUND_MS = 600_000;
const STREAMS_PER_CALL = 50;

export class Upkeep {
  readonly #parts: UpkeepParts;
  /** Bytes by stream and run that were written since they were packed. */
  readonly #written = new Map<string, Map<string, number>>();
  /** What is to be packed, oldest first. */
  readonly #queue = new Map<string, { run: string; stream: string }>();
  #cursor: string | undefined;
  #cancelPack: (() => void) | undefined;
  #cancelRound: (() => void) | undefined;
  #closed = false;
  #working: Promise<void> = Promise.resolve();

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  open(): void {
    if (this.#parts.streams?.retention !== undefined) this.#scheduleRound(QUIET_MS);
  }

  /** Hot: every commit (bench `stream`). */
  readonly applied = ({ run, chunks, then }: Commit): void => {
    if (chunks.length > 0) this.#count(run, chunks);
    if (then.kind !== 'run') this.left(run);
  };

  /** The run has left this process, or was taken from it (K2). */
  left(run: string): void {
    const streams = this.#written.get(run);
    if (streams === undefined) return;
    this.#written.delete(run);
    for (const [stream, bytes] of streams) if (bytes >= LEAST_BYTES) this.#enqueue(run, stream);
  }

  /** Resolves when nothing of it asks the store for anything any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelPack?.();
    this.#cancelRound?.();
    await this.#working;
  }

  #count(run: string, chunks: Commit['chunks']): void {
    let streams = this.#written.get(run);
    if (streams === undefined) {
      streams = new Map();
      this.#written.set(run, streams);
    }
    for (const write of chunks) {
      let bytes = streams.get(write.stream) ?? 0;
      for (const chunk of write.chunks) bytes += chunk.length;
      if (bytes >= MANY_BYTES) {
        bytes = 0;
        this.#enqueue(run, write.stream);
      }
      streams.set(write.stream, bytes);
    }
  }

  #enqueue(run: string, stream: string): void {
    this.#queue.set(JSON.stringify([run, stream]), { run, stream });
    if (this.#cancelPack === undefined) this.#schedulePack(QUIET_MS);
  }

  #schedulePack(delay: number): void {
    if (this.#closed) return;
    this.#cancelPack = this.#parts.clock.schedule(() => {
      this.#cancelPack = undefined;
      this.#work(() => this.#pack());
    }, delay);
  }

  #scheduleRound(delay: number): void {
    if (this.#closed) return;
    this.#cancelRound = this.#parts.clock.schedule(() => this.#work(() => this.#trim()), delay);
  }

  /** K1 */
  #work(call: () => Promise<void>): void {
    this.#working = this.#working.then(call);
  }

  async #pack(): Promise<void> {
    const [first] = this.#queue;
    if (first === undefined || this.#closed) return;
    const [key, next] = first;
    let delay = PAUSE_MS;
    try {
      const hasMore = await this.#parts.calls.inTime((store) => store.compact(next.run, next.stream));
      if (!hasMore) this.#queue.delete(key);
    } catch (error) {
      this.#queue.delete(key);
      delay = RETRY_MS;
      this.#warn(error, 'a stream could not be packed; it stays as it is');
    }
    if (this.#queue.size > 0) this.#schedulePack(delay);
  }

  async #trim(): Promise<void> {
    const { calls, streams } = this.#parts;
    const retention = streams?.retention;
    if (retention === undefined || this.#closed) return;
    let delay = PAUSE_MS;
    try {
      const at = this.#cursor === undefined ? {} : { cursor: this.#cursor };
      const { cursor } = await calls.inTime((store) => store.trim({ ...retention, ...at, limit: STREAMS_PER_CALL }));
      this.#cursor = cursor ?? undefined;
      if (cursor === null) delay = ROUND_MS;
    } catch (error) {
      delay = RETRY_MS;
      this.#warn(error, 'old chunks could not be removed; they are tried again');
    }
    this.#scheduleRound(delay);
  }

  #warn(error: unknown, what: string): void {
    this.#parts.logger.warn({ code: codeOf(error), err: error }, what);
  }
}
