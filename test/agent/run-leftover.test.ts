import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { createHook, DurableAgent, getWritable, workflow } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { expect, it } from 'vitest';
import { z } from 'zod';

function agentThatAsks(): DurableAgent<never, { refund: ReturnType<typeof refundTool> }> {
  return new DurableAgent({
    model: scriptedModel([
      { toolCalls: [{ toolName: 'refund', input: { amount: 5 } }] },
      { text: 'Heard you.' },
      { text: 'Heard you too.' },
    ]),
    tools: { refund: refundTool() },
    toolApproval: { refund: 'user-approval' },
  });
}

function refundTool() {
  return tool({ description: 'refund', inputSchema: z.object({ amount: z.number() }), execute: () => 'done' });
}

it('a message that was steered into a run that is stopped at an approval is answered by the next run', async () => {
  const support = agentThatAsks();
  const runtime = createTestRuntime({ agents: { support } });
  const first = await runtime.start(support, { id: 'first', prompt: 'Refund me.', thread: 't' });
  await runtime.pendingApproval(first);
  await runtime.start(support, { id: 'steered', prompt: 'And say hello.', thread: 't', whenBusy: 'steer' });
  await runtime.until(first, 'waiting');
  await first.cancel();
  await expect(first.result()).rejects.toMatchObject({ code: 'cancelled' });
  const next = runtime.getRun<{ text: string }>('steered');
  expect((await next.result()).text).toMatch(/^Heard you/);
  const { messages } = await runtime.thread('t');
  const asked = messages.filter(
    ({ role, content }) => role === 'user' && JSON.stringify(content).includes('say hello'),
  );
  expect(asked).toHaveLength(1);
  await runtime.close();
});

it('a message that was steered into a plain workflow that does not read it becomes the next run', async () => {
  const seen: unknown[] = [];
  const flow = workflow('flow', async (input: string) => {
    seen.push(input);
    if (input === 'first') await createHook({ token: 'go' });
    return input;
  });
  const runtime = createTestRuntime({ workflows: [flow] });
  const first = await runtime.start(flow, { id: 'first', input: 'first', thread: 't' });
  await runtime.until(first, 'waiting');
  await runtime.start(flow, { id: 'second', input: 'second', thread: 't', whenBusy: 'steer' });
  await runtime.resumeHook('go');
  expect(await first.result()).toBe('first');
  expect(await runtime.getRun('second').result()).toBe('second');
  expect(seen).toEqual(['first', 'second']);
  await runtime.close();
});

it("a tool that closes its writable of the agent's stream does not end the answer", async () => {
  const announce = tool({
    description: 'announce',
    inputSchema: z.object({}),
    execute: async () => {
      const writer = getWritable<UIMessageChunk>().getWriter();
      await writer.write({ type: 'data-note', id: 'n', data: 'half way' });
      await writer.close();
      return 'announced';
    },
  });
  const agent = new DurableAgent({
    model: scriptedModel([{ toolCalls: [{ toolName: 'announce', input: {} }] }, { text: 'Done.' }]),
    tools: { announce },
  });
  const runtime = createTestRuntime({ agents: { agent } });
  const run = await runtime.start(agent, { prompt: 'Go.' });
  expect((await run.result()).text).toBe('Done.');
  const types: string[] = [];
  for await (const chunk of run.stream()) types.push(chunk.type);
  expect(types).toContain('data-note');
  expect(types.at(-1)).toBe('finish');
  await runtime.close();
});
