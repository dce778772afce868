import { isStepCount, tool } from 'ai';
import type { ToolSet, UIMessageChunk } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AgentResult } from '../../src/agent/run/agent-state.ts';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import type { Store } from '../../src/runtime/store.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { foldMessage } from '../../src/streams/fold.ts';
import { killable } from '../support/killable.ts';
import { recordingLogger, scriptedModel, startRuntime, until } from './run-kit.ts';
import type { Answer, Prompt } from './run-kit.ts';

const runtimes: Runtime[] = [];

afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
});

function deploy(
  store: Store,
  {
    tools,
    answers,
    settings = {},
  }: { tools: ToolSet; answers: Array<Answer | ((prompt: Prompt) => Answer)>; settings?: object },
) {
  const script = scriptedModel(answers);
  const agent = new DurableAgent({ model: script.model, tools, ...settings });
  const { logger, lines } = recordingLogger();
  const runtime = startRuntime({
    store,
    logger,
    agents: { assistant: agent },
    worker: { leaseMs: 400, pollMs: 20, storeTimeoutMs: 300 },
  });
  runtimes.push(runtime);
  return { runtime, agent, script, lines };
}

function counter(name: string, seen: string[], wait?: Promise<void>) {
  return tool({
    description: name,
    inputSchema: z.object({}),
    execute: async () => {
      seen.push(name);
      await wait;
      return { done: name };
    },
  });
}

describe('a deploy in the middle of a segment', () => {
  it('that renames the tool keeps what was recorded and goes on with the new code', async () => {
    const store = memoryStore();
    const seen: string[] = [];
    const process = killable(store);
    const call = (id: string, name: string) => ({ id, name, input: {} });
    const old = deploy(process.store, {
      tools: { quick: counter('quick', seen), slow: counter('slow', seen, new Promise(() => {})) },
      answers: [
        { text: 'First. ', calls: [call('fc/a#1%', 'quick')] },
        { text: 'Second. ', calls: [call('b', 'slow')] },
      ],
    });
    const run = await old.runtime.start(old.agent, { id: 'r', prompt: 'Go' });
    await until(() => seen.includes('slow'));
    process.kill();

    const fresh = deploy(store, { tools: { rapid: counter('rapid', seen) }, answers: [{ text: 'Third.' }] });
    const result = await fresh.runtime.getRun<AgentResult>(run.id).result();
    expect(fresh.lines.filter(({ fields }) => fields['code'] === 'divergence')).toMatchObject([
      { level: 'warn', fields: { run: 'r', segment: 0 }, message: expect.stringContaining('goes on as messages') },
    ]);
    expect(seen).toEqual(['quick', 'slow']);
    expect(fresh.script.prompts[0]?.map((message) => message.role)).toEqual([
      'user',
      'assistant',
      'tool',
      'assistant',
      'tool',
    ]);
    expect(JSON.stringify(fresh.script.prompts[0]?.at(2))).toContain('quick');
    expect(result.messages.map((message) => message.role)).toEqual([
      'assistant',
      'tool',
      'assistant',
      'tool',
      'assistant',
    ]);
    const chunks: UIMessageChunk[] = [];
    for await (const chunk of fresh.runtime.getRun(run.id).stream<UIMessageChunk>()) chunks.push(chunk);
    const message = await foldMessage(chunks);
    expect(message?.parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))).toEqual([
      'First. ',
      'Second. ',
      'Third.',
    ]);
    expect(message).toEqual(result.uiMessage);
  });

  it('that stops the loop earlier keeps the turns that were recorded', async () => {
    const store = memoryStore();
    const seen: string[] = [];
    const process = killable(store);
    const call = (id: string, name: string) => ({ id, name, input: {} });
    const quick = counter('quick', seen);
    const old = deploy(process.store, {
      tools: { quick, slow: counter('slow', seen, new Promise(() => {})) },
      answers: [{ calls: [call('a', 'quick')] }, { text: 'Second. ', calls: [call('b', 'slow')] }],
    });
    await old.runtime.start(old.agent, { id: 'r', prompt: 'Go' });
    await until(() => seen.includes('slow'));
    process.kill();

    const fresh = deploy(store, {
      tools: { quick, slow: counter('slow', seen) },
      answers: [{ text: 'Third.' }],
      settings: { stopWhen: isStepCount(1) },
    });
    const result = await fresh.runtime.getRun<AgentResult>('r').result();
    expect(result).toMatchObject({ text: 'Third.', turns: 3 });
    expect(seen).toEqual(['quick', 'slow']);
  });

  it('keeps what approved calls have answered when the code no longer asks for them', async () => {
    const store = memoryStore();
    const seen: string[] = [];
    const process = killable(store);
    const settings = { toolApproval: { pay: 'user-approval', ship: 'user-approval' } };
    const calls = [
      { id: 'a/1', name: 'pay', input: { amount: 9 } },
      { id: 'b', name: 'ship', input: {} },
    ];
    const pay = tool({ inputSchema: z.object({ amount: z.number() }), execute: ({ amount }) => ({ paid: amount }) });
    const old = deploy(process.store, {
      tools: { pay, ship: counter('ship', seen, new Promise(() => {})) },
      answers: [{ calls }],
      settings,
    });
    const run = await old.runtime.start(old.agent, { id: 'r', prompt: 'Pay and ship' });
    const { items } = await until(async () => {
      const page = await old.runtime.approvals.list();
      return page.items.length === 2 && page;
    });
    const idOf = (name: string): string => items.find((item) => item.tool === name)?.id ?? '';
    await old.runtime.approvals.approve(idOf('pay'), { by: 'a', input: { amount: 5 } });
    await old.runtime.approvals.approve(idOf('ship'), { by: 'a' });
    await until(async () => {
      const paid = (await run.events()).some(({ type, key }) => type === 'tool_completed' && key.includes('a%2F1'));
      return paid && seen.includes('ship');
    });
    process.kill();

    // Both have become tools that a client answers: nothing here executes them any more.
    const fresh = deploy(store, {
      tools: { pay: { inputSchema: pay.inputSchema }, ship: { inputSchema: z.object({}) } },
      answers: [{ text: 'Paid.' }],
      settings,
    });
    const result = await fresh.runtime.getRun<AgentResult>('r').result();
    expect(result.text).toBe('Paid.');
    expect(seen).toEqual(['ship']);
    const results = fresh.script.prompts[0]?.flatMap((message) => (message.role === 'tool' ? message.content : []));
    expect(results).toEqual([
      expect.objectContaining({
        toolCallId: 'a/1',
        output: {
          type: 'json',
          value: { note: expect.stringContaining('{"amount":5}'), result: { paid: 5 } },
        },
      }),
      expect.objectContaining({
        toolCallId: 'b',
        output: { type: 'error-text', value: expect.stringContaining('may or may not have taken effect') },
      }),
    ]);
  });

  it('while an approval waits, that removes the tool, tells the model', async () => {
    const store = memoryStore();
    const seen: string[] = [];
    const settings = { toolApproval: { pay: 'user-approval' } };
    const old = deploy(killable(store).store, {
      tools: { pay: counter('pay', seen) },
      answers: [{ calls: [{ id: 'a', name: 'pay', input: {} }] }],
      settings,
    });
    const run = await old.runtime.start(old.agent, { id: 'r', prompt: 'Pay' });
    const approval = await until(async () => (await old.runtime.approvals.list()).items[0]);
    await until(async () => (await run.status) === 'waiting');
    await old.runtime.close();

    const fresh = deploy(store, { tools: {}, answers: [{ text: 'I cannot pay.' }] });
    await fresh.runtime.approvals.approve(approval.id, { by: 'a' });
    const result = await fresh.runtime.getRun<AgentResult>('r').result();
    expect(result.text).toBe('I cannot pay.');
    expect(seen).toEqual([]);
    expect(JSON.stringify(fresh.script.prompts[0]?.at(-1))).toContain('no such tool');
  });
});

describe('a tool whose process died while it ran', () => {
  it.each([
    ['again', {}, ['charge', 'charge']],
    ['as done, with its result', { result: { receipt: 9 } }, ['charge']],
  ])('asks a person, who lets it stand %s', async (_, answer, runs) => {
    const store = memoryStore();
    const seen: string[] = [];
    const settings = { durable: { tools: { charge: { onInDoubt: 'ask' } } } };
    const process = killable(store);
    const call = { calls: [{ id: 'a', name: 'charge', input: {} }] };
    const died = deploy(process.store, {
      tools: { charge: counter('charge', seen, new Promise(() => {})) },
      answers: [call],
      settings,
    });
    const run = await died.runtime.start(died.agent, { id: 'r', prompt: 'Charge' });
    await until(() => seen.includes('charge'));
    process.kill();

    const next = deploy(store, {
      tools: { charge: counter('charge', seen) },
      answers: [{ text: 'Charged.' }],
      settings,
    });
    const approval = await until(async () => (await next.runtime.approvals.list()).items[0]);
    expect(approval).toMatchObject({ question: 'in-doubt', tool: 'charge', toolCallId: 'a' });
    expect(approval.reason).toContain(`${run.id}/agent#0/t0/tool:a`);
    await next.runtime.approvals.approve(approval.id, { by: 'user_7', ...answer });
    const result = await next.runtime.getRun<AgentResult>('r').result();
    expect(seen).toEqual(runs);
    expect(JSON.stringify(result.messages[1])).toContain('result' in answer ? 'receipt' : 'charge');
  });
});
