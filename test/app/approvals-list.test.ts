import { tool } from 'ai';
import { DurableAgent } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { expect, it } from 'vitest';
import { z } from 'zod';

it('pages of decided approvals are full, whatever is pending between them', async () => {
  const payer = new DurableAgent({
    model: scriptedModel(({ prompt }) =>
      prompt.at(-1)?.role === 'user' ? { toolCalls: [{ toolName: 'pay', input: { euros: 5 } }] } : 'done',
    ),
    tools: { pay: tool({ inputSchema: z.object({ euros: z.number() }), needsApproval: true, execute: () => 'paid' }) },
  });
  const runtime = createTestRuntime({ agents: { payer } });
  const ids = Array.from({ length: 7 }, (_, index) => `run_${index}`);
  for (const id of ids) {
    const run = await runtime.start(payer, { prompt: 'pay', id });
    const approval = await runtime.pendingApproval(run);
    if (Number(id.at(-1)) % 2 === 0) await runtime.approvals.deny(approval.id, { by: 'ann' });
  }
  await runtime.start(payer, { prompt: 'pay', id: 'stopped' });
  await runtime.pendingApproval('stopped');
  await runtime.getRun('stopped').cancel();
  await runtime.until('stopped', 'cancelled');
  const pages: string[][] = [];
  for (let cursor: string | undefined; ;) {
    const page = await runtime.approvals.list({
      status: 'decided',
      limit: 2,
      ...(cursor === undefined ? {} : { cursor }),
    });
    pages.push(page.items.map(({ run }) => run));
    if (page.cursor === null) break;
    cursor = page.cursor;
  }
  expect(pages).toEqual([['stopped', 'run_6'], ['run_4', 'run_2'], ['run_0']]);
  expect((await runtime.approvals.list()).items.map(({ run }) => run)).toEqual(['run_5', 'run_3', 'run_1']);
  expect((await runtime.approvals.list({ status: 'all' })).items).toHaveLength(8);
  await runtime.close();
});
