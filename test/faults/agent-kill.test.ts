import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deathsOf, flawsAfter, flawsOf, killTrip, openWorld, pooled } from '../crash/trips.ts';
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

  it('three times, at other writes each time, goes on in the next process', async () => {
    const places = Array.from({ length: 24 }, (_, index) => [
      1 + ((index * 7) % 23),
      1 + ((index * 5) % 17),
      1 + ((index * 3) % 11),
    ]);
    const killed = await pooled(places, {
      width: 2,
      run: async ([first = 1, second = 1, third = 1]) => {
        const once = await killTrip(world, { when: first % 2 === 0 ? 'before' : 'after', nth: first });
        const twice = await killTrip(world, { when: second % 2 === 0 ? 'before' : 'after', nth: second }, once);
        return killTrip(world, { when: third % 2 === 0 ? 'before' : 'after', nth: third }, twice);
      },
    });
    expect(await flawsOf(world, killed)).toEqual([]);
    expect(killed.filter(({ deaths }) => deaths === 3).length).toBeGreaterThan(15);
  });
});
