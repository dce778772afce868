import { afterAll, beforeAll, describe, it } from 'vitest';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { describeStore } from '../../src/testing/store-suite/store-suite.ts';
import { upstashStore } from '../../src/upstash.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';
import { startUpstashProxy } from '../support/upstash-proxy.ts';
import type { UpstashProxy } from '../support/upstash-proxy.ts';

describeUnless(noRedis, 'upstash', () => {
  let server: RedisServer;
  let proxy: UpstashProxy;
  let made = 0;
  beforeAll(async () => {
    server = await startRedis();
    proxy = await startUpstashProxy(server.url);
  });
  afterAll(async () => {
    await proxy.close();
    await server.remove();
  });

  describeStore({ describe, it }, async () => {
    const clock = manualClock();
    const namespace = `test-${(made += 1)}`;
    const open = () => upstashStore({ url: proxy.url, token: proxy.token, namespace, clock });
    let store = open();
    return {
      store,
      advance: clock.advance,
      reopen: async () => {
        await store.close();
        return (store = open());
      },
      close: () => store.close(),
    };
  });
});
