/**
 * A small store of one's own: a log of calls. Each call that may change something is written to a file, with the time at which it happened,
 * and is answered when it is on the disk; opening the file plays its calls again, on the memory store, which is the reference of the
 * contract and does the same at the same time. For one process at a time; the log is never shortened.
 *
 * It passes the suite that every store passes (`describeStore` of `everturn/testing`); docs/write-a-store.md goes through it.
 */

import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { deserialize, serialize } from 'node:v8';
import { DurableError } from 'everturn';
import type { Hint, Store } from 'everturn';
import { memoryStore } from 'everturn/memory';
import type { MemoryStoreOptions } from 'everturn/memory';

type Clock = NonNullable<MemoryStoreOptions['clock']>;

/** Calls that may change something; all others only read. */
const WRITES = [
  'start',
  'claim',
  'commit',
  'deliver',
  'control',
  'note',
  'secret',
  'gc',
  'trim',
  'compact',
  'putParts',
] as const satisfies ReadonlyArray<keyof Store>;

const READS = [
  'load',
  'read',
  'get',
  'list',
  'backlog',
  'limits',
  'hook',
  'listHooks',
  'thread',
  'ledger',
  'ledgerTotals',
  'getParts',
] as const satisfies ReadonlyArray<keyof Store>;

type Method = (typeof WRITES)[number] | (typeof READS)[number];

/** One frame of the log: when, what, with what. */
type Entry = [at: number, method: (typeof WRITES)[number], args: unknown[]];

/** Opens the log, or makes one. Throws `store_unavailable`. */
export async function logStore(path: string, clock: Clock): Promise<Store> {
  const file = await open(path, 'a+').catch((cause: unknown) => {
    throw unavailable(`Cannot open the log "${path}".`, cause);
  });
  return new LogStore(file, clock).restore();
}

class LogStore {
  readonly #file: FileHandle;
  readonly #memory: Store;
  readonly #clock: Clock;
  /** The moment that the call under way happens at: S3, and the same again when the log is played. */
  #now = 0;
  /** The mutex: each call waits for the one before it, so what a read answers is on the disk (S4). */
  #last: Promise<unknown> = Promise.resolve();
  #listeners = new Set<(hint: Hint) => void>();
  #hints: Hint[] = [];
  /** Memory is ahead of the log: nothing is answered any more. */
  #broken: DurableError | undefined;

  constructor(file: FileHandle, clock: Clock) {
    this.#file = file;
    this.#clock = clock;
    this.#memory = memoryStore({ clock: { ...clock, now: () => this.#now } });
    this.#memory.watch?.((hint) => this.#hints.push(hint));
  }

  /** Plays the log; what a death left half written at its end was never answered, and is cut off. */
  async restore(): Promise<Store> {
    const log = await this.#file.readFile();
    let end = 0;
    while (end + 4 <= log.length) {
      const next = end + 4 + log.readUInt32LE(end);
      if (next > log.length) break;
      const [at, method, args] = deserialize(log.subarray(end + 4, next)) as Entry;
      this.#now = at;
      await this.#call(method, args);
      end = next;
    }
    await this.#file.truncate(end);
    return this.#store();
  }

  #store(): Store {
    const methods: Record<string, unknown> = {};
    for (const method of READS) methods[method] = (...args: unknown[]) => this.#queue(() => this.#call(method, args));
    for (const method of WRITES) methods[method] = (...args: unknown[]) => this.#queue(() => this.#write(method, args));
    return {
      ...(methods as Pick<Store, Method>),
      name: 'log',
      capabilities: { ...this.#memory.capabilities, durability: 'fsync' },
      watch: (listener) => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
      close: async () => {
        if (this.#broken === closed) return;
        await this.#queue(async () => this.#file.close());
        this.#broken = closed;
      },
    };
  }

  #queue<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(async () => {
      if (this.#broken !== undefined) throw this.#broken;
      // Never back, as the clock of a machine may go.
      this.#now = Math.max(this.#now, this.#clock.now());
      return run();
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #write(method: Entry[1], args: unknown[]): Promise<unknown> {
    // The arguments as they are now: their owner may go on with them.
    const body = serialize([this.#now, method, args] satisfies Entry);
    const answer = await this.#call(method, args);
    if (!isIdle(method, answer)) await this.#append(body);
    this.#tell();
    return answer;
  }

  /** S1: after a failure the call may be in the log or not, and cannot be asked for: the store is opened anew. */
  async #append(body: Buffer): Promise<void> {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(body.length);
    try {
      await this.#file.appendFile(Buffer.concat([size, body]));
      await this.#file.datasync();
    } catch (cause) {
      this.#broken = unavailable('Cannot write to the log. Open the store anew when the disk is well.', cause);
      throw this.#broken;
    }
  }

  #call(method: Method, args: unknown[]): Promise<unknown> {
    return (this.#memory[method] as (...args: unknown[]) => Promise<unknown>)(...args);
  }

  /** S26: hints come after the transition is durable. */
  #tell(): void {
    for (const hint of this.#hints.splice(0)) for (const listener of this.#listeners) listener(hint);
  }
}

/** A claim that found nothing has changed nothing: a worker that polls would fill the disk. */
function isIdle(method: Entry[1], answer: unknown): boolean {
  return method === 'claim' && (answer as Awaited<ReturnType<Store['claim']>>).claims.length === 0;
}

const closed = unavailable('Cannot use the log store: it was closed. Open a new one.');

function unavailable(message: string, cause?: unknown): DurableError {
  return new DurableError('store_unavailable', message, {
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}
