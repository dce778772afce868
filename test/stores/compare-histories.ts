/** Plays the same random histories on a store and on the memory store, and compares all answers and what is left at the end. */

import * as fc from 'fast-check';
import { expect } from 'vitest';
import { memoryStore } from '../../src/memory.ts';
import type { Store } from '../../src/runtime/store.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { everything, move } from './history.ts';
import type { Move, Replica } from './history.ts';

interface Turn {
  move: Move;
  pause: number;
}

/** Makes an empty store on this clock. */
export type OpenStore = (clock: ManualClock) => Store | Promise<Store>;

const history: fc.Arbitrary<Turn[]> = fc.array(
  fc.record({ move, pause: fc.constantFrom(0, 0, 0, 1, 50, 700, 1_000) }),
  { minLength: 10, maxLength: 60, size: 'max' },
);

async function compare(turns: Turn[], open: OpenStore): Promise<void> {
  const clock = manualClock();
  const reference: Replica = { store: memoryStore({ clock }), tokens: new Map() };
  const other: Replica = { store: await open(clock), tokens: new Map() };
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

/** `HISTORIES` in the environment sets how many. */
export async function compareHistories(open: OpenStore, { many }: { many: number }): Promise<void> {
  await fc.assert(
    fc.asyncProperty(history, (turns) => compare(turns, open)),
    { numRuns: Number(process.env['HISTORIES'] ?? many), endOnFailure: false },
  );
}
