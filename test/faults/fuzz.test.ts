import { expect, it } from 'vitest';
import { describeOnStores } from '../support/store-places.ts';
import { fuzz } from './fuzz/fuzz.ts';

const RUNS = 200;

describeOnStores(`${RUNS} runs on four workers that are killed, and stopped past their leases`, (open) => {
  it('violate nothing', async () => {
    const place = await open();
    try {
      const { violations, tookMs, ...figures } = await fuzz({ ...place, runs: RUNS, seed: 1 });
      console.log(`${RUNS} runs in ${Math.round(tookMs)} ms: ${JSON.stringify(figures)}`);
      expect(violations).toEqual([]);
    } finally {
      await place.remove();
    }
  });
});
