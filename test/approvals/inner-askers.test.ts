import { tool } from 'ai';
import { child, DurableAgent, workflow } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { z } from 'zod';
import type { Form } from './inner-kit.ts';

const APPROVERS = ['eve', 'zoe', 'max', 'ada'];

/** desk > middle > ops > shell. Zoe speaks to the desk before it calls anybody. */
async function openDesk(form: Form): Promise<{ runtime: TestRuntime; id: string }> {
  const shell = tool({ inputSchema: z.object({}), needsApproval: true, execute: () => 'done' });
  const ops = new DurableAgent({
    id: 'ops',
    model: scriptedModel(({ prompt }) =>
      prompt.at(-1)?.role === 'user' ? { toolCalls: [{ toolName: 'shell', input: {} }] } : 'Cleaned.',
    ),
    tools: { shell },
    durable: { approvals: { shell: { approvers: APPROVERS } } },
  });
  const middle = workflow('middle', async (prompt: string) =>
    form === 'child' ? child('ops', { prompt }) : (await ops.generate({ prompt })).text,
  );
  let go = (): void => undefined;
  const gate = new Promise<string>((resolve) => (go = () => resolve('looked')));
  const look = tool({ inputSchema: z.object({}), execute: () => gate });
  const ask = tool({ inputSchema: z.object({}), execute: () => child('middle', 'clean') });
  const desk = new DurableAgent({
    id: 'desk',
    model: scriptedModel(({ prompt }) => {
      const turns = prompt.filter(({ role }) => role === 'assistant').length;
      const toolName = ['look', 'ask'][turns];
      return toolName === undefined ? 'All done.' : { toolCalls: [{ toolName, input: {} }] };
    }),
    tools: { look, ask },
  });
  const runtime = createTestRuntime({ agents: { desk, ops }, workflows: [middle] });
  onTestFinished(() => runtime.close());
  const run = await runtime.start(desk, { prompt: 'Go', thread: 't1', by: 'eve' });
  await runtime.clock.settleAll();
  await runtime.start(desk, { prompt: 'And be quick', thread: 't1', by: 'zoe', whenBusy: 'steer' });
  go();
  const { items } = await vi.waitFor(async () => {
    const page = await runtime.approvals.list({ thread: 't1' });
    expect(page.items).toHaveLength(1);
    return page;
  });
  await runtime.start(desk, { prompt: 'Still there?', thread: 't1', by: 'max', whenBusy: 'steer' });
  await runtime.restart();
  await runtime.until(run, 'waiting');
  return { runtime, id: items[0]?.id ?? '' };
}

describe.each<Form>(['child', 'call'])('an approval below a child run, by %s', (form) => {
  it('is answered by nobody who has asked for it at the top, or spoken there before it was asked', async () => {
    const { runtime, id } = await openDesk(form);
    for (const by of ['eve', 'zoe'])
      await expect(runtime.approvals.approve(id, { by }), by).rejects.toMatchObject({ code: 'forbidden' });
    // What was said after it has no part in it.
    await runtime.approvals.approve(id, { by: 'max' });
  });
});
