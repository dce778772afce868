import { afterAll, beforeAll, expect, it } from 'vitest';
import { redisStore } from '../../src/redis.ts';
import { parseStoreUrl } from '../../src/cli/store-url.ts';
import { startOne } from '../../src/testing/store-suite/kit.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';
import { callEverturn } from './everturn.ts';

let server: RedisServer;

describeUnless(noRedis, 'the command line on Redis', () => {
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.remove());

  it('shows what is in a namespace, and nothing of another', async () => {
    const store = redisStore({ url: server.url, namespace: 'shop' });
    await startOne(store, { id: 'run_in_redis' });
    await store.close();
    const shown = await callEverturn(['inspect', 'runs', '--store', `${server.url}?namespace=shop`]);
    expect([shown.code, shown.stdout]).toEqual([0, expect.stringContaining('run_in_redis')]);
    const other = await callEverturn(['inspect', 'runs', '--store', server.url]);
    expect(other.stdout).not.toContain('run_in_redis');
  });

  it('says that a server is down without saying the password', async () => {
    const outcome = await callEverturn(['inspect', 'runs', '--store', 'redis://me:geheim@127.0.0.1:1']);
    expect([outcome.code, outcome.stderr]).toEqual([1, expect.stringContaining('127.0.0.1:1')]);
    expect(outcome.stderr).not.toContain('geheim');
  });

  it('reads where Upstash is, its token and the namespace', () => {
    expect(parseStoreUrl('upstash://a-token@eu1.upstash.io?namespace=shop')).toEqual({
      scheme: 'upstash',
      url: 'https://eu1.upstash.io',
      token: 'a-token',
      namespace: 'shop',
    });
    expect(() => parseStoreUrl('upstash://eu1.upstash.io')).toThrow('no token');
  });
});
