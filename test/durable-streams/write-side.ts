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
  const app = new Hono();
  app.use(cors({ origin: '*', allowHeaders: ['if-none-match'] }));
  app.put(`${STREAMS_PATH}/*`, async ({ req }) => {
    const asked = await readAppend(req.raw);
    const known = streams.get(req.path);
    if (known !== undefined) return known.answerCreate(asked);
    if (asked.kind === 'refused') return asked.response;
    const stream = new Stream(runtime, { id: `run_${crypto.randomUUID()}`, contentType: asked.contentType });
    streams.set(req.path, stream);
    types.set(stream.id, asked.contentType);
    return stream.create(req.url, asked);
  });
  app.post(`${STREAMS_PATH}/*`, async ({ req }) => {
    const stream = streams.get(req.path);
    if (stream === undefined) return answer(404);
    return stream.append(await readAppend(req.raw));
  });
  app.delete(`${STREAMS_PATH}/*`, async ({ req }) => {
    const stream = streams.get(req.path);
    if (stream === undefined) return answer(404);
    streams.delete(req.path);
    await stream.drop();
    return answer(204);
  });
  app.get(`${STREAMS_PATH}/*`, ({ req }: Context) => {
    const { search } = new URL(req.url);
    const run = streams.get(req.path)?.id ?? 'run_unknown';
    return api.fetch(new Request(`http://localhost/api/runs/${run}/streams/default${search}`, req.raw));
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
  readonly #runtime: Runtime;
  readonly #contentType: string;
  #tail = 0;
  #isClosed = false;
  #createdClosed = false;
  /** Appends are one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(runtime: Runtime, { id, contentType }: { id: string; contentType: string }) {
    this.id = id;
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

  answerCreate(asked: AskedAppend): Response {
    if (asked.kind === 'refused') return asked.response;
    const isSame = mediaType(asked.contentType) === mediaType(this.#contentType) && asked.close === this.#createdClosed;
    return answer(isSame ? 200 : 409, this.#headers());
  }

  append(asked: AskedAppend): Promise<Response> {
    return this.#inTurn(async () => {
      if (asked.kind === 'refused') return asked.response;
      if (asked.isEmpty && !asked.close) return answer(400);
      if (this.#isClosed) return answer(asked.isEmpty ? 204 : 409, this.#headers());
      if (!asked.isEmpty && !asked.hasType) return answer(400);
      if (!asked.isEmpty && mediaType(asked.contentType) !== mediaType(this.#contentType)) return answer(409);
      if (!asked.isEmpty && asked.chunks.length === 0) return answer(400);
      await this.#write(asked);
      return answer(204, this.#headers());
    });
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
