import { createHook, sleep, step, workflow } from 'everturn';
import { describe, expect, it } from 'vitest';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { processes } from './support.ts';

/** Waits for one of two hooks, then for something that is no step, while the other hook is open. */
function racing(clock: ManualClock, plainMs: number) {
  return workflow('racing', async () => {
    const answer = await Promise.race([createHook<string>({ token: 'a' }), createHook<string>({ token: 'b' })]);
    await new Promise<void>((resolve) => clock.schedule(resolve, plainMs));
    await step('save', () => answer);
    await createHook({ token: 'second' });
    return answer;
  });
}

describe('code that awaits something plain while a durable wait is open', () => {
  it('runs again elsewhere if its process dies', async () => {
    const { clock, inner, open, settle } = processes();
    const flow = racing(clock, 200);
    const first = open({ workflows: [flow] });
    await first.start(flow, { id: 'run' });
    await settle();
    await first.resumeHook('a', 'yes');
    await settle();
    expect((await inner.get('run'))?.status).toBe('waiting');
    first.kill();
    const second = open({ workflows: [flow] });
    await clock.advance('11s');
    await second.resumeHook('second', null);
    await clock.advance('1s');
    expect(await second.getRun('run').result()).toBe('yes');
  });

  it('wakes its run if its continuation was dropped meanwhile', async () => {
    const { clock, logs, open, settle } = processes();
    const flow = racing(clock, 300);
    const other = workflow('other', async () => createHook({ token: 'other' }));
    const runtime = open({ workflows: [flow, other], worker: { warm: { max: 1, ms: 30_000 } } });
    await runtime.start(flow, { id: 'run' });
    await settle();
    await runtime.resumeHook('a', 'yes');
    await settle();
    await runtime.start(other);
    await settle();
    await clock.advance(300);
    expect(logs.some(({ message }) => message.includes('put this await into step()'))).toBe(true);
    await clock.advance(400);
    await runtime.resumeHook('second', null);
    await clock.advance(1_000);
    expect(await runtime.getRun('run').result()).toBe('yes');
  });

  it('is looked at ever more rarely, and costs a row in the end', async () => {
    const { clock, inner, open, settle } = processes();
    const flow = workflow('flow', () => Promise.all([step('one', () => 1), createHook({ token: 'late' })]));
    const runtime = open({ workflows: [flow] });
    await runtime.start(flow, { id: 'run' });
    await settle();
    const due: Array<number | null> = [];
    for (let hour = 0; hour < 12; hour += 1) {
      const row = await inner.get('run');
      expect(row?.status).toBe('waiting');
      const { dueAt = null } = row ?? {};
      due.push(dueAt === null ? null : dueAt - clock.now());
      await clock.advance(dueAt === null ? 1 : dueAt - clock.now());
      await settle();
    }
    expect(due.slice(0, 4)).toEqual([10_000, 10_000, 20_000, 40_000]);
    expect(due.at(-1)).toBeNull();
    await runtime.resumeHook('late', 2);
    expect(await runtime.getRun('run').result()).toEqual([1, 2]);
  });

  it('is no divergence on replay, however slow it is', async () => {
    const { clock, open, settle } = processes();
    const flow = racing(clock, 5_000);
    const first = open({ workflows: [flow] });
    await first.start(flow, { id: 'run' });
    await settle();
    await first.resumeHook('a', 'yes');
    await clock.advance('5s');
    await settle();
    first.kill();
    const second = open({ workflows: [flow] });
    await second.resumeHook('second', null);
    await clock.advance('6s');
    expect(await second.getRun('run').result()).toBe('yes');
  });
});

describe('a journal that the code has left', () => {
  it('parks the run at once where the code asks for something else, and soon where it asks for nothing', async () => {
    for (const [asks, after] of [
      [true, '1s'],
      [false, '12s'],
    ] as const) {
      const { clock, inner, open, settle } = processes();
      const before = workflow('flow', async () => {
        await step('old', () => 1);
        await sleep('1 hour');
      });
      const now = workflow('flow', async () => {
        if (asks) await step('new', () => 1);
        else await createHook({ token: 'never' });
      });
      const first = open({ workflows: [before] });
      await first.start(before, { id: 'run' });
      await settle();
      first.kill();
      open({ workflows: [now] });
      await clock.advance('1 hour');
      await clock.advance(after);
      expect(await inner.get('run')).toMatchObject({ status: 'parked', parked: { code: 'divergence' } });
    }
  });
});
