import { afterAll, beforeAll, expect, it } from 'vitest';
import { deathsOf, flawsAfter, killTrip, openWorld } from '../crash/trips.ts';
import type { World } from '../crash/trips.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';

/** A sample, since each death waits for the end of a lease; `EVERY_NTH=1` for all writes, which takes some minutes. */
const EVERY_NTH = Number(process.env['EVERY_NTH'] ?? 6);

describeUnless(noRedis, 'an agent on Redis whose process gets SIGKILL', () => {
  let server: RedisServer;
  let world: World;
  beforeAll(async () => {
    server = await startRedis({ appendonly: 'yes', appendfsync: 'always' });
    world = await openWorld(({ id }) => `${server.url}#${id}`);
  });
  afterAll(async () => {
    await world.close();
    await server.remove();
  });

  it(`after or before ${EVERY_NTH === 1 ? 'any' : `every ${EVERY_NTH}th`} of its writes goes on in the next process as if nothing had been`, async () => {
    const whole = await killTrip(world, undefined);
    expect(whole.died).toBe(false);
    const deaths = [...deathsOf(whole.writes, 'after'), ...deathsOf(whole.writes, 'before')];
    const { flaws, killed } = await flawsAfter(
      world,
      deaths.filter((_, index) => index % EVERY_NTH === 2 % EVERY_NTH),
    );
    expect(flaws).toEqual([]);
    expect(killed.some(({ died }) => died)).toBe(true);
  }, 600_000);
});
