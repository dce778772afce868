import { expect, it } from 'vitest';
import type { JournalEvent } from '../../src/runtime/event.ts';
import { ReleaseQueue } from '../../src/runtime/release.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';

/** Milliseconds per completion of a replay so long. */
async function costOf(steps: number): Promise<number> {
  const seqs: number[] = [];
  let rested = (): void => {};
  const rest = new Promise<void>((resolve) => (rested = resolve));
  const queue = new ReleaseQueue({
    clock: { ...manualClock(), settle: () => Promise.resolve() },
    deliver: ({ seq }) => seqs.push(seq) > 0,
    busyAgents: () => [],
    onRest: rested,
    broken: (error) => {
      throw error;
    },
  });
  const event: JournalEvent = { type: 'step_completed', key: 'step', at: 0, hasValue: false, value: undefined };
  queue.load(Array.from({ length: steps }, (_, seq) => ({ seq, event })));
  const from = performance.now();
  queue.kick();
  await rest;
  const took = performance.now() - from;
  expect(seqs).toEqual(Array.from({ length: steps }, (_, seq) => seq));
  expect(queue.empty).toBe(true);
  return took / steps;
}

it('a completion costs the same in a replay of 200,000 as in one of 10,000', async () => {
  await costOf(10_000);
  const short = Math.max(await costOf(10_000), await costOf(10_000));
  // The better of two: other work on the machine must not decide.
  const long = Math.min(await costOf(200_000), await costOf(200_000));
  expect(long).toBeLessThan(short * 8);
});
