import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeUnless } from '../support/describe-unless.ts';
import { noPostgres, startPostgres } from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { deathsOf, flawsAfter, killTrip, openWorld } from './trips.ts';
import type { World } from './trips.ts';

let world: World;
let server: PostgresServer;

/** All of both kinds in CI; elsewhere they are sampled. */
const isWhole = process.env['CI'] !== undefined;

describeUnless(noPostgres, 'an agent on Postgres whose process gets SIGKILL', () => {
  beforeAll(async () => {
    server = await startPostgres({ max_connections: 300 });
    world = await openWorld(({ id }) => `${server.url}#${id.replace('-', '_')}`);
  }, 60_000);
  afterAll(async () => {
    await server.remove();
    await world.close();
  });

  it(`before and after ${isWhole ? 'any' : 'every sixth'} of its writes goes on in the next process as if nothing had been`, async () => {
    const whole = await killTrip(world, undefined);
    expect(whole.died).toBe(false);
    const all = (['before', 'after'] as const).flatMap((when) => deathsOf(whole.writes, when));
    const deaths = isWhole ? all : all.filter((_, index) => index % 6 === 1);
    const { flaws, killed } = await flawsAfter(world, deaths);
    expect(flaws).toEqual([]);
    expect(killed.filter(({ died }) => died).length).toBeGreaterThan(deaths.length / 2);
  }, 360_000);
});
