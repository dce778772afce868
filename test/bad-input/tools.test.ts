import { DurableAgent, DurableError } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { ScriptedModel, TestRuntime } from 'everturn/testing';
import { tool } from 'ai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { expectRefusal } from './refusal.ts';

let executed: unknown[];
let runtime: TestRuntime;
beforeEach(() => {
  executed = [];
});
afterEach(() => runtime?.close());

const refund = tool({
  inputSchema: z.object({ amount: z.number() }),
  execute: (input) => {
    executed.push(input);
    return 'paid';
  },
});
const look = tool({ inputSchema: z.object({}), execute: () => 'nothing to see' });

/** What the model was told last, as text. */
function lastToolMessage(model: ScriptedModel): string {
  return JSON.stringify(model.calls.at(-1)?.prompt.findLast((message) => message.role === 'tool'));
}

describe('a call that the model got wrong', () => {
  it.each<[string, { toolName: string; input: unknown }, RegExp]>([
    [
      'arguments that do not fit the schema',
      { toolName: 'refund', input: { amount: 'all' } },
      /Invalid input for tool refund.*amount.*expected number/,
    ],
    ['a tool that there is not', { toolName: 'refnd', input: {} }, /unavailable tool 'refnd'.*refund/],
  ])('%s: the tool does not run, and the model is told why', async (_, call, told) => {
    const model = scriptedModel([{ toolCalls: [call] }, 'Sorry.']);
    const agent = new DurableAgent({ model, tools: { refund } });
    runtime = createTestRuntime({ agents: { agent } });
    const run = await runtime.start(agent, { prompt: 'Refund.' });
    expect(await run.result()).toMatchObject({ text: 'Sorry.', turns: 2 });
    expect(executed).toEqual([]);
    expect(lastToolMessage(model)).toMatch(told);
  });
});

describe('a tool that was removed while its call was pending', () => {
  it('approved: the run goes on, and the model is told', async () => {
    const model = scriptedModel([{ toolCalls: [{ toolName: 'refund', input: { amount: 40 } }] }, 'I cannot.']);
    const before = new DurableAgent({ model, tools: { refund, look }, toolApproval: { refund: 'user-approval' } });
    const after = new DurableAgent({ model, tools: { look } });
    runtime = createTestRuntime({ agents: { support: before } });
    const run = await runtime.start('support', { prompt: 'Refund 40.' });
    const approval = await runtime.pendingApproval(run);
    await runtime.restart({ agents: { support: after } });
    await runtime.approvals.approve(approval.id, { by: 'ada' });
    expect(await run.result()).toMatchObject({ text: 'I cannot.' });
    expect(executed).toEqual([]);
    expect(lastToolMessage(model)).toMatch(/tool \\"refund\\": it was approved.*no such tool.*Say so/);
  });
});

describe('a misspelt tool in the durable setting', () => {
  it('of tools is an error of types, and when the agent is made', () =>
    expectRefusal(
      () =>
        new DurableAgent({
          model: scriptedModel([]),
          tools: { refund, look },
          // @ts-expect-error there is no tool of this name
          durable: { tools: { refnd: { retries: 2 } } },
        }),
      {
        code: 'tool_not_found',
        says: /durable\.tools\.refnd.*no tool "refnd".*"refund", "look"/,
        details: { name: 'refnd', known: ['refund', 'look'] },
      },
    ));

  it('of approvals likewise', () =>
    expectRefusal(
      () =>
        new DurableAgent({
          model: scriptedModel([]),
          tools: { refund },
          // @ts-expect-error there is no tool of this name
          durable: { approvals: { refunds: { needed: 2 } } },
        }),
      { code: 'tool_not_found', says: /durable\.approvals\.refunds.*"refund"/ },
    ));

  it('spelt right is accepted', () => {
    const agent = new DurableAgent({
      model: scriptedModel([]),
      tools: { refund, look },
      durable: { tools: { refund: { retries: 2 }, look: { timeout: '5s' } } },
    });
    expect(Object.keys(agent.tools)).toEqual(['refund', 'look']);
  });
});

describe('what an agent is started with', () => {
  const agent = new DurableAgent({ model: scriptedModel([]), tools: { look } });
  it.each<[string, Record<string, unknown>, RegExp]>([
    ['nothing', {}, /no message.*prompt: "\.\.\."/],
    ['two forms at once', { prompt: 'hi', messages: [] }, /prompt and messages at once/],
    ['a prompt that is no text', { prompt: 7 }, /prompt: "\.\.\."/],
  ])('%s is refused with the right form, and nothing is stored', async (_, input, says) => {
    runtime = createTestRuntime({ agents: { agent } });
    await expectRefusal(() => runtime.start(agent, input), { code: 'invalid_argument', says });
    expect(await runtime.runs()).toEqual([]);
  });
});

it('a DurableError says so across copies of the package', () => {
  const foreign = Object.assign(new Error('no'), { name: 'DurableError', code: 'run_failed' });
  expect(DurableError.is(foreign, 'run_failed')).toBe(true);
  expect(DurableError.is(foreign, 'cancelled')).toBe(false);
  expect(DurableError.is(new Error('no'))).toBe(false);
});
