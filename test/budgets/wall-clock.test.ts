import { expect, it } from 'vitest';
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
