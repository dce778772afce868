import { describe, expect, it } from 'vitest';
import { createWorker, start, TURN } from './kit.ts';

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
});
