import { tool } from 'ai';
import { memoryStore } from 'everturn/memory';
import { expect, it } from 'vitest';
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
