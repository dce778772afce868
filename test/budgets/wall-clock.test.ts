import { sleep, workflow } from 'everturn';
import type { Approval } from 'everturn';
import { expect, it, vi } from 'vitest';
import { createWorker, start } from './kit.ts';

const HOUR = 3_600_000;

it('a wall clock goes on while no process lives, and stands while its question waits', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  let calls = 0;
  const worker = createWorker({
    turns: [1, 1, 0],
    durable: { budget: { wallClock: '1 hour' } },
    // The process does not survive the first call.
    dig: () => ((calls += 1) === 1 ? new Promise(() => undefined) : held),
  });
  const runtime = start(worker);
  const run = await runtime.start(worker.agent, { prompt: 'dig' });
  await runtime.clock.settleAll();
  expect(worker.dug).toEqual([0]);
  await runtime.clock.advance(2 * HOUR);
  await runtime.restart();
  const { id, budget } = await runtime.pendingApproval(run);
  expect(budget).toMatchObject({ crossed: [{ of: 'run', limit: 'wallClock', allowed: HOUR }] });
  expect(budget?.crossed[0]?.used).toBeGreaterThanOrEqual(2 * HOUR);
  expect(worker.dug).toEqual([0]);
  await runtime.until(run, 'waiting');
  await runtime.clock.advance(5 * HOUR);
  await runtime.approvals.approve(id, { by: 'ada', input: { raise: { wallClock: 2 * HOUR } } });
  release();
  expect(await run.result()).toMatchObject({ text: 'All dug.' });
  expect((await runtime.approvals.list({ status: 'all' })).items).toHaveLength(1);
});

it('what two questions wait for at once stands it still once', async () => {
  const below = createWorker({
    id: 'digger',
    turns: [1, 0],
    durable: { budget: { turns: 1, wallClock: '3 hours' } },
    dig: () => sleep('4 hours'),
  });
  const job = workflow('job', () =>
    Promise.all(['a', 'b'].map(async (prompt) => (await below.agent.generate({ prompt })).text)),
  );
  const runtime = start(below, { workflows: [job] });
  const run = await runtime.start(job);
  await vi.waitFor(() => expect(below.dug).toHaveLength(2));
  await runtime.until(run, 'waiting');
  await runtime.clock.advance(4 * HOUR);
  const open = async (): Promise<Approval[]> => {
    const { items } = await runtime.approvals.list();
    expect(items).toHaveLength(2);
    return items;
  };
  const asked = await vi.waitFor(open);
  expect(asked.map(({ budget }) => budget?.crossed.map(({ limit }) => limit))).toEqual([
    ['turns', 'wallClock'],
    ['turns', 'wallClock'],
  ]);
  await runtime.clock.advance(2 * HOUR);
  const raise = { turns: 9, wallClock: HOUR / 2 };
  for (const { id } of asked) await runtime.approvals.approve(id, { by: 'ada', input: { raise } });
  // Four hours of work, and no more than four are allowed now.
  const again = await vi.waitFor(async () => {
    const items = await open();
    expect(items.some(({ id }) => asked.some((former) => former.id === id))).toBe(false);
    return items;
  });
  expect(again.map(({ budget }) => budget?.crossed)).toMatchObject([
    [{ limit: 'wallClock', used: 4 * HOUR }],
    [{ limit: 'wallClock', used: 4 * HOUR }],
  ]);
  for (const { id } of again) await runtime.approvals.approve(id, { by: 'ada' });
  expect(await run.result()).toEqual(['All dug.', 'All dug.']);
});
