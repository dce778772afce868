import { Redis } from 'ioredis';
import { afterAll, beforeAll, it } from 'vitest';
import { redisStore } from '../../src/redis.ts';
import { describeWithRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';
import { compareHistories } from './compare-histories.ts';

describeWithRedis('random histories', () => {
  let server: RedisServer;
  let client: Redis;
  let played = 0;
  beforeAll(async () => {
    server = await startRedis();
    client = new Redis(server.url);
  });
  afterAll(async () => {
    await client.quit();
    await server.remove();
  });

  it('have the same answers and leave the same state on Redis as in memory', async () => {
    await compareHistories((clock) => redisStore({ client, namespace: `h${(played += 1)}`, clock }), { many: 100 });
  }, 120_000);
});
