/** The code of docs/testing.md, run: each block there stands in this file word for word. */

import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { reminder, support } from './app/agent.ts';
import { remind, transfer } from './app/bank.ts';

vi.mock('./app/bank.ts', () => ({
  transfer: vi.fn(async (amount: number) => `paid ${amount}`),
  remind: vi.fn(async () => 'reminded'),
}));
vi.mock('@ai-sdk/openai', () => ({
  openai: () =>
    scriptedModel(({ toolResults }) =>
      'refund' in toolResults
        ? `The bank says: ${String(toolResults['refund'])}.`
        : { text: 'One moment.', toolCalls: [{ toolName: 'refund', input: { amount: 40 } }] },
    ),
}));

let runtime: TestRuntime;
beforeEach(() => {
  vi.clearAllMocks();
  runtime = createTestRuntime({ agents: { support }, workflows: { reminder } });
});
afterEach(() => runtime.close());

it('pays when a person approves', async () => {
  const run = await runtime.start(support, { prompt: 'I want my money back.' });
  const approval = await runtime.pendingApproval(run);
  expect(transfer).not.toHaveBeenCalled();
  expect(approval).toMatchObject({ tool: 'refund', input: { amount: 40 } });
  await runtime.approvals.approve(approval.id, { by: 'ada' });

  expect(await run.result()).toMatchObject({ text: 'The bank says: paid 40.' });
});

it('reminds after two days, and not before', async () => {
  const run = await runtime.start(reminder, { input: { customer: 'Ada' } });
  await runtime.clock.advance('47 hours');
  expect(remind).not.toHaveBeenCalled();
  await runtime.clock.advance('1 hour');
  expect(await run.result()).toBe('reminded');
});

it.each([1, 2, 3, 4, 5])('pays once, also if the process dies after commit %i from the approval on', async (n) => {
  const run = await runtime.start(support, { prompt: 'I want my money back.' });
  const approval = await runtime.pendingApproval(run);
  await runtime.restart(); // a new process, with nothing in memory

  runtime.crashAfterCommit(n);
  await runtime.approvals.approve(approval.id, { by: 'ada' });
  await runtime.crashed();
  await runtime.restart();

  expect(await run.result()).toMatchObject({ text: 'The bank says: paid 40.' });
  expect(transfer).toHaveBeenCalledTimes(1);
});

it.each([1, 2, 3, 4, 5])('pays under one key, whatever is lost: before commit %i', async (n) => {
  const run = await runtime.start(support, { prompt: 'I want my money back.' });
  const approval = await runtime.pendingApproval(run);
  runtime.crashBeforeCommit(n);
  await runtime.approvals.approve(approval.id, { by: 'ada' });
  await runtime.crashed();
  await runtime.restart();

  await run.result();
  const keys = vi.mocked(transfer).mock.calls.map(([, { idempotencyKey }]) => idempotencyKey);
  expect(new Set(keys).size).toBe(1);
});
