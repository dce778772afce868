/**
 * The writes of the Durable Streams protocol by means of runs, in front of the read side of `createApp`: PUT starts a run, POST sends a
 * message to its hook, and the run writes what it holds to its stream. Reads go to the app as they came.
 */

import { createHook, DurableAgent, DurableError, getWritable, workflow } from 'everturn';
import type { Runtime, Store } from 'everturn';
import { createApp } from 'everturn/server';
import { Hono } from 'hono';
import type { Context } from 'hono';
import { cors } from 'hono/cors';
import { systemClock } from '../../src/runtime/clock.ts';
import { encodeOffset } from '../../src/streams/wire.ts';
import { LONG_POLL_MS } from '../../src/server/stream-response.ts';
import { readLifetime } from './lifetime.ts';
import type { Lifetime } from './lifetime.ts';
import { Producers, readProducer } from './producers.ts';
import type { ProducerAppend } from './producers.ts';
import { recordingLogger, scriptedModel, startRuntime } from '../agent/run-kit.ts';

interface Append {
  chunks: unknown[];
  close: boolean;
}

const log = workflow('log', async (token: string) => {
  const appends = createHook<Append>({ many: true, token });
  const writer = getWritable().getWriter();
  for await (const { chunks, close } of appends) {
    for (const chunk of chunks) await writer.write(chunk);
    if (!close) continue;
    await writer.close();
    return;
  }
});

export interface StreamServer {
  fetch: (request: Request) => Response | Promise<Response>;
  close(): Promise<void>;
}

export const STREAMS_PATH = '/v1/stream';
const MOST_BYTES = 1_000_000;

export function createStreamServer(store: Store): StreamServer {
  const logger = recordingLogger().logger;
  const support = new DurableAgent({ model: scriptedModel([]).model });
  const runtime = startRuntime({ store, agents: { support }, workflows: [log] });
  const streams = new Map<string, Stream>();
  const types = new Map<string, string>();
  const api = createApp(runtime, {
    authorize: () => ({ id: 'ann' }),
    streamType: ({ runId }) => types.get(runId),
    clock: impatientClock(),
    logger,
  });
  /** One whose life has ended is none. */
  const find = async (path: string): Promise<Stream | undefined> => {
    const stream = streams.get(path);
    if (stream === undefined || !stream.lifetime.hasEnded()) return stream;
    streams.delete(path);
    await stream.drop();
    return undefined;
  };
  const app = new Hono();
  app.use(cors({ origin: '*', allowHeaders: ['if-none-match'] }));
  app.put(`${STREAMS_PATH}/*`, async ({ req }) => {
    const asked = await readAppend(req.raw);
    const lifetime = readLifetime(req.raw.headers);
    if (lifetime === undefined) return answer(400);
    const known = await find(req.path);
    if (known !== undefined) return known.answerCreate(asked, lifetime);
    if (asked.kind === 'refused') return asked.response;
    const { contentType } = asked;
    const stream = new Stream(runtime, { id: `run_${crypto.randomUUID()}`, contentType, lifetime });
    streams.set(req.path, stream);
    types.set(stream.id, asked.contentType);
    return stream.create(req.url, asked);
  });
  app.post(`${STREAMS_PATH}/*`, async ({ req }) => {
    const stream = await find(req.path);
    if (stream === undefined) return answer(404);
    return stream.append(await readAppend(req.raw), req.raw.headers);
  });
  app.delete(`${STREAMS_PATH}/*`, async ({ req }) => {
    const stream = await find(req.path);
    if (stream === undefined) return answer(404);
    streams.delete(req.path);
    await stream.drop();
    return answer(204);
  });
  app.get(`${STREAMS_PATH}/*`, async ({ req }: Context) => {
    const { search } = new URL(req.url);
    const stream = await find(req.path);
    const run = stream?.id ?? 'run_unknown';
    if (req.raw.method === 'GET') stream?.lifetime.use();
    const response = await api.fetch(new Request(`http://localhost/api/runs/${run}/streams/default${search}`, req.raw));
    for (const [name, value] of Object.entries(stream?.lifetime.headers ?? {})) response.headers.set(name, value);
    return response;
  });
  return { fetch: (request) => app.fetch(request), close: () => runtime.close({ graceMs: 0 }) };
}

/** Long polls end early, as the suite waits for them. */
function impatientClock(): ReturnType<typeof systemClock> {
  const clock = systemClock();
  return { ...clock, schedule: (run, delay) => clock.schedule(run, delay === LONG_POLL_MS ? 1_000 : delay) };
}

type AskedAppend =
  | { kind: 'append'; contentType: string; hasType: boolean; chunks: unknown[]; isEmpty: boolean; close: boolean }
  | { kind: 'refused'; response: Response };

async function readAppend(request: Request): Promise<AskedAppend> {
  const type = request.headers.get('content-type');
  const contentType = type ?? 'application/octet-stream';
  const body = new Uint8Array(await request.arrayBuffer());
  if (body.length > MOST_BYTES) return { kind: 'refused', response: answer(413) };
  const chunks = body.length === 0 ? [] : toChunks(body, contentType);
  if (chunks === undefined) return { kind: 'refused', response: answer(400) };
  const close = request.headers.get('stream-closed') === 'true';
  return { kind: 'append', contentType, hasType: type !== null, chunks, isEmpty: body.length === 0, close };
}

/** Each message of an array is a chunk; bytes are one. */
function toChunks(body: Uint8Array, contentType: string): unknown[] | undefined {
  if (mediaType(contentType) !== 'application/json') return [body];
  try {
    const value = JSON.parse(new TextDecoder().decode(body)) as unknown;
    return Array.isArray(value) ? value : [value];
  } catch {
    return undefined;
  }
}

function mediaType(contentType: string): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
}

class Stream {
  readonly id: string;
  readonly lifetime: Lifetime;
  readonly #runtime: Runtime;
  readonly #contentType: string;
  #tail = 0;
  #isClosed = false;
  #createdClosed = false;
  readonly #producers = new Producers();
  /** The append that closed it. */
  #closedBy: string | undefined;
  /** Appends are one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    runtime: Runtime,
    { id, contentType, lifetime }: { id: string; contentType: string; lifetime: Lifetime },
  ) {
    this.id = id;
    this.lifetime = lifetime;
    this.#runtime = runtime;
    this.#contentType = contentType;
  }

  async create(url: string, asked: Extract<AskedAppend, { kind: 'append' }>): Promise<Response> {
    this.#createdClosed = asked.close;
    await this.#inTurn(async () => {
      await this.#runtime.start(log, { id: this.id, input: this.id });
      if (asked.chunks.length > 0 || asked.close) await this.#write(asked);
    });
    return answer(201, { ...this.#headers(), location: url });
  }

  answerCreate(asked: AskedAppend, lifetime: Lifetime): Response {
    if (asked.kind === 'refused') return asked.response;
    const isSame =
      mediaType(asked.contentType) === mediaType(this.#contentType) &&
      asked.close === this.#createdClosed &&
      lifetime.isSame(this.lifetime);
    return answer(isSame ? 200 : 409, this.#headers());
  }

  append(asked: AskedAppend, headers: Headers): Promise<Response> {
    return this.#inTurn(async () => {
      if (asked.kind === 'refused') return asked.response;
      const producer = readProducer(headers);
      const streamSeq = headers.get('stream-seq');
      if (producer === 'invalid' || (asked.isEmpty && !asked.close)) return answer(400);
      const refused = this.#refuse(asked, producer);
      if (refused !== undefined) return refused;
      const verdict = producer === undefined ? undefined : this.#producers.check(producer);
      if (verdict?.status !== undefined) return answer(verdict.status, { ...this.#headers(), ...verdict.headers });
      if (!this.#producers.isNextStreamSeq(streamSeq)) return answer(409);
      await this.#write(asked);
      this.#producers.accept({ producer, streamSeq });
      if (asked.close) this.#closedBy = JSON.stringify(producer);
      this.lifetime.use();
      const status = producer === undefined || asked.isEmpty ? 204 : 200;
      return answer(status, { ...this.#headers(), ...verdict?.headers });
    });
  }

  #refuse(asked: Extract<AskedAppend, { kind: 'append' }>, producer: ProducerAppend | undefined): Response | undefined {
    if (this.#isClosed) {
      const isAgain = producer === undefined ? asked.isEmpty : this.#closedBy === JSON.stringify(producer);
      return answer(isAgain ? 204 : 409, this.#headers());
    }
    if (asked.isEmpty) return undefined;
    if (!asked.hasType) return answer(400);
    if (mediaType(asked.contentType) !== mediaType(this.#contentType)) return answer(409);
    return asked.chunks.length === 0 ? answer(400) : undefined;
  }

  async drop(): Promise<void> {
    await this.#runtime.getRun(this.id).cancel();
  }

  /** Resolves when readers see it. */
  async #write({ chunks, close }: Append): Promise<void> {
    await this.#deliver({ chunks, close });
    const stored = this.#tail + chunks.length;
    while (this.#tail < stored) this.#tail += (await this.#next())?.chunks.length ?? 0;
    if (!close) return;
    await this.#next();
    this.#isClosed = true;
  }

  async #next(): Promise<{ chunks: unknown[] } | undefined> {
    const cursor = this.#runtime.streams.cursor({ run: this.id, stream: 'default', from: this.#tail });
    return cursor.next().finally(cursor.finish);
  }

  async #deliver(append: Append): Promise<void> {
    for (;;) {
      try {
        await this.#runtime.resumeHook(this.id, append);
        return;
      } catch (error) {
        // The run has not come to its hook yet.
        if (!DurableError.is(error, 'hook_not_found')) throw error;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  #headers(): Record<string, string> {
    return {
      'content-type': this.#contentType,
      'stream-next-offset': encodeOffset(this.#tail),
      ...(this.#isClosed ? { 'stream-closed': 'true' } : {}),
    };
  }
}

function answer(status: number, headers: Record<string, string> = {}): Response {
  return new Response(null, { status, headers: { 'x-content-type-options': 'nosniff', ...headers } });
}
