import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { child, DurableAgent, workflow } from 'everturn';
import type { AgentResult } from 'everturn';
import { describe, expect, it } from 'vitest';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { z } from 'zod';
import { cardsOf } from '../approvals/inner-kit.ts';
import { createWorker, PRICES, start } from './kit.ts';
import type { Worker } from './kit.ts';

type Form = 'call' | 'child';

const mayAnswer =
  (asked: string[]) =>
  ({ by, approval }: { by: { id: string }; approval: { agent: string } }): boolean => {
    asked.push(`${by.id} of ${approval.agent}`);
    return by.id !== 'ben';
  };

/** An agent above `digger`, which may have one turn until somebody says more. */
function openMine(form: Form, asked: string[]) {
  const below = createWorker({
    id: 'digger',
    turns: [1, 0],
    durable: { budget: { turns: form === 'call' ? 2 : 1, approval: { approvers: mayAnswer(asked) } } },
  });
  const above = createWorker({
    turns: [1, 0],
    durable: {},
    dig: async () =>
      form === 'call'
        ? (await below.agent.generate({ prompt: 'dig' })).text
        : (await child<AgentResult>('digger', { prompt: 'dig' })).text,
  });
  return { above, runtime: start(above, { agents: { worker: above.agent, digger: below.agent } }) };
}

describe.each<Form>(['call', 'child'])('a budget of an agent below another one, by %s', (form) => {
  it('is asked about at the top, of those who may answer for that agent and have not asked for it', async () => {
    const asked: string[] = [];
    const { above, runtime } = openMine(form, asked);
    const run = await runtime.start(above.agent, { prompt: 'dig', by: 'carl', thread: 't', id: 'run_1' });
    await runtime.clock.settleAll();
    const [approval] = (await runtime.approvals.list({ thread: 't' })).items;
    const id = approval?.id ?? '';
    expect(approval).toMatchObject({
      question: 'budget',
      requestedBy: 'carl',
      agent: 'digger',
      root: 'run_1',
      thread: 't',
      path: ['worker', 'digger', 'budget'],
    });
    for (const by of ['carl', 'ben'])
      await expect(runtime.approvals.approve(id, { by }), by).rejects.toMatchObject({ code: 'forbidden' });
    await runtime.restart();
    await runtime.approvals.approve(id, { by: 'ada', input: { raise: { turns: 9 } } });
    const { text, uiMessage } = (await run.result()) as AgentResult;
    expect(text).toBe('All dug.');
    expect(asked).toEqual(['ben of digger', 'ada of digger']);
    const cards = cardsOf(uiMessage.parts);
    expect(cards).toMatchObject([{ id, data: { status: 'approved', decidedBy: 'ada', question: 'budget' } }]);
    expect(cards[0]?.data.budget).toMatchObject({ crossed: [{ limit: 'turns' }], models: [] });
  });
});

it('a budget of all agents is asked about by the functions of the runtime, also where code calls one that is not registered', async () => {
  const asked: string[] = [];
  const worker: Worker = createWorker({ id: 'digger', turns: [1, 0], durable: {} });
  const job = workflow('job', async () => (await worker.agent.generate({ prompt: 'dig' })).text);
  const runtime = createTestRuntime({
    workflows: [job],
    prices: PRICES,
    budget: { turns: 1, approval: { approvers: mayAnswer(asked) } },
  });
  const run = await runtime.start(job);
  const { id } = await runtime.pendingApproval(run);
  await expect(runtime.approvals.approve(id, { by: 'ben' })).rejects.toMatchObject({ code: 'forbidden' });
  await runtime.approvals.approve(id, { by: 'ada' });
  expect(await run.result()).toBe('All dug.');
  expect(asked).toEqual(['ben of digger', 'ada of digger']);
  await runtime.close();
});

it('an attempt that dies after an agent below has answered stands in the ledger', async () => {
  const below = createWorker({ id: 'digger', turns: [1, 0], durable: {} });
  let stops = true;
  const above = new DurableAgent({
    model: scriptedModel(
      ({ prompt }) => {
        if (prompt.at(-1)?.role === 'user') return { toolCalls: [{ toolName: 'dig', input: {} }] };
        return stops ? { text: 'Half of it.', hold: new Promise(() => undefined) } : 'All dug.';
      },
      { modelId: 'dear' },
    ),
    tools: {
      dig: tool({
        inputSchema: z.object({}),
        execute: async () => (await below.agent.generate({ prompt: 'dig' })).text,
      }),
    },
  });
  const runtime = createTestRuntime({ agents: { above, digger: below.agent }, prices: PRICES });
  const run = await runtime.start(above, { prompt: 'dig' });
  for await (const chunk of run.stream<UIMessageChunk>()) if (chunk.type === 'text-delta') break;
  stops = false;
  await runtime.restart();
  await run.result();
  const { items } = await runtime.ledger({ run: run.id });
  expect(items.filter(({ key }) => key === 'agent#0/t1').map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
    [1, 'unknown'],
    [2, 'completed'],
  ]);
  await runtime.close();
});
