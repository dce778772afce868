import { tool } from 'ai';
import { memoryStore } from 'everturn/memory';
import { ask, sleep } from 'everturn';
import { createTestRuntime, scriptedModel as answering } from 'everturn/testing';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { encodeValue } from '../../src/runtime/codec.ts';
import { scriptedModel, startRuntime, until } from './run-kit.ts';

it('a wake that reaches an agent is no user message', async () => {
  const call = { id: 'call_1', name: 'pay', input: {} };
  const script = scriptedModel([{ calls: [call] }, { text: 'Paid.' }]);
  const pay = tool({ description: 'pays', inputSchema: z.object({}), execute: () => 'paid' });
  const agent = new DurableAgent({ model: script.model, tools: { pay }, toolApproval: { pay: 'user-approval' } });
  const store = memoryStore();
  const runtime = startRuntime({ store, agents: { agent } });
  const run = await runtime.start(agent, { id: 'run', prompt: 'Pay it.' });
  const approval = await until(async () => (await runtime.approvals.list()).items[0]);
  await until(async () => (await run.status) === 'waiting');
  await store.deliver([{ to: { run: 'run' }, id: 'wake_1', kind: 'wake', payload: encodeValue(null, 'a wake') }]);
  await runtime.approvals.approve(approval.id, { by: 'kim' });
  expect((await run.result()).text).toBe('Paid.');
  const types = (await run.events()).map(({ type }) => type);
  expect(types).not.toContain('turn_failed');
  expect(types.filter((type) => type === 'segment_completed')).toHaveLength(2);
  expect(script.prompts).toHaveLength(2);
  await runtime.close();
});

it.each([
  ['sleeps', () => sleep('3 days')],
  ['asks a person', () => ask({ prompt: 'Which?', options: ['this'] })],
])('an agent whose tool %s for a day is looked at by nobody meanwhile', async (_, wait) => {
  const agent = new DurableAgent({
    model: answering(({ prompt }) =>
      prompt.at(-1)?.role === 'tool' ? 'Done.' : { toolCalls: [{ toolName: 'wait', input: {} }] },
    ),
    tools: { wait: tool({ inputSchema: z.object({}), execute: async () => wait() }) },
  });
  const runtime = createTestRuntime({ agents: { agent } });
  onTestFinished(() => runtime.close());
  const run = await runtime.start(agent, { prompt: 'Wait.' });
  await runtime.until(run, 'waiting');
  const before = (await run.events()).length;
  for (let hour = 0; hour < 24; hour += 1) await runtime.clock.advance(60 * 60_000);
  await runtime.clock.settleAll();
  expect(await run.events()).toHaveLength(before);
  expect(runtime.logs.map(({ message }) => message)).toEqual([]);
});
