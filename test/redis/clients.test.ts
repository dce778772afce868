import { inspect } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { redisStore } from '../../src/redis.ts';
import type { Hint, Store } from '../../src/runtime/store.ts';
import { emptyCommit, expectKind, newRun, only, startOne } from '../../src/testing/store-suite/kit.ts';
import { upstashStore } from '../../src/upstash.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';
import { startUpstashProxy } from '../support/upstash-proxy.ts';
import type { UpstashProxy } from '../support/upstash-proxy.ts';

const endings: Array<() => unknown> = [];
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

async function serve(settings: Record<string, string> = {}): Promise<RedisServer> {
  const server = await startRedis(settings);
  endings.push(server.remove);
  return server;
}

async function serveRest(): Promise<{ server: RedisServer; proxy: UpstashProxy; store: Store }> {
  const server = await serve();
  const proxy = await startUpstashProxy(server.url);
  endings.push(proxy.close);
  return { server, proxy, store: opened(upstashStore({ url: proxy.url, token: proxy.token })) };
}

function opened(store: Store): Store {
  endings.push(() => store.close());
  return store;
}

function connected(client: Redis): Redis {
  endings.push(() => client.disconnect());
  return client;
}

/** Resolves with each hint that a store tells. */
function hintsOf(store: Store): { next(kind: Hint['kind']): Promise<void> } {
  const heard: Hint[] = [];
  endings.push(store.watch?.((hint) => void heard.push(hint)) ?? (() => {}));
  return { next: (kind) => expect.poll(() => heard.map((hint) => hint.kind)).toContain(kind) };
}

const wholeOf = (error: unknown): string => inspect(error, { depth: 10 });

describeUnless(noRedis, 'clients of Redis', () => {
  it('tell no password and nothing that is stored in their errors', async () => {
    const { port } = await serve({ requirepass: 'right' });
    const wrong = opened(redisStore({ url: `redis://default:hidden-word@127.0.0.1:${port}` }));
    const refused: unknown = await wrong.get('r').catch((error: unknown) => error);
    expect(refused).toMatchObject({
      code: 'store_unavailable',
      details: { said: expect.stringContaining('WRONGPASS') },
    });
    expect(wholeOf(refused)).not.toContain('hidden-word');

    const { proxy, store } = await serveRest();
    await store.get('r');
    proxy.fate = () => 'refuse';
    const failed: unknown = await startOne(store, { id: 'hidden-word Unauthorized' }).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'store_unavailable', retryable: true });
    expect(wholeOf(failed)).not.toContain('hidden-word');
  });

  it('that connect with their first command, and put something before keys, hear hints', async () => {
    const { url } = await serve();
    const client = (options: object) => connected(new Redis(url, { keyPrefix: 'app:', ...options }));
    const hints = hintsOf(opened(redisStore({ client: client({ lazyConnect: true }) })));
    await hints.next('any');
    await startOne(opened(redisStore({ client: client({}) })));
    await hints.next('due');
  });

  it('survive what others say on the channel', async () => {
    const server = await serve();
    const hints = hintsOf(opened(redisStore({ url: server.url })));
    await hints.next('any');
    const admin = connected(new Redis(server.url));
    for (const text of ['', 'no hints at all', '{"a":1}']) await admin.publish('{everturn}:bell', text);
    await startOne(opened(redisStore({ url: server.url })));
    await hints.next('due');
  });

  it('connect again where the server has become a replica', async () => {
    const server = await serve();
    const store = opened(redisStore({ url: server.url }));
    await startOne(store);
    const admin = connected(new Redis(server.url));
    const made = async () => Number(/total_connections_received:(\d+)/.exec(await admin.info('stats'))?.[1]);
    const before = await made();
    await admin.replicaof('127.0.0.1', 1);
    await expect(startOne(store, { id: 'run_2' })).rejects.toMatchObject({ code: 'store_read_only', retryable: true });
    await admin.replicaof('NO', 'ONE');
    await expect.poll(() => store.get('run_1').catch(() => null)).toMatchObject({ status: 'ready' });
    expect(await made()).toBeGreaterThan(before);
  });

  it('who may not publish is refused before anything is written', async () => {
    const server = await serve();
    const admin = connected(new Redis(server.url));
    await admin.call('ACL', 'SETUSER', 'app', 'on', '>word', '+@all', '~*', 'resetchannels');
    const store = opened(redisStore({ url: server.url.replace('//', '//app:word@') }));
    await expect(startOne(store)).rejects.toMatchObject({
      code: 'store_unavailable',
      message: expect.stringContaining('channels'),
    });
    expect(await admin.keys('*')).toEqual([]);
  });

  it('whose server forgot the scripts give them in requests that fit, at Upstash', async () => {
    const { server, store } = await serveRest();
    const runs = Array.from({ length: 10 }, (_, index) => newRun({ id: `run_${index}` }));
    const started = await store.start(runs, { nonce: 'n', leaseMs: 60_000 });
    await connected(new Redis(server.url)).script('FLUSH');
    const event = new TextEncoder().encode('x'.repeat(87_000));
    const answers = await Promise.all(
      started.map((answer) => {
        const { run, token } = expectKind(answer, 'created');
        if (token === null) throw new Error('It was not claimed.');
        return store.commit([emptyCommit({ run: run.id, token, expect: 0, id: run.id, events: [event] })]);
      }),
    );
    expect(answers.map((answer) => only(answer).kind)).toEqual(Array(10).fill('applied'));
  });

  it('give up in time on a first call that nobody answers, at Upstash', async () => {
    const { proxy, store } = await serveRest();
    proxy.fate = () => ({ delayMs: 8_000 });
    const began = performance.now();
    await expect(store.get('r')).rejects.toMatchObject({ code: 'store_unavailable', retryable: true });
    expect(performance.now() - began).toBeLessThan(7_500);
  });

  it('read what others wrote as text and as bytes', async () => {
    const { server, store } = await serveRest();
    const other = opened(redisStore({ url: server.url }));
    const inputs = ['', 'plain \u0000\r\n\u007f', 'é\ufeff', '\ufeff'].map((text) => new TextEncoder().encode(text));
    inputs.push(Uint8Array.from({ length: 256 }, (_, index) => index));
    for (const [index, input] of inputs.entries()) {
      await startOne(other, { id: `tcp_${index}`, input });
      await startOne(store, { id: `rest_${index}`, input });
      for (const reader of [store, other])
        for (const id of [`tcp_${index}`, `rest_${index}`])
          expect([...((await reader.get(id))?.input ?? [])]).toEqual([...input]);
    }
  });

  it('may cut texts in the middle of a character', async () => {
    const store = opened(redisStore({ url: (await serve()).url }));
    const title = '\u{1f600}'.slice(0, 1);
    await startOne(store, { thread: title, attributes: { title, path: String.raw`c:\ud800\x` } });
    const found = await store.list({ attributes: { path: String.raw`c:\ud800\x` } });
    expect(only(found.items)).toMatchObject({ thread: '\ufffd', attributes: { title: '\ufffd' } });
  });
});

it('an Upstash without an address or a token is refused', () => {
  expect(() => upstashStore({ url: undefined, token: 't' })).toThrow(/`url` is missing/);
  expect(() => upstashStore({ url: 'http://x', token: '' })).toThrow(/`token` is missing/);
});

it('a cluster is a client', () => {
  const client = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true });
  expect(redisStore({ client }).name).toBe('redis');
});
