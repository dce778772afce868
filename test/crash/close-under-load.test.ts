import { expect, it, describe, afterEach } from 'vitest';
import { effectsOf, openFleet } from './fleet.ts';
import type { Fleet } from './fleet.ts';

const RUNS = 24;

let fleet: Fleet | undefined;
afterEach(() => fleet?.close());

describe('SIGTERM under load', () => {
  it.each([
    { moment: 'as tools and steps work', minimum: 8, graceMs: 5_000, repeats: false },
    { moment: 'with no time left for what works', minimum: 8, graceMs: 0, repeats: true },
    { moment: 'as models answer', minimum: 30, graceMs: 5_000, repeats: false },
  ])(
    '$moment, leaves each run to the next process, where it goes on within a second',
    async ({ minimum, graceMs, repeats }) => {
      fleet = await openFleet({ pacingMs: 4 });
      const { live, runs, ended, attempts, model, witness } = fleet;
      const first = live({ runs: RUNS, graceMs, workMs: 300 });
      await first.message(({ kind }) => kind === 'started');
      await expect.poll(() => witness.records().length, { interval: 5, timeout: 20_000 }).toBeGreaterThan(minimum);
      first.kill('SIGTERM');
      expect((await first.ended).code).toBe(0);
      const left = await runs();
      expect(left).toHaveLength(RUNS);
      expect(left.filter(({ status }) => status === 'running')).toEqual([]);
      const unended = left.filter(({ status }) => status !== 'completed').map(({ id }) => id);
      expect(unended.length).toBeGreaterThan(10);
      expect(first.messages.filter(({ kind }) => kind === 'warning')).toEqual([]);

      const second = live({ runs: 0, workMs: 50 });
      await expect.poll(ended, { interval: 20, timeout: 20_000 }).toBe(true);
      second.kill('SIGTERM');
      expect((await second.ended).code).toBe(0);

      const open = second.messages.find((message) => message.kind === 'open');
      const [openedAt = 0, processAt = 0] = [open?.at, open?.processAt];
      const goesOn = unended.map((id) =>
        second.messages.find((message) => message.kind === 'claimed' && message.run === id),
      );
      const last = Math.max(...goesOn.map((message) => (message?.kind === 'claimed' ? message.at : Infinity)));
      const closed = first.messages.find((message) => message.kind === 'closed');
      console.log(
        `closed in ${Math.round(closed?.tookMs ?? 0)} ms; ${unended.length} runs went on at most ${last - openedAt} ms after the runtime was created, ${Math.round(last - processAt)} ms after the process began`,
      );
      expect(last - openedAt).toBeLessThan(1_000);
      const warnings = second.messages.filter((message) => message.kind === 'warning').map(({ message }) => message);
      // Of a turn that was cut off.
      expect(warnings.filter((message) => !repeats || !message.includes('it is tried again'))).toEqual([]);

      expect(attempts().size).toBe(effectsOf(RUNS));
      const expected = repeats ? /^1(,2)?$/ : /^1$/;
      expect([...attempts()].filter(([, of]) => !expected.test(of.join()))).toEqual([]);
      const asked = Map.groupBy(model.log, ({ conversation }) => conversation);
      // No time: whoever was asked is asked again.
      if (!repeats) expect([...asked.values()].filter((requests) => requests.length > 1)).toEqual([]);
    },
    60_000,
  );
});
