/** Tools that `prepareCall` adds are tools of the run as the agent's own are: over restarts too. */

import { createMCPClient } from '@ai-sdk/mcp';
import { jsonSchema, tool } from 'ai';
import type { ToolSet } from 'ai';
import { DurableAgent, mcpTools } from 'everturn';
import type { AgentResult, DurableCallSettings, Registrable } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { ModelCall, ScriptedTurn, TestRuntime } from 'everturn/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startMcpServer } from '../support/mcp-server.ts';

const open: Array<{ close(): Promise<void> }> = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
});

interface Prepared {
  tools: ToolSet;
  durable?: DurableCallSettings;
  toolApproval?: object;
}

function agentThatAdds(script: ScriptedTurn[], { tools, ...added }: Prepared) {
  const model = scriptedModel(script);
  const own = { own: tool({ inputSchema: z.object({}), execute: () => 'own' }) };
  const agent = new DurableAgent({
    model,
    tools: own,
    prepareCall: async (call) => ({ ...call, tools: { ...tools, ...own }, ...added }),
  });
  return { agent, model };
}

function runtimeOf(agent: Registrable): TestRuntime {
  const runtime = createTestRuntime({ agents: { agent } });
  open.push(runtime);
  return runtime;
}

const calls = (toolName: string, input: unknown): ScriptedTurn => ({
  toolCalls: [{ toolName, input, toolCallId: 'call_1' }],
});
const lastAnswer = (call: ModelCall | undefined): string => JSON.stringify(call?.prompt.at(-1));

const amounts = z.object({ amount: z.number().max(100) });

function refundTool(paid: unknown[], inputSchema: typeof amounts = amounts) {
  return tool({
    inputSchema,
    execute: (input) => {
      paid.push(input);
      return 'paid';
    },
  });
}

describe('a tool that prepareCall adds', () => {
  it('and that a client answers waits over a restart; the model gets what the tool makes of the output', async () => {
    const pick = tool({
      inputSchema: z.object({}),
      outputSchema: z.string(),
      toModelOutput: ({ output }) => ({ type: 'text', value: `They picked ${output}.` }),
    });
    // Both calls have one id, as some providers count.
    const script = [calls('pick', {}), calls('pick', {}), { text: 'Blue and red.' }];
    const { agent, model } = agentThatAdds(script, { tools: { pick } });
    const runtime = runtimeOf(agent);
    const run = await runtime.start(agent, { prompt: 'Paint it', thread: 't' });
    await runtime.until(run, 'waiting');
    await runtime.restart();
    await runtime.addToolOutput(run.id, { toolCallId: 'call_1', output: 'blue' });
    await expect.poll(() => model.calls).toHaveLength(2);
    await runtime.until(run, 'waiting');
    await runtime.addToolOutput(run.id, { toolCallId: 'call_1', output: 'red' });
    const result = await run.result();
    expect(result.text).toBe('Blue and red.');
    expect(lastAnswer(model.calls[1])).toContain('They picked blue.');
    expect(lastAnswer(model.calls[2])).toContain('They picked red.');
    expect(JSON.stringify(result.messages)).toMatch(/They picked blue\..*They picked red\./);
  });

  it('and that a client answers does not wait where it is not active', async () => {
    const model = scriptedModel([calls('pick', {}), { text: 'I cannot.' }]);
    const agent = new DurableAgent({
      model,
      prepareCall: (call) => ({
        ...call,
        tools: { pick: tool({ inputSchema: z.object({}) }) },
        prepareStep: () => ({ activeTools: [] }),
      }),
    });
    const runtime = runtimeOf(agent);
    const run = await runtime.start(agent, { prompt: 'Paint it' });
    expect((await run.result()).text).toBe('I cannot.');
    expect(model.calls.map(({ tools }) => tools)).toEqual([[], []]);
  });

  it('and that needs an approval has its schema and its people in the approval', async () => {
    const paid: unknown[] = [];
    const { agent } = agentThatAdds([calls('refund', { amount: 90 }), { text: 'Done.' }], {
      tools: { refund: refundTool(paid) },
      toolApproval: { refund: 'user-approval' },
      durable: { approvals: { refund: { approvers: ['ada'] } } },
    });
    const runtime = runtimeOf(agent);
    const run = await runtime.start(agent, { prompt: 'Refund' });
    const approval = await runtime.pendingApproval(run);
    expect(approval.inputSchema).toMatchObject({ properties: { amount: { type: 'number' } } });
    await runtime.restart();
    await expect(runtime.approvals.approve(approval.id, { by: 'ben' })).rejects.toMatchObject({ code: 'forbidden' });
    const tooMuch = runtime.approvals.approve(approval.id, { by: 'ada', input: { amount: 500 } });
    await expect(tooMuch).rejects.toMatchObject({ code: 'payload_invalid', details: { issues: [{ path: 'amount' }] } });
    await runtime.approvals.approve(approval.id, { by: 'ada', input: { amount: 45 } });
    await run.result();
    expect(paid).toEqual([{ amount: 45 }]);
  });

  it('takes what durable says of it in the answer of prepareCall', async () => {
    let attempts = 0;
    const flaky = tool({
      inputSchema: z.object({}),
      execute: () => {
        attempts += 1;
        if (attempts === 1) throw new Error('busy');
        return 'at last';
      },
    });
    const { agent, model } = agentThatAdds([calls('flaky', {}), { text: 'Done.' }], {
      tools: { flaky },
      durable: { tools: { flaky: { retries: 1 }, own: { retries: 2 } } },
    });
    const runtime = runtimeOf(agent);
    const run = await runtime.start(agent, { prompt: 'Go' });
    const ended = run.result();
    await runtime.clock.advance('5 s');
    await ended;
    expect(lastAnswer(model.calls[1])).toContain('at last');
  });

  it.each([
    ['tools', { tools: { flakey: { retries: 1 } } }],
    ['approvals', { approvals: { flakey: { needed: 2 } } }],
  ])('is named as it is called: durable.%s', async (group, durable) => {
    const { agent, model } = agentThatAdds([], { tools: { flaky: refundTool([]) }, durable });
    const runtime = runtimeOf(agent);
    const run = await runtime.start(agent, { prompt: 'Go' });
    const refusal = {
      code: 'tool_not_found',
      message: expect.stringContaining(
        `durable.${group}.flakey: the call has no tool "flakey". Its tools: "flaky", "own".`,
      ),
    };
    await expect(run.result()).rejects.toMatchObject({ cause: refusal });
    await expect(agent.generate({ prompt: 'Go' })).rejects.toMatchObject(refusal);
    expect(model.calls).toEqual([]);
  });

  it('has its settings checked by the compiler', () => {
    const mistakes = (): unknown[] => [
      new DurableAgent({
        model: scriptedModel([]),
        // @ts-expect-error retries is a number
        prepareCall: (call) => ({ ...call, durable: { tools: { refund: { retries: 'many' } } } }),
      }),
    ];
    expect(mistakes).toBeTypeOf('function');
  });
});

it('what a client has answered is shown as its tool says, also if the run is stopped before the other answers', async () => {
  const pick = tool({
    inputSchema: z.object({}),
    outputSchema: z.string(),
    toModelOutput: ({ output }) => ({ type: 'text', value: `They picked ${output}.` }),
  });
  const both = ['a', 'b'].map((toolCallId) => ({ toolName: 'pick', input: {}, toolCallId }));
  const model = scriptedModel([{ toolCalls: both }, { text: 'Well then.' }]);
  const agent = new DurableAgent({ model, tools: { pick } });
  const runtime = runtimeOf(agent);
  const run = await runtime.start(agent, { prompt: 'Paint it', thread: 't' });
  await runtime.until(run, 'waiting');
  await runtime.addToolOutput(run.id, { toolCallId: 'a', output: 'blue' });
  await expect.poll(async () => (await run.events()).map(({ type }) => type)).toContain('message_received');
  await runtime.until(run, 'waiting');
  await run.cancel();
  await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
  await (await runtime.start(agent, { prompt: 'And now?', thread: 't' })).result();
  expect(JSON.stringify(model.calls[1]?.prompt)).toContain('They picked blue.');
});

describe('an edited input', () => {
  it('is read by the schema once, and an agent that was deployed since may refuse it', async () => {
    const paid: unknown[] = [];
    const lengths = (longest: number) =>
      z.object({
        note: z
          .string()
          .max(longest)
          .transform((note) => note.length),
      });
    const deploy = (longest: number, script: ScriptedTurn[]) =>
      agentThatAdds(script, {
        tools: {
          send: tool({
            inputSchema: lengths(longest),
            execute: (input) => {
              paid.push(input);
              return 'sent';
            },
          }),
        },
        toolApproval: { send: 'user-approval' },
        durable: { tools: { send: { retries: 3 } } },
      });
    const old = deploy(10, [calls('send', { note: 'a' }), { text: 'Sent.' }, calls('send', { note: 'b' })]);
    const runtime = runtimeOf(old.agent);
    const first = await runtime.start(old.agent, { prompt: 'Go' });
    await runtime.approvals.approve((await runtime.pendingApproval(first)).id, { by: 'a', input: { note: 'four' } });
    await first.result();
    expect(paid).toEqual([{ note: 4 }]);

    const second = await runtime.start(old.agent, { prompt: 'Again' });
    const { id } = await runtime.pendingApproval(second);
    const narrow = deploy(2, [{ text: 'It does not fit.' }]);
    await runtime.restart({ agents: { agent: narrow.agent } });
    await runtime.approvals.approve(id, { by: 'a', input: { note: 'four' } });
    expect(await runtime.getRun<AgentResult>(second.id).result()).toMatchObject({ text: 'It does not fit.' });
    expect(lastAnswer(narrow.model.calls[0])).toContain('Cannot approve the call of \\"send\\" with this input: note');
    expect(paid).toHaveLength(1);
  });

  it('is that of the approved call alone, whatever ids the provider gives to later ones', async () => {
    const paid: unknown[] = [];
    const model = scriptedModel([calls('refund', { amount: 90 }), calls('refund', { amount: 3 }), { text: 'Done.' }]);
    const agent = new DurableAgent({
      model,
      tools: { refund: refundTool(paid) },
      toolApproval: { refund: ({ amount }) => (amount > 50 ? 'user-approval' : undefined) },
    });
    const runtime = runtimeOf(agent);
    const run = await runtime.start(agent, { prompt: 'Refund' });
    await runtime.approvals.approve((await runtime.pendingApproval(run)).id, { by: 'a', input: { amount: 60 } });
    await run.result();
    expect(paid).toEqual([{ amount: 60 }, { amount: 3 }]);
    expect(lastAnswer(model.calls[1])).toContain('changed its input');
    expect(lastAnswer(model.calls[2])).not.toContain('changed its input');
  });

  it('of an MCP tool is checked by the schema that the server has told', async () => {
    const sent: unknown[] = [];
    const server = await startMcpServer({
      lead: {
        description: 'Make a lead',
        inputSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
        call: (input) => {
          sent.push(input);
          return 'made';
        },
      },
    });
    const crm = mcpTools('crm', () => createMCPClient({ transport: { type: 'http', url: server.url } }));
    open.push(server, crm);
    const agent = new DurableAgent({
      model: scriptedModel([calls('lead', { name: 'Kim' }), { text: 'Made.' }]),
      prepareCall: async (call) => ({
        ...call,
        tools: { ...call.tools, ...(await crm.tools()) },
        toolApproval: { lead: 'user-approval' },
        durable: { tools: { lead: { onInDoubt: 'ask' } }, approvals: { lead: { needed: 1 } } },
      }),
    });
    const runtime = runtimeOf(agent);
    const run = await runtime.start(agent, { prompt: 'Go' });
    const { id, inputSchema } = await runtime.pendingApproval(run);
    expect(inputSchema).toMatchObject({ required: ['name'] });
    await runtime.restart();
    await expect(runtime.approvals.approve(id, { by: 'a', input: { name: 7 } })).rejects.toMatchObject({
      code: 'payload_invalid',
    });
    await runtime.approvals.approve(id, { by: 'a', input: { name: 'Ben' } });
    expect((await run.result()).text).toBe('Made.');
    expect(sent).toEqual([{ name: 'Ben' }]);
    expect((await run.events()).some(({ type }) => type === 'tool_started')).toBe(true);
  });

  it('of a tool whose schema nobody can read is not checked', async () => {
    const seen: unknown[] = [];
    const odd = tool({
      inputSchema: jsonSchema<{ n: number }>({ $ref: '#/nowhere' }),
      execute: (input) => {
        seen.push(input);
        return 'ok';
      },
    });
    const { agent } = agentThatAdds([calls('odd', { n: 1 }), { text: 'Done.' }], {
      tools: { odd },
      toolApproval: { odd: 'user-approval' },
    });
    const runtime = runtimeOf(agent);
    const run = await runtime.start(agent, { prompt: 'Go' });
    await runtime.approvals.approve((await runtime.pendingApproval(run)).id, { by: 'a', input: { n: 'x' } });
    await run.result();
    expect(seen).toEqual([{ n: 'x' }]);
  });
});
