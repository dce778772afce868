/** The same histories on SQLite: fewer, as each transition is a transaction. */

import { sqliteStore } from 'everturn/sqlite';
import type { Store } from 'everturn';
import { expect, it } from 'vitest';
import { simulate } from './simulate.ts';

const SEEDS = 120;

it(`keeps its promises on SQLite in ${SEEDS} seeds`, { timeout: 120_000 }, async () => {
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const stores: Store[] = [];
    const { violation } = await simulate(seed, {
      isAtOnce: false,
      store: (world) => {
        const store = sqliteStore({ path: ':memory:', clock: world.storeClock, watchMs: 0, synchronous: 'normal' });
        stores.push(store);
        return store;
      },
    });
    await Promise.all(stores.map((store) => store.close()));
    expect(violation, `seed ${seed}`).toBeUndefined();
  }
});
