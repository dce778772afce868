/** Runs seeds as tests. `SEED=<n>` runs that one and prints its history, `SEEDS=<n>` runs so many in all. */

import { expect, it } from 'vitest';
import { simulate } from './simulate.ts';

const SEEDS = Number(process.env['SEEDS'] ?? 3_000);
const ONE = process.env['SEED'];
const PER_TEST = 250;

/** The share of one test file of several: every `of`-th seed, from `first` on. */
export function simulateSeeds({ first, of }: { first: number; of: number }): void {
  if (ONE !== undefined) {
    if (Number(ONE) % of === first) it(`keeps its promises in seed ${ONE}`, () => replay(Number(ONE)));
    else it.skip(`seed ${ONE} is another file's`, () => undefined);
    return;
  }
  const seeds = Array.from({ length: Math.ceil((SEEDS - first) / of) }, (_, index) => first + index * of);
  for (let start = 0; start < seeds.length; start += PER_TEST) {
    const some = seeds.slice(start, start + PER_TEST);
    it(`keeps its promises in ${some.length} seeds from ${some[0]} on`, { timeout: 120_000 }, () => runAll(some));
  }
}

async function runAll(seeds: number[]): Promise<void> {
  for (const seed of seeds) {
    const { violation } = await simulate(seed);
    expect(violation, `SEED=${seed} npx vitest run test/simulation`).toBeUndefined();
  }
}

async function replay(seed: number): Promise<void> {
  const lines: string[] = [];
  const { violation } = await simulate(seed, { log: (line) => lines.push(line) });
  process.stdout.write(`${lines.join('\n')}\n`);
  expect(violation).toBeUndefined();
}
