import { tool } from 'ai';
import { createHook, DurableAgent, getStepMetadata, step, workflow } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { RunHandle } from 'everturn';
import type { ScriptedTurn, TestRuntime, TestRuntimeOptions } from 'everturn/testing';
import { afterEach, expect, it } from 'vitest';
import { z } from 'zod';
import { spansOf } from '../../src/cli/event-spans.ts';
import { summarizeJournal } from '../../src/cli/journal-summary.ts';
import type { JournalSummary } from '../../src/cli/journal-summary.ts';

let runtime: TestRuntime;
afterEach(() => runtime.close());

function open(options: TestRuntimeOptions): void {
  runtime = createTestRuntime(options);
}

async function summaryOf(run: RunHandle): Promise<JournalSummary> {
  return summarizeJournal(await run.events(), (await run.info()).createdAt);
}

function agentOf(script: ScriptedTurn[]) {
  return new DurableAgent({
    model: scriptedModel(script),
    tools: {
      look: tool({ description: 'Look', inputSchema: z.object({ at: z.string() }), execute: ({ at }) => `seen ${at}` }),
      fail: tool({
        description: 'Fail',
        inputSchema: z.object({}),
        execute: (): string => {
          throw new Error('out of order');
        },
      }),
      ask: tool({ description: 'Asks the browser', inputSchema: z.object({ what: z.string() }) }),
      pay: tool({
        description: 'Pay',
        inputSchema: z.object({ euros: z.number() }),
        execute: ({ euros }) => `paid ${euros}`,
      }),
    },
    toolApproval: { pay: 'user-approval' },
  });
}

it('counts the attempts of a turn, and the tokens of those that were recorded', async () => {
  const agent = agentOf([new Error('overloaded'), { text: 'Well.', usage: { inputTokens: 7, outputTokens: 3 } }]);
  open({ agents: { agent } });
  const run = await runtime.start(agent, { prompt: 'Hello.' });
  await runtime.until(run, 'waiting');
  expect((await summaryOf(run)).turns).toMatchObject([{ status: 'failed', attempts: 1, error: 'overloaded' }]);
  await runtime.clock.advance('1 minute');
  await run.result();
  expect(await summaryOf(run)).toMatchObject({
    turns: [{ key: 'agent#0/t0', status: 'completed', attempts: 2, inputTokens: 7, outputTokens: 3, text: 'Well.' }],
    tokens: { input: 7, output: 3 },
    failedAttempts: 1,
  });
});

it('tells what became of each tool call: done, failed, answered by a client, edited, denied, open', async () => {
  const calls = [
    { toolName: 'look', input: { at: 'the lamp' } },
    { toolName: 'fail', input: {} },
    { toolName: 'ask', input: { what: 'colour' } },
    { toolName: 'pay', input: { euros: 89 } },
    { toolName: 'pay', input: { euros: 5 } },
  ].map((call, index) => ({ ...call, toolCallId: `call ${index}/#` }));
  const agent = agentOf([{ toolCalls: calls }, 'Done.']);
  open({ agents: { agent } });
  const run = await runtime.start(agent, { prompt: 'Do all of it.' });
  await runtime.pendingApproval(run);
  const statuses = async (): Promise<string[]> => (await summaryOf(run)).tools.map(({ status }) => status);
  expect(await statuses()).toEqual(['completed', 'failed', 'open', 'open', 'open']);

  for (const { id, input } of (await runtime.approvals.list()).items) {
    const isLarge = (input as { euros: number }).euros === 89;
    if (isLarge) await runtime.approvals.approve(id, { by: 'ann', input: { euros: 20 } });
    else await runtime.approvals.deny(id, { by: 'ann', reason: 'too little' });
  }
  await runtime.addToolOutput(run.id, { toolCallId: 'call 2/#', output: 'red' });
  await run.result();
  expect((await summaryOf(run)).tools).toMatchObject([
    { tool: 'look', status: 'completed', attempts: 1, input: { at: 'the lamp' }, output: 'seen the lamp' },
    { tool: 'fail', status: 'failed', attempts: 1, output: { message: 'out of order' } },
    { tool: 'ask', status: 'completed', output: 'red' },
    { tool: 'pay', status: 'completed', input: { euros: 20 }, isEdited: true, output: 'paid 20' },
    { tool: 'pay', status: 'denied', attempts: 0, input: { euros: 5 }, isEdited: false, output: 'too little' },
  ]);
});

it('counts the attempts of a step, and the processes that died', async () => {
  const flaky = workflow('flaky', async () => {
    await step('before', () => 1);
    return step('reach', () => {
      if (getStepMetadata().attempt < 3) throw new Error('busy');
      return 'reached';
    });
  });
  open({ workflows: [flaky] });
  const run = await runtime.start(flaky);
  runtime.crashAfterCommit(1);
  await runtime.crashed();
  await runtime.restart();
  for (let minutes = 0; minutes < 5 && (await run.status) !== 'completed'; minutes += 1)
    await runtime.clock.advance('1 minute');
  expect(await summaryOf(run)).toMatchObject({
    steps: [
      { key: 'before', status: 'completed', attempts: 1 },
      { key: 'reach', status: 'completed', attempts: 3, output: 'reached' },
    ],
    turns: [],
    tools: [],
  });
});

it('tells how long a hook waited, whatever happened meanwhile', async () => {
  const waiter = workflow('waiter', async () => {
    const [paid] = await Promise.all([createHook<string>({ token: 'paid' }), step('beside', () => 1)]);
    return paid;
  });
  open({ workflows: [waiter] });
  const run = await runtime.start(waiter);
  await runtime.until(run, 'waiting');
  await runtime.clock.advance('2 hours');
  await runtime.resumeHook('paid', 'yes');
  await run.result();
  const events = await run.events();
  const spans = spansOf(events, (await run.info()).createdAt);
  const received = events.findIndex(({ type }) => type === 'message_received');
  expect(spans[received]).toEqual({ ms: 7_200_000, isExact: true });
  // The time in which nothing but the person was waited for is no step's.
  expect(spans.filter(({ isExact }) => !isExact).length).toBeGreaterThan(0);
});
