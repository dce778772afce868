import { expect, it } from 'vitest';
import { createLingering } from '../../src/stores/lingering.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';

function counting(clock = manualClock()) {
  const calls: string[] = [];
  const line = createLingering({ open: () => calls.push('open'), close: () => calls.push('close'), clock });
  return { calls, clock, line };
}

it('stays open for who comes soon, and is closed five seconds after the last has left', async () => {
  const { calls, clock, line } = counting();
  line.enter();
  line.leave();
  await clock.advance(4_000);
  line.enter();
  await clock.advance(60_000);
  line.leave();
  await clock.advance(4_000);
  expect(calls).toEqual(['open']);
  await clock.advance(1_001);
  expect(calls).toEqual(['open', 'close']);
});

it('is closed once, and keeps no timer', async () => {
  const { calls, clock, line } = counting();
  line.enter();
  line.leave();
  line.end();
  line.end();
  expect([calls, clock.pending]).toEqual([['open', 'close'], 0]);
});

it('is opened anew in a process that was frozen longer than that', () => {
  let now = 0;
  const { calls, line } = counting({ ...manualClock(), monotonic: () => now });
  line.enter();
  line.leave();
  now = 60_000;
  line.enter();
  expect(calls).toEqual(['open', 'close', 'open']);
});
