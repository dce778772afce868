import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deathsOf, flawsAfter, killTrip, openWorld } from '../crash/trips.ts';
import type { World } from '../crash/trips.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

describe('an agent whose process gets SIGKILL', () => {
  it.each(['before', 'after'] as const)('%s any of its writes, goes on in the next process', async (when) => {
    const whole = await killTrip(world, undefined);
    const { flaws, killed } = await flawsAfter(world, deathsOf(whole.writes, when));
    expect(flaws).toEqual([]);
    expect(killed.filter(({ died }) => died).length).toBeGreaterThan(20);
  });
});
