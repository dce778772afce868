import { tool } from 'ai';
import type { ToolSet } from 'ai';
import { DurableAgent } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { expect, it } from 'vitest';
import { z } from 'zod';

/** A run waits for an approval, then other code is deployed, then somebody approves. */
async function approvedAfter(deployed: ToolSet, edit?: unknown) {
  const refunds: unknown[] = [];
  const prompts: string[] = [];
  const agentWith = (tools: ToolSet): DurableAgent<never, ToolSet> =>
    new DurableAgent({
      model: scriptedModel(({ prompt }) => {
        prompts.push(JSON.stringify(prompt));
        return prompt.at(-1)?.role === 'user'
          ? { toolCalls: [{ toolName: 'refund', input: { euros: 400 } }] }
          : 'Told.';
      }),
      tools,
      durable: { approvals: 'refund' in tools ? { refund: { expiresIn: '1 day', remindAt: '1 hour' } } : {} },
    });
  const agent = agentWith({
    refund: tool({
      inputSchema: z.object({ euros: z.number() }),
      needsApproval: true,
      execute: (input) => refunds.push(input),
    }),
  });
  const runtime = createTestRuntime({ agents: { support: agent } });
  const run = await runtime.start(agent, { prompt: 'Refund' });
  const { id } = await runtime.pendingApproval(run);
  await runtime.until(run, 'waiting');
  await runtime.restart({ agents: { support: agentWith(deployed) } });
  await runtime.approvals.approve(id, { by: 'ada', ...(edit === undefined ? {} : { input: edit }) });
  const { text } = (await runtime.getRun(run.id).result()) as { text: string };
  await runtime.close();
  return { refunds, text, told: prompts.at(-1) };
}

const narrow = (ran: () => void): ToolSet => ({
  refund: tool({
    inputSchema: z.object({ euros: z.number().max(100, 'at most 100') }),
    needsApproval: true,
    execute: ran,
  }),
});

it('a call that was approved as it is does not run when the schema does not take its input any more', async () => {
  let isRun = false;
  const { text, told, refunds } = await approvedAfter(narrow(() => void (isRun = true)));
  expect([isRun, refunds, text]).toEqual([false, [], 'Told.']);
  expect(told).toContain('at most 100');
});

it('an edit is checked by the schema that the code has now', async () => {
  await expect(
    approvedAfter(
      narrow(() => {}),
      { euros: 200 },
    ),
  ).rejects.toMatchObject({ code: 'payload_invalid' });
});

it('a tool that is gone, with its settings, is told of', async () => {
  const { text, told, refunds } = await approvedAfter({
    lookUp: tool({ inputSchema: z.object({}), execute: () => '' }),
  });
  expect([refunds, text]).toEqual([[], 'Told.']);
  expect(told).toContain('no such tool');
});
