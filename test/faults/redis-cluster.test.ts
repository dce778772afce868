import type { Store } from 'everturn';
import { redisStore } from 'everturn/redis';
import { Cluster } from 'ioredis';
import { expect, it } from 'vitest';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis } from '../support/redis.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import type { RedisCluster } from '../support/redis-cluster.ts';
import { openTraffic } from '../workers/traffic.ts';

const RUNS = 8;

/** Three, each on a master of its own. */
async function namespacesOf(cluster: RedisCluster): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (let index = 0; found.size < 3; index += 1) {
    const master = await cluster.masterOf(`{ns${index}}:meta`);
    if (!found.has(master)) found.set(master, `ns${index}`);
  }
  return found;
}

describeUnless(noRedis, 'a cluster of three masters with a replica each', () => {
  it('goes on with all runs of each namespace after a master was killed under load', async () => {
    const cluster = await startRedisCluster();
    const clients: Cluster[] = [];
    const open = (namespace: string) => (): Store => {
      const client = new Cluster(cluster.ports.map((port) => ({ host: '127.0.0.1', port })));
      client.on('error', () => {});
      clients.push(client);
      return redisStore({ client, namespace });
    };
    const namespaces = await namespacesOf(cluster);
    const [victim = 0] = namespaces.keys();
    const all = [...namespaces.values()].map((namespace) => {
      const store = open(namespace);
      return openTraffic({ store, direct: store, bodyMs: 200 });
    });
    try {
      const started = await Promise.all(all.map((traffic) => traffic.start(RUNS)));
      await Promise.all(all.map((traffic) => traffic.bodies(3 * RUNS)));
      const killed = performance.now();
      await cluster.kill(victim);
      for (const [index, traffic] of all.entries()) {
        expect(await traffic.flaws(started[index] ?? [])).toEqual([]);
        const again = `${traffic.repeated()} of ${12 * RUNS} bodies ran again`;
        console.log(`namespace ${index}: done ${Math.round(performance.now() - killed)} ms after the kill, ${again}`);
      }
      const [hit] = all;
      expect(hit?.log.map(({ code }) => code)).toContain('store_unavailable');
      expect(await cluster.masterOf(`{${namespaces.get(victim)}}:meta`)).not.toBe(victim);
      const later = await Promise.all(all.map((traffic) => traffic.start(RUNS)));
      for (const [index, traffic] of all.entries()) expect(await traffic.flaws(later[index] ?? [])).toEqual([]);
    } finally {
      await Promise.all(all.map((traffic) => traffic.close()));
      for (const client of clients) client.disconnect();
      await cluster.remove();
    }
  });
});
