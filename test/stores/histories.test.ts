import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryStore } from '../../src/memory.ts';
import { sqliteStore } from '../../src/sqlite.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { everything, move } from './history.ts';
import type { Move, Replica } from './history.ts';

interface Turn {
  move: Move;
  pause: number;
}

const history: fc.Arbitrary<Turn[]> = fc.array(
  fc.record({ move, pause: fc.constantFrom(0, 0, 0, 1, 50, 700, 1_000) }),
  { minLength: 10, maxLength: 60, size: 'max' },
);

async function compare(turns: Turn[]): Promise<void> {
  const clock = manualClock();
  const reference: Replica = { store: memoryStore({ clock }), tokens: new Map() };
  const other: Replica = { store: sqliteStore({ path: ':memory:', clock }), tokens: new Map() };
  try {
    for (const [index, turn] of turns.entries()) {
      const expected = await turn.move.run(reference, { index, clock });
      expect(await turn.move.run(other, { index, clock })).toEqual(expected);
      if (turn.pause > 0) await clock.advance(turn.pause);
    }
    expect(await everything(other.store)).toEqual(await everything(reference.store));
  } finally {
    await other.store.close();
  }
}

describe('random histories', () => {
  it('have the same answers and leave the same state on SQLite as in memory', async () => {
    await fc.assert(fc.asyncProperty(history, compare), {
      numRuns: Number(process.env['HISTORIES'] ?? 200),
      endOnFailure: false,
    });
  }, 120_000);
});
