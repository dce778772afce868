import { describe, expect, it, vi } from 'vitest';
import { sleep, step, workflow } from 'everturn';
import type { AgentResult, RunHandle } from 'everturn';
import { createTestRuntime } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { createWorker, start } from './kit.ts';

const REFUSED =
  'This tool call was not executed: the run has used 1 tool call of 1 tool call, and ada has stopped it: enough.';

describe('a run that is stopped at its budget', () => {
  it('ends before the next turn, with what it has said and who has stopped it', async () => {
    const worker = createWorker({ turns: [1, 1, 0], durable: { budget: { turns: 2 } } });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    const { id } = await runtime.pendingApproval(run);
    await runtime.approvals.deny(id, { by: 'ada', reason: 'enough' });
    const result = await run.result();
    expect(result).toMatchObject({
      finishReason: 'other',
      turns: 2,
      budget: { stopped: { by: 'ada', reason: 'enough', crossed: [{ of: 'run', limit: 'turns' }] } },
    });
    expect(result.messages.map(({ role }) => role)).toEqual(['assistant', 'tool', 'assistant', 'tool']);
    expect([worker.asked.length, worker.dug]).toEqual([2, [0, 1]]);
    expect((await runtime.ledger({ run: run.id })).items).toHaveLength(2);
  });

  it('leaves the calls that did not start with a result that says so', async () => {
    const worker = createWorker({ turns: [3, 0], durable: { budget: { toolCalls: 1 } } });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    const { id } = await runtime.pendingApproval(run);
    await runtime.approvals.deny(id, { by: 'ada', reason: 'enough' });
    const { messages } = await run.result();
    const [calls, results] = messages;
    expect(calls?.content).toHaveLength(3);
    expect(results).toMatchObject({
      role: 'tool',
      content: [
        { output: { type: 'text', value: 'dug 0' } },
        { output: { type: 'error-text', value: expect.stringContaining(REFUSED) } },
        { output: { type: 'error-text', value: expect.stringContaining('budget_exceeded') } },
      ],
    });
    expect([worker.asked.length, worker.dug]).toEqual([1, [0]]);
  });

  it('leaves a thread that the next run goes on with', async () => {
    const worker = createWorker({ turns: [2, 0], durable: { budget: { toolCalls: 1 } } });
    const runtime = start(worker);
    const first = await runtime.start(worker.agent, { prompt: 'dig', thread: 't' });
    const { id } = await runtime.pendingApproval(first);
    await runtime.approvals.deny(id, { by: 'ada' });
    await first.result();
    const next = await runtime.start(worker.agent, { prompt: 'go on', thread: 't' });
    const { id: again } = await runtime.pendingApproval(next);
    await runtime.approvals.approve(again, { by: 'ada' });
    expect(await next.result()).toMatchObject({ text: 'All dug.' });
  });

  it('stops by itself when nobody answers in time, also while no process lives', async () => {
    const worker = createWorker({
      turns: [1, 0],
      durable: { budget: { turns: 1, approval: { expiresIn: '1 day' } } },
    });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    const { id } = await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(2 * 86_400_000);
    await runtime.restart();
    expect(await run.result()).toMatchObject({ budget: { stopped: { by: null } } });
    expect((await runtime.approvals.get(id)).status).toBe('expired');
  });

  it('may be kept from those who asked for the run', async () => {
    const worker = createWorker({
      turns: [1, 0],
      durable: { budget: { turns: 1, approval: { approvers: ({ by }) => by.roles.includes('boss') } } },
    });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig', by: 'carl' });
    const { id } = await runtime.pendingApproval(run);
    for (const by of ['carl', 'ada', { id: 'carl', roles: ['boss'] }])
      await expect(runtime.approvals.approve(id, { by })).rejects.toMatchObject({ code: 'forbidden' });
    await runtime.approvals.approve(id, { by: { id: 'ada', roles: ['boss'] } });
    await run.result();
  });
});

describe('a tool call that has begun when the budget is used up', () => {
  it('goes on after what it waits for, and its result stands', async () => {
    const effects: number[] = [];
    const worker = createWorker({
      turns: [1, 0],
      durable: { budget: { wallClock: '1 hour' } },
      dig: async (n) => {
        await step('pay', () => effects.push(n));
        await sleep('2 hours');
      },
    });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    await vi.waitFor(() => expect(effects).toHaveLength(1));
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(3 * 3_600_000);
    await runtime.restart();
    const { id, budget } = await runtime.pendingApproval(run);
    expect(budget?.crossed).toMatchObject([{ limit: 'wallClock' }]);
    await runtime.approvals.deny(id, { by: 'ada' });
    const { messages } = (await run.result()) as AgentResult;
    expect(JSON.stringify(messages)).toContain('dug 0');
    expect(effects).toEqual([0]);
  });

  it('is asked about first where nobody knows what became of it', async () => {
    let deaths = 0;
    const worker = createWorker({
      turns: [1, 0],
      durable: { budget: { wallClock: '1 hour' }, tools: { dig: { onInDoubt: 'ask' } } },
      dig: () => ((deaths += 1) === 1 ? new Promise(() => undefined) : undefined),
    });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    await vi.waitFor(() => expect(deaths).toBe(1));
    await runtime.clock.advance(2 * 3_600_000);
    await runtime.restart();
    const doubt = await runtime.pendingApproval(run);
    expect(doubt.question).toBe('in-doubt');
    await runtime.approvals.approve(doubt.id, { by: 'ada', result: 'it was dug' });
    const { messages } = (await answered(runtime, run)) as AgentResult;
    expect(JSON.stringify(messages)).toContain('it was dug');
    expect(deaths).toBe(1);
  });
});

/** Stops the run at its budget. */
async function answered(runtime: TestRuntime, run: RunHandle): Promise<unknown> {
  const { id, question } = await runtime.pendingApproval(run);
  expect(question).toBe('budget');
  await runtime.approvals.deny(id, { by: 'ada' });
  return run.result();
}

describe('an agent with a budget that user code calls', () => {
  it('is asked about in its run, and the call ends where it was stopped', async () => {
    const worker = createWorker({ turns: [1, 1, 0], durable: { budget: { turns: 1 } } });
    const job = workflow('job', async () => {
      const streamed = await worker.agent.generate({ prompt: 'dig' });
      return [streamed.finishReason, streamed.rawFinishReason, streamed.steps.length];
    });
    const runtime = createTestRuntime({ workflows: [job] });
    const run = await runtime.start(job);
    const { id, reason } = await runtime.pendingApproval(run);
    expect(reason).toContain('the run has used 1 turn of 1 turn');
    await runtime.until(run, 'waiting');
    await runtime.restart();
    await runtime.approvals.deny(id, { by: 'ada' });
    expect(await run.result()).toEqual(['other', 'budget', 2]);
    expect([worker.asked.length, worker.dug]).toEqual([1, [0]]);
    await runtime.close();
  });
});
