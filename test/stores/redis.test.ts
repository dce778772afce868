import { afterAll, beforeAll, describe, it } from 'vitest';
import { redisStore } from '../../src/redis.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { describeStore } from '../../src/testing/store-suite/store-suite.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';

describeUnless(noRedis, 'redis', () => {
  let server: RedisServer;
  let made = 0;
  beforeAll(async () => void (server = await startRedis()));
  afterAll(() => server.remove());

  describeStore({ describe, it }, async () => {
    const clock = manualClock();
    const namespace = `test-${(made += 1)}`;
    const open = () => redisStore({ url: server.url, namespace, clock });
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
