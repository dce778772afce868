/** The simulation finds what it is there to find: each broken rule is noticed within a bounded number of seeds. */

import { describe, expect, it } from 'vitest';
import { simulate } from '../simulate.ts';
import type { SimulateOptions } from '../simulate.ts';
import { ENGINE_MUTANTS } from './engine-mutants.ts';
import { mutantStore, STORE_MUTANTS } from './store-mutants.ts';

const SEEDS = 600;

async function killedAt(options: SimulateOptions): Promise<{ seed: number; violation: string } | undefined> {
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const { violation } = await simulate(seed, options);
    if (violation !== undefined) return { seed, violation };
  }
  return undefined;
}

describe('the simulation notices a store where', () => {
  it.for(Object.entries(STORE_MUTANTS))('%s', { timeout: 60_000 }, async ([, mutant]) => {
    expect(await killedAt({ store: (world) => mutantStore(world, mutant) })).toBeDefined();
  });

  it('nothing is broken, and finds nothing', async () => {
    for (let seed = 0; seed < 20; seed += 1) {
      expect((await simulate(seed, { store: (world) => mutantStore(world, {}) })).violation).toBeUndefined();
    }
  });
});

describe('the simulation notices a runtime where', () => {
  it.for(Object.entries(ENGINE_MUTANTS))('%s', { timeout: 60_000 }, async ([, { between, profile, patch }]) => {
    const restore = patch?.();
    try {
      expect(
        await killedAt({
          ...(between === undefined ? {} : { between }),
          ...(profile === undefined ? {} : { profile }),
        }),
      ).toBeDefined();
    } finally {
      restore?.();
    }
  });
});
