import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AgentResult } from '../../src/agent/run/agent-state.ts';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import type { Registrable } from '../../src/runtime/registrable.ts';
import { sqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';
import { scriptedModel, startRuntime, until, userTexts } from './run-kit.ts';
import type { Answer, Prompt, ScriptedModel } from './run-kit.ts';

let folder: string;
const runtimes: Runtime[] = [];
let refunds: unknown[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'everturn-approvals-'));
  refunds = [];
});

afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
  rmSync(folder, { recursive: true });
});

const refund = { id: 'call_1', name: 'refund', input: { order: 7, amount: 90 } };

function supportAgent(script: ScriptedModel, settings: object = {}) {
  const tools = {
    refund: tool({
      description: 'refund',
      inputSchema: z.object({ order: z.number(), amount: z.number().max(100) }),
      execute: (input) => {
        refunds.push(input);
        return { refunded: input.amount };
      },
    }),
    lookUp: tool({
      description: 'look up',
      inputSchema: z.object({ order: z.number() }),
      execute: ({ order }) => ({ order, total: 90 }),
    }),
  };
  return new DurableAgent({ model: script.model, tools, toolApproval: { refund: 'user-approval' }, ...settings });
}

function open(agent: Registrable): Runtime {
  const runtime = startRuntime({ store: sqliteStore(join(folder, 'app.db')), agents: { support: agent } });
  runtimes.push(runtime);
  return runtime;
}

function setUp(answers: Array<Answer | ((prompt: Prompt) => Answer)>, settings: object = {}) {
  const script = scriptedModel(answers);
  const agent = supportAgent(script, settings);
  return { script, agent, runtime: open(agent) };
}

async function pendingApproval(runtime: Runtime) {
  return until(async () => (await runtime.approvals.list()).items[0]);
}

async function waits(runtime: Runtime, run: string): Promise<void> {
  await until(async () => (await runtime.getRun(run).status) === 'waiting');
}

describe('an approval', () => {
  it('waits as a row, survives a restart and lets the tool run once when it is approved', async () => {
    const { script, agent, runtime } = setUp([{ text: 'I refund it. ', calls: [refund] }, { text: 'Done.' }]);
    const { id } = await runtime.start(agent, { prompt: 'Refund order 7' });
    const approval = await pendingApproval(runtime);
    expect(approval).toMatchObject({
      run: id,
      agent: 'support',
      tool: 'refund',
      toolCallId: 'call_1',
      input: refund.input,
      status: 'pending',
      turn: 1,
    });
    expect(approval.inputSchema).toMatchObject({ properties: { order: { type: 'number' } } });
    await waits(runtime, id);
    await runtime.close();
    expect(refunds).toEqual([]);

    const again = open(agent);
    const decided = await again.approvals.approve(approval.id, { by: 'user_7' });
    expect(decided).toMatchObject({ status: 'approved', answers: [{ by: 'user_7', approved: true }] });
    const result = await again.getRun<AgentResult>(id).result();
    expect(result.text).toBe('Done.');
    expect(refunds).toEqual([refund.input]);
    expect(script.prompts).toHaveLength(2);
    expect(result.uiMessage.parts).toContainEqual(
      expect.objectContaining({
        type: 'tool-refund',
        state: 'output-available',
        output: { refunded: 90 },
        approval: expect.objectContaining({ approved: true }),
      }),
    );
  });

  it('tells the model why it was denied, and the tool does not run', async () => {
    const { script, agent, runtime } = setUp([{ calls: [refund] }, { text: 'It was refused.' }]);
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    const { id } = await pendingApproval(runtime);
    await runtime.approvals.deny(id, { by: 'user_7', reason: 'too late' });
    await run.result();
    expect(refunds).toEqual([]);
    expect(JSON.stringify(script.prompts[1]?.at(-1))).toContain('too late');
  });

  it('runs with the edited input and tells the model that it was changed', async () => {
    const { script, agent, runtime } = setUp([{ calls: [refund] }, { text: 'Half of it.' }]);
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    const { id } = await pendingApproval(runtime);
    await waits(runtime, run.id);
    await runtime.close();
    const again = open(agent);
    await expect(again.approvals.approve(id, { by: 'user_7', input: { order: 7, amount: 500 } })).rejects.toMatchObject(
      { code: 'payload_invalid' },
    );
    await expect(again.approvals.approve(id, { by: 'user_7', input: { order: 7, amount: 500 } })).rejects.toThrow(
      'amount',
    );
    await again.approvals.approve(id, { by: 'user_7', input: { order: 7, amount: 45 } });
    const result = await again.getRun<AgentResult>(run.id).result();
    expect(refunds).toEqual([{ order: 7, amount: 45 }]);
    const call = result.messages[0]?.content;
    expect(call).toContainEqual(expect.objectContaining({ type: 'tool-call', input: refund.input }));
    expect(JSON.stringify(script.prompts[1]?.at(-1))).toContain('\\"amount\\":45');
  });

  it('is decided once: a later answer learns who decided and when', async () => {
    const { agent, runtime } = setUp([{ calls: [refund] }, { text: 'Done.' }]);
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    const { id } = await pendingApproval(runtime);
    await runtime.approvals.approve(id, { by: 'user_7' });
    const late = runtime.approvals.deny(id, { by: 'user_8' });
    await expect(late).rejects.toMatchObject({
      code: 'approval_decided',
      details: { by: 'user_7', status: 'approved' },
    });
    await expect(late).rejects.toThrow(/was approved by user_7 \d+ s ago/);
    await run.result();
    await expect(runtime.approvals.get('apr_unknown')).rejects.toMatchObject({ code: 'approval_not_found' });
    await expect(runtime.approvals.approve('apr_unknown', { by: 'user_7' })).rejects.toMatchObject({
      code: 'approval_not_found',
    });
    await expect(runtime.approvals.approve(id, { by: '' })).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('does not hold up the other calls of its turn; the next segment waits for all', async () => {
    const second = { ...refund, id: 'call_3', input: { order: 8, amount: 10 } };
    const lookUp = { id: 'call_2', name: 'lookUp', input: { order: 7 } };
    const { script, agent, runtime } = setUp([{ calls: [refund, lookUp, second] }, { text: 'Done.' }]);
    const run = await runtime.start(agent, { prompt: 'Refund' });
    const waiting = await until(async () => {
      const { items } = await runtime.approvals.list({ run: run.id });
      return items.length === 2 && items;
    });
    const [later, first] = waiting.toSorted((a, b) => (a.toolCallId < b.toolCallId ? 1 : -1));
    await runtime.approvals.approve(first?.id ?? '', { by: 'a' });
    await waits(runtime, run.id);
    expect(script.prompts).toHaveLength(1);
    await runtime.approvals.deny(later?.id ?? '', { by: 'b' });
    await run.result();
    expect(refunds).toEqual([refund.input]);
    const results = script.prompts[1]?.flatMap((message) => (message.role === 'tool' ? message.content : []));
    expect(results?.map((part) => (part.type === 'tool-result' ? part.toolCallId : part.type)).toSorted()).toEqual([
      'call_1',
      'call_2',
      'call_3',
    ]);
  });

  it('that was given does not run when its run is stopped before the others are decided, and the history says so', async () => {
    const calls = ['call_1', 'call_2', 'call_3'].map((id) => ({ ...refund, id }));
    const { script, agent, runtime } = setUp([{ calls }, { text: 'Nothing was refunded.' }]);
    const run = await runtime.start(agent, { prompt: 'Refund', thread: 't' });
    const { items } = await until(async () => {
      const page = await runtime.approvals.list({ run: run.id });
      return page.items.length === 3 && page;
    });
    const idOf = (toolCallId: string): string => items.find((item) => item.toolCallId === toolCallId)?.id ?? '';
    await runtime.approvals.approve(idOf('call_1'), { by: 'a' });
    await runtime.approvals.deny(idOf('call_2'), { by: 'b', reason: 'too much' });
    await waits(runtime, run.id);
    await run.cancel();
    await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
    await (await runtime.start(agent, { prompt: 'And now?', thread: 't' })).result();
    expect(refunds).toEqual([]);
    const results = script.prompts[1]?.flatMap((message) => (message.role === 'tool' ? message.content : []));
    const denied = (toolCallId: string, reason: unknown) =>
      expect.objectContaining({ toolCallId, output: { type: 'execution-denied', reason } });
    expect(results).toEqual([
      denied('call_1', expect.stringContaining('approved, but it was not executed')),
      denied('call_2', 'too much'),
      denied('call_3', expect.stringContaining('nobody approved it')),
    ]);
    const [, answer] = (await runtime.thread('t')).uiMessages;
    expect(
      answer?.parts.flatMap((part) => (part.type === 'tool-refund' && 'state' in part ? [part.state] : [])),
    ).toEqual(['output-error', 'output-denied', 'output-denied']);
  });

  it('needs as many people as the agent says', async () => {
    const { agent, runtime } = setUp([{ calls: [refund] }, { text: 'Done.' }], {
      durable: { approvals: { refund: { needed: 2 } } },
    });
    const run = await runtime.start(agent, { prompt: 'Refund' });
    const { id } = await pendingApproval(runtime);
    expect(await runtime.approvals.approve(id, { by: 'a' })).toMatchObject({ status: 'pending' });
    expect(await runtime.approvals.approve(id, { by: 'b' })).toMatchObject({ status: 'approved' });
    await run.result();
    expect(refunds).toHaveLength(1);
  });

  it('takes answers from its approvers alone', async () => {
    const { agent, runtime } = setUp([{ calls: [refund] }, { text: 'Done.' }], {
      durable: { approvals: { refund: { approvers: ['boss'] } } },
    });
    const run = await runtime.start(agent, { prompt: 'Refund' });
    const { id } = await pendingApproval(runtime);
    await expect(runtime.approvals.approve(id, { by: 'a' })).rejects.toThrow('its approvers are boss');
    await runtime.approvals.approve(id, { by: 'boss' });
    await run.result();
    expect(refunds).toHaveLength(1);
  });

  it('keeps a user message that comes meanwhile for the next segment', async () => {
    const { script, agent, runtime } = setUp([{ calls: [refund] }, { text: 'Done.' }, { text: 'You are welcome.' }]);
    const run = await runtime.start(agent, { prompt: 'Refund', thread: 't' });
    const { id } = await pendingApproval(runtime);
    await waits(runtime, run.id);
    const steered = await runtime.start(agent, { prompt: 'Thank you', thread: 't', whenBusy: 'steer' });
    expect(steered.id).toBe(run.id);
    await runtime.approvals.approve(id, { by: 'a' });
    const result = await run.result();
    expect(result.text).toBe('You are welcome.');
    expect(userTexts(script.prompts[1] ?? [])).toEqual(['Refund']);
    expect(userTexts(script.prompts[2] ?? [])).toEqual(['Refund', 'Thank you']);
  });

  it('shows its decision in the stream before anything of the next segment', async () => {
    const { agent, runtime } = setUp([{ calls: [refund] }, { text: 'Done.' }]);
    const run = await runtime.start(agent, { prompt: 'Refund' });
    const { id } = await pendingApproval(runtime);
    await runtime.approvals.approve(id, { by: 'a' });
    await run.result();
    const types: string[] = [];
    for await (const chunk of run.stream<UIMessageChunk>()) types.push(chunk.type);
    expect(types).toEqual([
      'start',
      'start-step',
      'tool-input-available',
      'tool-approval-request',
      'finish-step',
      'tool-approval-response',
      'tool-output-available',
      'start-step',
      'text-start',
      'text-delta',
      'text-end',
      'finish-step',
      'finish',
    ]);
  });
});

describe('a client-side tool', () => {
  it('waits for its output and goes on with it', async () => {
    const askUser = { description: 'ask', inputSchema: z.object({ question: z.string() }) };
    const script = scriptedModel([
      { calls: [{ id: 'c1', name: 'askUser', input: { question: 'Which?' } }] },
      { text: 'Blue it is.' },
    ]);
    const agent = new DurableAgent({ model: script.model, tools: { askUser } });
    const runtime = open(agent);
    const run = await runtime.start(agent, { prompt: 'Paint it' });
    await waits(runtime, run.id);
    await expect(runtime.addToolOutput(run.id, { toolCallId: 'c9', output: 1 })).rejects.toMatchObject({
      code: 'hook_not_found',
    });
    await runtime.addToolOutput(run.id, { toolCallId: 'c1', output: 'blue' });
    expect((await run.result()).text).toBe('Blue it is.');
    expect(JSON.stringify(script.prompts[1]?.at(-1))).toContain('blue');
    await expect(runtime.addToolOutput(run.id, { toolCallId: 'c1', output: 'red' })).rejects.toMatchObject({
      code: 'hook_already_resumed',
    });
  });
});
