import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deathsOf, flawsAfter, killTrip, openWorld, recordingsHit } from './trips.ts';
import type { World } from './trips.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

/** All of both kinds in CI and in `npm run test:faults`; elsewhere the places before a write are sampled. */
const isWhole = process.env['CI'] !== undefined;
const EVERY_NTH_BEFORE = 5;

describe('an agent whose process gets SIGKILL', () => {
  it(`after any of its writes, and before ${isWhole ? 'any' : `every ${EVERY_NTH_BEFORE}th`}, goes on in the next process as if nothing had been`, async () => {
    const whole = await killTrip(world, undefined);
    expect(whole.died).toBe(false);
    const after = deathsOf(whole.writes, 'after');
    const before = deathsOf(whole.writes, 'before');
    const sampled = before.filter(({ at }) => at !== undefined).filter((_, index) => index % EVERY_NTH_BEFORE === 2);
    const { flaws, killed } = await flawsAfter(world, [...after, ...(isWhole ? before : sampled)]);
    expect(flaws).toEqual([]);
    if (isWhole) expect(killed.filter(({ died }) => died).length).toBeGreaterThan(whole.writes.length);
    const hit = recordingsHit(killed);
    // Events that end in the same moment may share a write in one life and not in another.
    expect(whole.writes.filter((write) => !write.split(', ').some((event) => hit.has(event)))).toEqual([]);
  }, 360_000);
});
