/** Minutes long: `EVERTURN_SOAK_SECONDS` makes them shorter, for a look. */

import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeOnStores } from '../support/store-places.ts';
import type { StorePlace } from '../support/store-places.ts';
import { soak } from './soak/soak.ts';
import type { SoakOptions } from './soak/soak.ts';

const LEASE_MS = 3_000;
const RUNS = 12;

type Place = Pick<SoakOptions, 'store' | 'connections'>;

/** All four workers within ten seconds, one after the other. */
async function checkRolling(place: Place): Promise<void> {
  const replace = { everyMs: 2_500, how: 'SIGTERM', workers: 4 } as const;
  await check({ ...place, seconds: seconds(300), runs: RUNS, leaseMs: LEASE_MS, replace });
}

/** One of four dies every twenty seconds, the others live to the end. */
async function checkSoak(place: Place): Promise<void> {
  const replace = { everyMs: 20_000, how: 'SIGKILL', workers: 1 } as const;
  const { heap, connections } = await check({
    ...place,
    seconds: seconds(600),
    runs: RUNS,
    leaseMs: LEASE_MS,
    replace,
  });
  expect(heap[1]).toBeLessThan(heap[0] * 1.2 + 2);
  expect(connections[1]).toBeLessThanOrEqual(connections[0] + 2);
}

async function check(options: SoakOptions): Promise<Awaited<ReturnType<typeof soak>>> {
  const report = await soak(options);
  console.log(JSON.stringify(report));
  expect(report.violations).toEqual([]);
  expect(report.silentMs).toBeLessThan(LEASE_MS + 1_000);
  return report;
}

function seconds(wanted: number): number {
  return Number(process.env['EVERTURN_SOAK_SECONDS'] ?? wanted);
}

describeOnStores('long agents', (open) => {
  let place: StorePlace;
  beforeEach(async () => {
    place = await open();
  });
  afterEach(() => place.remove());

  it('go on while all workers are replaced every ten seconds', async () => {
    await checkRolling(place);
  }, 900_000);

  it('go on for ten minutes while a worker dies now and then, and take no more memory', async () => {
    await checkSoak(place);
  }, 900_000);
});
