import { afterEach, describe, expect, it } from 'vitest';
import { effectsOf, openFleet } from '../crash/fleet.ts';
import type { Fleet } from '../crash/fleet.ts';

const RUNS = 24;
const MOST_LIVES = 40;

let fleet: Fleet | undefined;
afterEach(() => fleet?.close());

/** The same sequence for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('processes that are killed again and again, at any time', () => {
  it.each([1, 2, 3, 4])(
    'leave no run undone and nothing recorded done twice (seed %i)',
    async (seed) => {
      fleet = await openFleet({ pacingMs: 12 });
      const { live, runs, ended, attempts } = fleet;
      const next = random(seed);
      let lives = 0;
      for (; lives < MOST_LIVES && !(lives > 0 && (await ended())); lives += 1) {
        const child = live({ runs: RUNS, workMs: 80 });
        await child.message(({ kind }) => kind === 'started');
        // Long enough for some progress: five deaths without any would park a run.
        await new Promise((resolve) => setTimeout(resolve, 120 + 200 * next()));
        child.kill('SIGKILL');
        await child.ended;
      }
      console.log(`${lives} lives`);
      expect((await runs()).map(({ status }) => status)).toEqual(Array.from({ length: RUNS }, () => 'completed'));
      expect(attempts().size).toBe(effectsOf(RUNS));
      for (const [key, of] of attempts()) {
        const rising = of.every((attempt, index) => index === 0 || attempt > (of[index - 1] ?? 0));
        expect([key, of, rising]).toEqual([key, of, true]);
      }
    },
    120_000,
  );
});
