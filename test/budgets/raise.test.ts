import { describe, expect, it } from 'vitest';
import { createWorker, DEAR, scripted, start, TURN } from './kit.ts';

describe('a budget of a run that is used up', () => {
  it('asks before the next turn, and goes on when it is raised', async () => {
    const worker = createWorker({ turns: [1, 1, 0], durable: { budget: { turns: 2 } } });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig', by: 'carl' });
    const approval = await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    expect(approval).toMatchObject({
      question: 'budget',
      tool: 'budget',
      input: { raise: { turns: 2 } },
      budget: { crossed: [{ of: 'run', limit: 'turns', used: 2, allowed: 2 }], proposed: { turns: 2 }, models: [] },
      requestedBy: 'carl',
      reason: 'The budget is used up: the run has used 2 turns of 2 turns.',
    });
    expect([worker.asked.length, worker.dug]).toEqual([2, [0, 1]]);
    await runtime.approvals.approve(approval.id, { by: 'ada', input: { raise: { turns: 1 } } });
    const result = await run.result();
    expect(result).toMatchObject({ text: 'All dug.', turns: 3, budget: { stopped: null, answers: [{ by: 'ada' }] } });
    expect(await runtime.ledgerTotals({ run: run.id })).toMatchObject({
      turns: 3,
      toolCalls: 2,
      inputTokens: 3 * TURN.inputTokens,
    });
  });

  it('asks before tools start when tokens are used up by the turn that asked for them', async () => {
    const worker = createWorker({ turns: [2, 0], durable: { budget: { tokens: TURN.tokens } } });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    const approval = await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    expect(worker.dug).toEqual([]);
    await runtime.approvals.approve(approval.id, { by: 'ada' });
    await run.result();
    expect(worker.dug).toEqual([0, 1]);
    expect((await runtime.approvals.list({ status: 'all' })).items).toHaveLength(1);
  });

  it('starts as many of the tools that were asked for at once as there is room for, and asks once for the others', async () => {
    const worker = createWorker({ turns: [1, 5, 0], durable: { budget: { toolCalls: 3 } } });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    const first = await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    expect(worker.dug).toEqual([0, 1, 2]);
    expect(first.budget?.crossed).toEqual([{ of: 'run', limit: 'toolCalls', used: 3, allowed: 3 }]);
    await runtime.approvals.approve(first.id, { by: 'ada', input: { raise: { toolCalls: 2 } } });
    const second = await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    expect(worker.dug).toEqual([0, 1, 2, 3, 4]);
    expect(second.budget?.crossed).toEqual([{ of: 'run', limit: 'toolCalls', used: 5, allowed: 5 }]);
    await runtime.approvals.approve(second.id, { by: 'ada' });
    await run.result();
    expect(worker.dug).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('asks again at once when the raise leaves no room', async () => {
    const worker = createWorker({ turns: [1, 0], durable: { budget: { usd: DEAR / 2 } } });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    const first = await runtime.pendingApproval(run);
    await runtime.approvals.approve(first.id, { by: 'ada', input: { raise: { usd: DEAR / 4 } } });
    const second = await runtime.pendingApproval(run);
    expect(second.id).not.toBe(first.id);
    expect(second.budget).toMatchObject({
      crossed: [{ limit: 'usd', used: DEAR, allowed: 0.0015 }],
      proposed: { usd: 0.0015 },
    });
    await runtime.approvals.approve(second.id, { by: 'ada' });
    expect(await run.result()).toMatchObject({ text: 'All dug.' });
  });

  it.each([
    ['more than was asked', { raise: { tokens: 5 } }],
    ['less than nothing', { raise: { turns: -1 } }],
    ['a model that is not named', { model: 'other' }],
    ['something else', { rise: 1 }],
    ['no object', 'more'],
  ])('refuses an answer that says %s', async (_, input) => {
    const worker = createWorker({ turns: [1, 0], durable: { budget: { turns: 1 } } });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    const { id } = await runtime.pendingApproval(run);
    await expect(runtime.approvals.approve(id, { by: 'ada', input })).rejects.toMatchObject({
      code: 'payload_invalid',
    });
    expect((await runtime.approvals.get(id)).status).toBe('pending');
  });

  it('goes on with the cheaper model that was chosen, at its own price', async () => {
    const asked: string[] = [];
    const cheap = scripted([1, 1, 0], { modelId: 'cheap', asked });
    const worker = createWorker({
      turns: [1, 1, 0],
      durable: { budget: { run: { usd: DEAR }, cheaperModels: { cheap } } },
    });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    const approval = await runtime.pendingApproval(run);
    expect(approval.budget?.models).toEqual(['cheap']);
    await runtime.approvals.approve(approval.id, { by: 'ada', input: { model: 'cheap' } });
    expect(await run.result()).toMatchObject({ budget: { answers: [{ model: 'cheap', raise: { usd: DEAR } }] } });
    expect([worker.asked, asked]).toEqual([['dear'], ['cheap', 'cheap']]);
    const { items } = await runtime.ledger({ run: run.id });
    expect(items.map(({ model, nanoUsd }) => [model, nanoUsd])).toEqual([
      ['dear', 2_000_000],
      ['cheap', 200_000],
      ['cheap', 200_000],
    ]);
  });
});
