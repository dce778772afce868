import { describe, it } from 'vitest';
import { sqliteStore } from '../../src/sqlite.ts';
import { compareHistories } from './compare-histories.ts';

describe('random histories', () => {
  it('have the same answers and leave the same state on SQLite as in memory', async () => {
    await compareHistories((clock) => sqliteStore({ path: ':memory:', clock }), { many: 200 });
  }, 120_000);
});
