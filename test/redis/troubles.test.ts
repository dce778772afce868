import { Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { redisStore } from '../../src/redis.ts';
import type { Hint, Store } from '../../src/runtime/store.ts';
import { startOne } from '../../src/testing/store-suite/kit.ts';
import { upstashStore } from '../../src/upstash.ts';
import { freePort } from '../support/free-port.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { startUpstashProxy } from '../support/upstash-proxy.ts';

const endings: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

async function serve(settings: Record<string, string> = {}): Promise<RedisServer> {
  const server = await startRedis(settings);
  endings.push(server.remove);
  return server;
}

function opened(store: Store): Store {
  endings.push(() => store.close());
  return store;
}

const unavailable = { code: 'store_unavailable' };

describeUnless(noRedis, 'a Redis that gives trouble', () => {
  it('refuses wrong credentials, and says so', async () => {
    const { port } = await serve({ requirepass: 'right' });
    const wrong = opened(redisStore({ url: `redis://:wrong@127.0.0.1:${port}` }));
    await expect(wrong.get('r')).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('credentials'),
    });
    await expect(wrong.get('r')).rejects.not.toMatchObject({ message: expect.stringContaining('wrong@') });
    const right = opened(redisStore({ url: `redis://:right@127.0.0.1:${port}` }));
    expect(await right.get('r')).toBeNull();
  });

  it('refuses a wrong token at Upstash, and says so', async () => {
    const proxy = await startUpstashProxy((await serve()).url);
    endings.push(proxy.close);
    const store = opened(upstashStore({ url: proxy.url, token: 'wrong' }));
    await expect(store.get('r')).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('credentials'),
    });
  });

  it.each(['redis', 'upstash'])('that is not there is unavailable soon, to %s', async (kind) => {
    const port = await freePort();
    const store = opened(
      kind === 'redis'
        ? redisStore({ url: `redis://127.0.0.1:${port}` })
        : upstashStore({ url: `http://127.0.0.1:${port}`, token: 't' }),
    );
    await expect(store.get('r')).rejects.toMatchObject({ ...unavailable, retryable: true });
  });

  it('that does not answer is given up after five seconds, by Upstash', async () => {
    const proxy = await startUpstashProxy((await serve()).url);
    endings.push(proxy.close);
    const store = opened(upstashStore({ url: proxy.url, token: proxy.token }));
    await store.get('r');
    proxy.fate = () => ({ delayMs: 8_000 });
    const began = performance.now();
    await expect(store.get('r')).rejects.toMatchObject(unavailable);
    expect(performance.now() - began).toBeLessThan(7_500);
  });

  it('is used again once it is back, with what it had', async () => {
    const server = await serve({ appendonly: 'yes', appendfsync: 'always' });
    const store = opened(redisStore({ url: server.url }));
    await startOne(store);
    await server.kill();
    await expect(store.get('run_1')).rejects.toMatchObject(unavailable);
    await server.restart();
    await expect.poll(() => store.get('run_1').catch(() => null)).toMatchObject({ status: 'ready' });
    await startOne(store, { id: 'run_2' });
  });

  it('is closed while its subscription begins again, and nobody is left with a failure', async () => {
    const server = await serve();
    const proxy = await startTcpProxy(server.port);
    endings.push(proxy.close);
    const store = opened(redisStore({ url: `redis://127.0.0.1:${proxy.port}` }));
    const failures: unknown[] = [];
    const failed = (error: unknown): void => void failures.push(error);
    process.on('unhandledRejection', failed);
    endings.push(async () => process.off('unhandledRejection', failed));
    const heard: Hint[] = [];
    store.watch?.((hint) => heard.push(hint));
    await expect.poll(() => heard).toContainEqual({ kind: 'any' });
    // The last that it hears after it has connected again, before it asks for the channel.
    proxy.cutsAnswer = (answer) => {
      proxy.loses.toClient ||= answer.includes('redis_version');
      return false;
    };
    const admin = new Redis(server.url);
    endings.push(() => admin.quit());
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await expect.poll(() => proxy.loses.toClient).toBe(true);
    // The server has taken the subscription; the answer to it is lost.
    await expect.poll(() => admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub')).toContain('sub=1');
    await store.close();
    await new Promise((resolve) => setImmediate(resolve));
    expect(failures).toEqual([]);
  });

  it('is opened though it was not there at first', async () => {
    const server = await serve();
    await server.kill();
    const store = opened(redisStore({ url: server.url }));
    await expect(store.get('r')).rejects.toMatchObject(unavailable);
    await server.restart();
    await expect.poll(() => store.get('r').catch(() => 'no')).toBeNull();
  });

  it.each(['allkeys-lru', 'volatile-ttl'])(
    'is refused if its eviction policy is %s, which is named',
    async (policy) => {
      const server = await serve({ 'maxmemory-policy': policy });
      const store = opened(redisStore({ url: server.url }));
      await expect(store.get('r')).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining(policy),
      });
      const proxy = await startUpstashProxy(server.url);
      endings.push(proxy.close);
      // CONFIG is refused there; INFO says it, too.
      const rest = opened(upstashStore({ url: proxy.url, token: proxy.token }));
      await expect(rest.get('r')).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining(policy),
      });
    },
  );

  it('is full when its memory is, and changes nothing', async () => {
    const server = await serve();
    const store = opened(redisStore({ url: server.url }));
    await startOne(store);
    const admin = new Redis(server.url);
    await admin.config('SET', 'maxmemory', '1mb');
    await expect(store.start([{ ...(await full(store)), id: 'run_2' }])).rejects.toMatchObject({ code: 'store_full' });
    await admin.config('SET', 'maxmemory', '0');
    await admin.quit();
    expect(await store.get('run_2')).toBeNull();
    expect((await store.list({})).items).toHaveLength(1);
  });

  it('is refused if a newer release wrote the namespace', async () => {
    const server = await serve();
    const admin = new Redis(server.url);
    await admin.hset('{everturn}:meta', 'format', '2');
    await admin.quit();
    const store = opened(redisStore({ url: server.url }));
    await expect(store.get('r')).rejects.toMatchObject({ code: 'store_newer', details: { found: 2, known: 1 } });
    const other = opened(redisStore({ url: server.url, namespace: 'other' }));
    expect(await other.get('r')).toBeNull();
  });

  it.each([
    [{ appendonly: 'yes', appendfsync: 'always' }, 'fsync'],
    [{ appendonly: 'yes', appendfsync: 'everysec' }, 'async'],
    [{ save: '3600 1' }, 'async'],
    [{}, 'none'],
  ] as const)('with %o keeps what it acknowledged as %s', async (settings, durability) => {
    const store = opened(redisStore({ url: (await serve(settings)).url }));
    await store.get('r');
    expect(store.capabilities.durability).toBe(durability);
  });

  it('knows scripts again that were flushed', async () => {
    const server = await serve();
    const store = opened(redisStore({ url: server.url }));
    await startOne(store);
    const admin = new Redis(server.url);
    await admin.script('FLUSH');
    await admin.quit();
    expect((await store.get('run_1'))?.status).toBe('ready');
  });
});

async function full(store: Store) {
  const run = await store.get('run_1');
  if (run === null) throw new Error('It is gone.');
  return run;
}

it.each([{}, { url: 'redis://x', client: {} as never }])('redisStore() takes either a url or a client', (options) => {
  expect(() => redisStore(options)).toThrow(/either `url` or `client`/);
});

it('a namespace that would break keys or channels is refused', () => {
  expect(() => redisStore({ url: 'redis://x', namespace: 'a{b' })).toThrow(/namespace "a\{b"/);
  expect(() => upstashStore({ url: 'http://x', token: 't', namespace: 'a/b' })).toThrow(/namespace "a\/b"/);
});
