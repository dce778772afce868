/**
 * Redis with its file synced once a second and at each write, in one process, between two, and under a hundred agents; and a claim
 * beside many runs that sleep. The floor is the plain client on the same server: one write of as many bytes.
 */

import { redisStore } from 'everturn/redis';
import { Redis } from 'ioredis';
import { startRedis } from '../../test/support/redis.ts';
import { kilobyte } from '../floors.ts';
import type { Bench, BenchContext, Figure } from '../report.ts';
import { measureAgents } from './agents.ts';
import { measureApart } from './apart.ts';
import { measureServer } from './figures.ts';
import type { Floor } from './figures.ts';
import { measureClaims } from './redis-claims.ts';

const DURABILITY = { everysec: 'async', always: 'fsync' } as const;
const name = 'redis';

export const redis: Bench = {
  name,
  leavesOut: 'a network between the processes and the server',
  run: async (context) => [
    ...(await measureSynced(context, 'everysec')),
    ...(await measureSynced(context, 'always')),
    await measureClaims(),
  ],
};

async function measureSynced(context: BenchContext, sync: keyof typeof DURABILITY): Promise<Figure[]> {
  const server = await startRedis({ appendonly: 'yes', appendfsync: sync });
  const client = new Redis(server.url);
  try {
    const store = redisStore({ url: server.url });
    const floor = floorOf(client);
    const alone = await measureServer(context, { name, store, floor, suffix: `, synced ${sync}` });
    const { durability } = store.capabilities;
    if (durability !== DURABILITY[sync])
      throw new Error(`With appendfsync ${sync} the store promises "${durability}".`);
    if (sync === 'always') return alone;
    const apart = await measureApart(context, { name, url: server.url, floor });
    return [...alone, ...apart, await measureAgents(context, { name, url: server.url })];
  } finally {
    client.disconnect();
    await server.remove();
  }
}

function floorOf(client: Redis): Floor {
  const body = JSON.stringify(kilobyte(0));
  const write = (): Promise<number> => client.rpush('floor', body);
  return {
    what: 'RPUSH of 1 KB',
    write,
    whatMany: 'RPUSH of 1 KB, all at once, per second',
    writeMany: (count) => Promise.all(Array.from({ length: count }, write)),
  };
}
