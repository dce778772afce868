/**
 * Redis as Upstash offers it over REST, before a real `redis-server`: `/`, `/pipeline`, `/multi-exec` and `/subscribe/{channel}`, with its
 * encoding, its limit and its refusals. A test counts requests, and makes the network lose them.
 */

import { Buffer } from 'node:buffer';
import type { AddressInfo } from 'node:net';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { serve } from '@hono/node-server';
import type { HttpBindings } from '@hono/node-server';
import { Hono } from 'hono';
import type { Context } from 'hono';
import { streamSSE } from 'hono/streaming';
import { Redis } from 'ioredis';

/** What becomes of a request. */
export type Fate = 'go' | 'drop request' | 'drop answer' | 'refuse' | { delayMs: number };

export interface UpstashProxy {
  url: string;
  token: string;
  /** Asked for each request but subscriptions. */
  fate: (path: string) => Fate;
  /** Requests that reached the server, and commands in them; inner ones of scripts do not count here. */
  readonly counted: { requests: number; commands: number; subscriptions: number };
  /** Ends all subscriptions without a word. */
  killSubscriptions(): void;
  close(): Promise<void>;
}

type Env = { Bindings: HttpBindings };
type Command = Array<string | number>;

const MAX_REQUEST_BYTES = 1_048_576;
const BLOCKING = /^(blpop|brpop|brpoplpush|blmove|blmpop|bzpopmin|bzpopmax|bzmpop|wait|monitor|p?subscribe|config)$/i;

export async function startUpstashProxy(redisUrl: string): Promise<UpstashProxy> {
  const redis = new Redis(redisUrl);
  redis.on('error', () => {});
  const subscriptions = new Set<() => void>();
  const counted = { requests: 0, commands: 0, subscriptions: 0 };
  const token = 'a-token';
  const app = new Hono<Env>();

  app.use(async (c, next) => {
    if (c.req.header('authorization') !== `Bearer ${token}`)
      return c.json({ error: 'Unauthorized: invalid or missing auth token' }, 401);
    return next();
  });
  const answer = async (c: Context<Env>, run: (body: unknown) => Promise<unknown>): Promise<Response> => {
    const fate = proxy.fate(c.req.path);
    if (fate === 'drop request') return drop(c);
    if (fate === 'refuse') return c.json({ error: 'an internal error' }, 500);
    if (typeof fate === 'object') await new Promise((resolve) => setTimeout(resolve, fate.delayMs));
    const body = await c.req.text();
    const size = Buffer.byteLength(body);
    if (size > MAX_REQUEST_BYTES)
      return c.json(
        { error: `ERR max request size exceeded. Limit: ${MAX_REQUEST_BYTES} bytes, Actual: ${size} bytes` },
        413,
      );
    counted.requests += 1;
    const result = await run(JSON.parse(body));
    return fate === 'drop answer' ? drop(c) : c.json(result as object);
  };
  const encoder = (c: Context<Env>): ((value: unknown) => unknown) =>
    c.req.header('upstash-encoding') === 'base64' ? toBase64 : toText;

  app.post('/', (c) =>
    answer(c, async (body) => {
      counted.commands += 1;
      return outcome(redis, { command: body as Command, encode: encoder(c) });
    }),
  );
  app.post('/pipeline', (c) =>
    answer(c, async (body) => {
      const commands = body as Command[];
      counted.commands += commands.length;
      return Promise.all(commands.map((command) => outcome(redis, { command, encode: encoder(c) })));
    }),
  );
  app.post('/multi-exec', (c) =>
    answer(c, async (body) => {
      const commands = body as Command[];
      counted.commands += commands.length;
      const multi = redis.multi();
      for (const [name = '', ...args] of commands) multi.callBuffer(String(name), ...args.map(String));
      const results = (await multi.exec()) ?? [];
      return results.map(([error, result]) =>
        error === null ? { result: encoder(c)(result) } : { error: error.message },
      );
    }),
  );
  app.post('/subscribe/:channel', (c) =>
    streamSSE(c, async (stream) => {
      counted.subscriptions += 1;
      const channel = c.req.param('channel');
      const subscriber = redis.duplicate();
      await new Promise<void>((end) => {
        subscriptions.add(end);
        stream.onAbort(end);
        subscriber.on('error', () => end());
        subscriber.on(
          'message',
          (_: string, text: string) => void stream.writeSSE({ data: `message,${channel},${text}` }),
        );
        subscriber.subscribe(channel).then(
          () => stream.writeSSE({ data: `subscribe,${channel},1` }),
          () => end(),
        );
      });
      subscriber.disconnect();
    }),
  );

  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });
  await new Promise<void>((resolve) => (server.listening ? resolve() : server.once('listening', resolve)));
  const { port } = server.address() as AddressInfo;
  const proxy: UpstashProxy = {
    url: `http://127.0.0.1:${port}`,
    token,
    fate: () => 'go',
    counted,
    killSubscriptions() {
      const ended = [...subscriptions];
      subscriptions.clear();
      for (const end of ended) end();
    },
    async close() {
      proxy.killSubscriptions();
      if ('closeAllConnections' in server) server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      redis.disconnect();
    },
  };
  return proxy;
}

/** The connection is cut; the client cannot know whether the request arrived. */
function drop(c: Context<Env>): Response {
  c.env.incoming.socket.destroy();
  return RESPONSE_ALREADY_SENT;
}

interface Asked {
  command: Command;
  encode: (value: unknown) => unknown;
}

async function outcome(redis: Redis, { command, encode }: Asked): Promise<{ result: unknown } | { error: string }> {
  const [name = '', ...args] = command.map(String);
  if (BLOCKING.test(name)) return { error: `ERR Command is not available: '${name}'` };
  try {
    return { result: encode(await redis.callBuffer(name, ...args)) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

function toBase64(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toBase64);
  if (!Buffer.isBuffer(value)) return value;
  return value.equals(Buffer.from('OK')) ? 'OK' : value.toString('base64');
}

function toText(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toText);
  return Buffer.isBuffer(value) ? value.toString('utf8') : value;
}
