import { Redis } from 'ioredis';
import { afterAll, beforeAll, it } from 'vitest';
import { redisStore } from '../../src/redis.ts';
import type { Store } from '../../src/runtime/store.ts';
import { upstashStore } from '../../src/upstash.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';
import { startUpstashProxy } from '../support/upstash-proxy.ts';
import type { UpstashProxy } from '../support/upstash-proxy.ts';
import { compareHistories } from './compare-histories.ts';

/** Calls go to one and to the other. */
function taking(turns: [Store, Store]): Store {
  let call = 0;
  return new Proxy(turns[0], {
    get(_, property: keyof Store) {
      if (property === 'close') return () => Promise.all(turns.map((store) => store.close()));
      return turns[(call += 1) % 2]?.[property];
    },
  });
}

describeUnless(noRedis, 'random histories', () => {
  let server: RedisServer;
  let proxy: UpstashProxy;
  let client: Redis;
  let played = 0;
  beforeAll(async () => {
    server = await startRedis();
    proxy = await startUpstashProxy(server.url);
    client = new Redis(server.url);
  });
  afterAll(async () => {
    await client.quit();
    await proxy.close();
    await server.remove();
  });

  it('have the same answers and leave the same state on Redis as in memory', async () => {
    await compareHistories((clock) => redisStore({ client, namespace: `h${(played += 1)}`, clock }), { many: 100 });
  }, 120_000);

  it('have so on one namespace that is used over TCP and over REST in turn', async () => {
    const { url, token } = proxy;
    await compareHistories(
      (clock) => {
        const shared = { namespace: `h${(played += 1)}`, clock };
        return taking([redisStore({ client, ...shared }), upstashStore({ url, token, ...shared })]);
      },
      { many: 50 },
    );
  }, 120_000);
});
