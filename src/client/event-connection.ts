/**
 * Server-sent events that survive their connection.
 *
 *  E1 Each event once, in order: after a cut the next request names the last id, and a half event is dropped.
 *  E2 The end is `[DONE]`, or that the server has nothing more (204). A body that ends without it was cut.
 *  E3 A connection without a byte for two heartbeats is dead, and so is one of before the network came back.
 *  E4 Tries end with patience, unless a connection got further or lived for a while: an answer that ends at once is no success.
 *  E5 An abort is a disconnect: nothing is sent.
 */

import { createParser } from 'eventsource-parser';
import type { EventSourceMessage } from 'eventsource-parser';
import { DONE, HEARTBEAT_MS } from '../streams/wire.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Environment } from './environment.ts';
import { toFailure, TransientFailure, unexpected } from './failure.ts';
import { createRetries } from './retries.ts';
import type { Retries } from './retries.ts';

export interface ConnectionOptions {
  environment: Environment;
  /** Asks for the events after `lastEventId`; the first time, if it is undefined, for what there is. */
  request(lastEventId: string | undefined, signal: AbortSignal): Promise<Response>;
  lastEventId?: string | undefined;
  patienceMs: number;
  signal: AbortSignal;
  /** Called with each response that has events. The position before its first event, if it tells. */
  onOpen?(response: Response): string | undefined;
}

/** What arrived together. */
export type Events = EventSourceMessage[];

const STALL_MS = 2 * HEARTBEAT_MS;
/** A connection that lived so long was good, though it brought nothing. */
const GOOD_MS = 10_000;

/**
 * Opens; null if there is nothing to read (204). Throws what the server refuses with, `connection_lost` when patience is spent, and the
 * reason of an abort; so does the generator.
 */
export async function connect(options: ConnectionOptions): Promise<AsyncGenerator<Events, void, undefined> | null> {
  const connection = new Connection(options);
  return (await connection.open()) ? connection.events() : null;
}

class Connection {
  readonly #options: ConnectionOptions;
  readonly #retries: Retries;
  #lastEventId: string | undefined;
  #yieldedId: string | undefined;
  #attempt: Attempt | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#retries = createRetries(options);
    this.#lastEventId = options.lastEventId;
  }

  /** False for 204. */
  async open(): Promise<boolean> {
    const { request, signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const attempt = new Attempt(this.#options);
      try {
        const response = await attempt.open((aborted) => request(this.#lastEventId, aborted));
        if (response === null) return false;
        const position = this.#options.onOpen?.(response);
        this.#lastEventId ??= position;
        this.#attempt = attempt;
        return true;
      } catch (error) {
        attempt.close();
        await this.#failed(error, attempt);
      }
    }
  }

  async *events(): AsyncGenerator<Events, void, undefined> {
    try {
      for (let isOpen = true; isOpen; isOpen = await this.open()) {
        const attempt = this.#attempt;
        if (attempt === undefined) return;
        try {
          // E2
          for (let events = await attempt.read(); events !== undefined; events = await attempt.read()) {
            const end = events.findIndex(({ data }) => data === DONE);
            const fresh = this.#note(end < 0 ? events : events.slice(0, end));
            if (fresh.length > 0) yield fresh;
            if (end >= 0) return;
          }
          await this.#failed(new TransientFailure('the connection was cut'), attempt);
        } catch (error) {
          await this.#failed(error, attempt);
        } finally {
          attempt.close();
        }
      }
    } finally {
      this.#attempt?.close();
    }
  }

  /** E1, E4. The beginning of a run has the position before its first chunk, so whoever comes back to that is told of it again. */
  #note(events: Events): Events {
    const fresh = events.filter(({ id }) => id === undefined || id !== this.#yieldedId);
    const last = fresh.findLast(({ id }) => id !== undefined)?.id;
    if (last === undefined) return fresh;
    this.#yieldedId = last;
    if (last === this.#lastEventId) return fresh;
    this.#retries.succeeded();
    this.#lastEventId = last;
    return fresh;
  }

  async #failed(error: unknown, attempt: Attempt): Promise<void> {
    this.#options.signal.throwIfAborted();
    if (DurableError.is(error)) throw error;
    if (error instanceof GoodNews) return;
    if (attempt.hadBytes && attempt.ageMs >= GOOD_MS) this.#retries.succeeded();
    const failure = error instanceof TransientFailure ? error : toTransient(error);
    await this.#retries.failed(failure, attempt.hadBytes ? 0 : Math.min(attempt.ageMs, STALL_MS));
  }
}

/** Not the fault of anybody: the next try is at once. */
class GoodNews extends TransientFailure {}

function toTransient(error: unknown): TransientFailure {
  return new TransientFailure(error instanceof Error ? error.message : String(error), { cause: error });
}

/** One request and its body. */
class Attempt {
  hadBytes = false;
  readonly #environment: Environment;
  readonly #controller = new AbortController();
  readonly #startedAt: number;
  readonly #release: () => void;
  #reader: ReadableStreamDefaultReader<string> | undefined;
  #heardAt: number;
  #found: Events = [];
  readonly #parser = createParser({ onEvent: (event) => void this.#found.push(event) });

  constructor({ environment, signal }: ConnectionOptions) {
    const { clock, network } = environment;
    this.#environment = environment;
    this.#startedAt = clock.monotonic();
    this.#heardAt = this.#startedAt;
    const abort = (): void => this.#controller.abort(signal.reason);
    signal.addEventListener('abort', abort);
    // E3
    const ignore = network.onNews((news) => {
      const silentMs = clock.monotonic() - this.#heardAt;
      if (news === 'online' || silentMs > HEARTBEAT_MS + 1_000) this.#cut(new GoodNews('the network came back'));
    });
    this.#release = () => {
      signal.removeEventListener('abort', abort);
      ignore();
    };
  }

  get ageMs(): number {
    return this.#environment.clock.monotonic() - this.#startedAt;
  }

  async open(request: (signal: AbortSignal) => Promise<Response>): Promise<Response | null> {
    const response = await this.#inTime(() => request(this.#controller.signal));
    if (response.status === 204) {
      this.close();
      return null;
    }
    if (!response.ok) throw await this.#inTime(() => toFailure(response));
    const type = response.headers.get('content-type');
    if (response.body === null || type?.startsWith('text/event-stream') !== true) {
      throw unexpected(response, `with ${type ?? 'no type'} in place of an event stream`);
    }
    this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    return response;
  }

  /** What comes next; undefined at the end of the body. */
  async read(): Promise<Events | undefined> {
    this.#found = [];
    while (this.#found.length === 0) {
      const next = await this.#inTime(() => this.#reader?.read());
      if (next === undefined || next.done) return undefined;
      this.#heardAt = this.#environment.clock.monotonic();
      this.hadBytes = true;
      this.#parser.feed(next.value);
    }
    return this.#found;
  }

  close(): void {
    this.#release();
    this.#controller.abort();
    // A body that failed has said so to `read`.
    this.#reader?.cancel().catch(() => undefined);
  }

  #cut(why: TransientFailure): void {
    this.#controller.abort(why);
  }

  /** E3. A request or a body that ignores its signal does not hold this up, and none begins after an abort. */
  async #inTime<T>(begin: () => Promise<T>): Promise<T>;
  async #inTime<T>(begin: () => Promise<T> | undefined): Promise<T | undefined>;
  async #inTime<T>(begin: () => Promise<T> | undefined): Promise<T | undefined> {
    const { signal } = this.#controller;
    signal.throwIfAborted();
    const cancel = this.#environment.clock.schedule(
      () => this.#cut(new TransientFailure('the server fell silent')),
      STALL_MS,
    );
    let abort = (): void => undefined;
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(signal.reason as Error);
      signal.addEventListener('abort', abort);
    });
    try {
      return await Promise.race([begin(), aborted]);
    } finally {
      cancel();
      signal.removeEventListener('abort', abort);
    }
  }
}
