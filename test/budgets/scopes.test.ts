import { describe, expect, it } from 'vitest';
import { createWorker, DEAR, start, TURN } from './kit.ts';

describe('a budget of a thread', () => {
  it('counts all of its runs, and a raise holds for those after it', async () => {
    const worker = createWorker({ turns: [0], durable: { budget: { thread: { turns: 2 } } } });
    const runtime = start(worker);
    const say = () => runtime.start(worker.agent, { prompt: 'dig', thread: 't' });
    for (let n = 0; n < 2; n += 1) await (await say()).result();
    const third = await say();
    const { id, budget } = await runtime.pendingApproval(third);
    expect(budget?.crossed).toEqual([{ of: 'thread', limit: 'turns', used: 2, allowed: 2 }]);
    await runtime.approvals.approve(id, { by: 'ada', input: { raise: { turns: 2 } } });
    await third.result();
    await (await say()).result();
    const fifth = await runtime.pendingApproval(await say());
    expect(fifth.budget?.crossed).toEqual([{ of: 'thread', limit: 'turns', used: 4, allowed: 4 }]);
    const other = await runtime.start(worker.agent, { prompt: 'dig', thread: 'u' });
    expect(await other.result()).toMatchObject({ text: 'All dug.' });
  });

  it('is not that of a thread of the same name of another tenant', async () => {
    const worker = createWorker({ turns: [0], durable: { budget: { thread: { turns: 1 } } } });
    const runtime = start(worker);
    for (const tenant of ['x', 'y', undefined]) {
      const run = await runtime.start(worker.agent, {
        prompt: 'dig',
        thread: 't',
        ...(tenant === undefined ? {} : { tenant }),
      });
      expect(await run.result()).toMatchObject({ turns: 1 });
    }
  });
});

describe('a budget of a tenant', () => {
  it('is set for all agents of a runtime, asked about in each run of the tenant, and raised there for that run', async () => {
    const worker = createWorker({ turns: [0], durable: {} });
    const runtime = start(worker, { budget: { tenant: { usd: DEAR } } });
    const run = async (tenant: string) => runtime.start(worker.agent, { prompt: 'dig', tenant });
    await (await run('x')).result();
    for (const by of ['ada', 'bob']) {
      const next = await run('x');
      const { id, budget } = await runtime.pendingApproval(next);
      expect(budget?.crossed).toMatchObject([{ of: 'tenant', limit: 'usd', allowed: DEAR }]);
      await runtime.approvals.approve(id, { by, input: { raise: { usd: 1 } } });
      await next.result();
    }
    await (await run('y')).result();
    expect(await runtime.ledgerTotals({ tenant: 'x' })).toMatchObject({ turns: 3, nanoUsd: 6_000_000 });
  });

  it('may be that of a day or a month', async () => {
    const worker = createWorker({ turns: [0], durable: { budget: { tenant: { turns: 1, per: 'day' } } } });
    const runtime = start(worker);
    const run = async () => runtime.start(worker.agent, { prompt: 'dig', tenant: 'x' });
    await (await run()).result();
    const next = await run();
    const { id } = await runtime.pendingApproval(next);
    await runtime.approvals.deny(id, { by: 'ada' });
    await next.result();
    await runtime.clock.advance(86_400_000);
    expect(await (await run()).result()).toMatchObject({ text: 'All dug.' });
  });

  it('may be asked for by tenant, and some have none', async () => {
    const plans: Record<string, number> = { small: 1, large: 3 };
    const worker = createWorker({
      turns: [1, 1, 0],
      durable: {
        budget: { tenant: async (tenant) => (tenant === 'free' ? undefined : { turns: plans[tenant] ?? 0.5 }) },
      },
    });
    const runtime = start(worker);
    const run = async (tenant: string) => runtime.start(worker.agent, { prompt: 'dig', tenant });
    expect(await (await run('large')).result()).toMatchObject({ turns: 3 });
    expect(await (await run('free')).result()).toMatchObject({ turns: 3 });
    expect((await runtime.pendingApproval(await run('small'))).budget?.crossed).toMatchObject([
      { used: 1, allowed: 1 },
    ]);
    await expect((await run('strange')).result()).rejects.toMatchObject({ cause: { code: 'invalid_argument' } });
  });

  it('lets each of its runs that go on at once begin at most one turn more', async () => {
    const runs = 5;
    let release = (): void => undefined;
    const open = new Promise<void>((resolve) => (release = resolve));
    const worker = createWorker({
      turns: [1, 1, 1, 0],
      durable: { budget: { tenant: { turns: 3 } } },
      dig: () => open,
    });
    const runtime = start(worker);
    const started = await Promise.all(
      Array.from({ length: runs }, () => runtime.start(worker.agent, { prompt: 'dig', tenant: 'x' })),
    );
    release();
    await Promise.all(started.map((run) => runtime.until(run, 'waiting')));
    const { turns } = await runtime.ledgerTotals({ tenant: 'x' });
    expect(turns).toBeGreaterThanOrEqual(3);
    expect(turns).toBeLessThan(3 + runs);
    expect((await runtime.approvals.list()).items).toHaveLength(runs);
  });
});

describe('budgets of several scopes', () => {
  it('are asked about together, and one answer raises each', async () => {
    const worker = createWorker({
      turns: [1, 0],
      durable: { budget: { run: { tokens: TURN.tokens }, thread: { tokens: TURN.tokens }, tenant: { turns: 9 } } },
    });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig', thread: 't', tenant: 'x' });
    const { id, budget } = await runtime.pendingApproval(run);
    expect(budget?.crossed.map(({ of, limit }) => `${of} ${limit}`)).toEqual(['run tokens', 'thread tokens']);
    await runtime.approvals.approve(id, { by: 'ada' });
    expect(await run.result()).toMatchObject({ text: 'All dug.' });
  });

  it("are the agent's own before those of the runtime, scope by scope", async () => {
    const worker = createWorker({ turns: [1, 1, 0], durable: { budget: { turns: 9 } } });
    const runtime = start(worker, { budget: { turns: 1, thread: { turns: 2 } } });
    const run = await runtime.start(worker.agent, { prompt: 'dig', thread: 't' });
    expect((await runtime.pendingApproval(run)).budget?.crossed).toMatchObject([{ of: 'thread', used: 2 }]);
  });
});

describe('an agent that a tool of another one calls', () => {
  it('counts to the run, and knows what was raised before it', async () => {
    const inner = createWorker({ turns: [1, 0], durable: {} });
    const outer = createWorker({
      turns: [1, 1, 0],
      durable: { approvals: { dig: { prompt: () => 'Go on?' } } },
      needsApproval: true,
      dig: async () => (await inner.agent.generate({ prompt: 'dig' })).text,
    });
    const runtime = start(outer, { budget: { turns: 2 } });
    const run = await runtime.start(outer.agent, { prompt: 'dig' });
    const asked: string[] = [];
    for (let answered = 0; answered < 3; answered += 1) {
      const { id, question } = await runtime.pendingApproval(run);
      asked.push(question);
      await runtime.approvals.approve(id, {
        by: 'ada',
        ...(question === 'budget' ? { input: { raise: { turns: 9 } } } : {}),
      });
      await runtime.restart();
    }
    expect(await run.result()).toMatchObject({ text: 'All dug.', turns: 3 });
    expect(asked).toEqual(['execute', 'budget', 'execute']);
    expect(await runtime.ledgerTotals({ run: run.id })).toMatchObject({ turns: 7 });
  });
});
