import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stopApartFrom } from '../crash/fleet.ts';
import { fuzz } from './fuzz/fuzz.ts';
import type { FuzzOptions } from './fuzz/fuzz.ts';

const RUNS = 200;
const folder = mkdtempSync(join(tmpdir(), 'everturn-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function check(options: Omit<FuzzOptions, 'runs' | 'seed'>): Promise<void> {
  const report = await fuzz({ ...options, runs: RUNS, seed: 1 });
  const { violations, tookMs, ...figures } = report;
  console.log(`${RUNS} runs in ${Math.round(tookMs)} ms: ${JSON.stringify(figures)}`);
  expect(violations).toEqual([]);
}

describe(`${RUNS} runs on four workers that are killed, and stopped past their leases`, () => {
  it('violate nothing on a SQLite file', async () => {
    const file = join(folder, 'runs.db');
    await check({ store: `sqlite:${file}`, stop: (child) => stopApartFrom(file, child) });
  });
});
