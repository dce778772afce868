/** The code of docs/agents.md and docs/mcp.md, run: each block there stands in this file word for word. */

import { createMCPClient } from '@ai-sdk/mcp';
import { openai } from '@ai-sdk/openai';
import { tool } from 'ai';
import {
  createHook,
  DurableAgent,
  FatalError,
  getToolMetadata,
  mcpTools,
  sleep,
  smoothStream,
  step,
  workflow,
} from 'everturn';
import type { Runtime } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { startMcpServer } from '../support/mcp-server.ts';

const shop = vi.hoisted(() => ({
  payBack: vi.fn(async (order: string, amount: number, _options: { idempotencyKey: string }) => `${order}: ${amount}`),
  findOrder: vi.fn(async (order: string) => ({ order, total: 90 })),
  courier: vi.fn(async (parcel: string, _options: { answerTo: string }) => `collecting ${parcel}`),
  refuse: vi.fn((): Error | undefined => undefined),
}));
const { payBack, findOrder, courier } = shop;

vi.mock('@ai-sdk/openai', () => ({
  openai: (modelId: string) =>
    scriptedModel(
      ({ userText, toolResults }) => {
        const refused = modelId === 'gpt-5-mini' ? shop.refuse() : undefined;
        if (refused !== undefined) return refused;
        if (Object.keys(toolResults).length > 0) return `${modelId}: ${JSON.stringify(toolResults)}`;
        const call = /call (\w+) (\{.*\})/.exec(userText);
        if (call === null) return `${modelId}: you said "${userText}"`;
        return { toolCalls: [{ toolName: call[1] ?? '', input: JSON.parse(call[2] ?? '{}') }] };
      },
      { modelId },
    ),
}));

const lookUp = tool({
  description: 'Find an order',
  inputSchema: z.object({ order: z.string() }),
  execute: async ({ order }) => {
    if (!order.startsWith('A-')) throw new FatalError(`"${order}" is of another shop`);
    return findOrder(order);
  },
});

const payment = z.object({ order: z.string(), amount: z.number().positive() });
const refund = tool({
  description: 'Pay money back',
  inputSchema: payment,
  execute: ({ order, amount }) => payBack(order, amount, { idempotencyKey: getToolMetadata().idempotencyKey }),
});

const support = new DurableAgent({
  model: openai('gpt-5-mini'),
  instructions: 'You help the customers of a small shop.',
  tools: { refund, lookUp },
  toolApproval: { refund: ({ amount }) => (amount > 50 ? 'user-approval' : undefined) },
  durable: {
    tools: { refund: { timeout: '30s', onInDoubt: 'ask' }, lookUp: { retries: 2 } },
    approvals: { refund: { needed: 1, approvers: ['ada', 'ben'] } },
    turnRetries: 1,
    fallbackModels: [openai('gpt-5')],
    transform: smoothStream({ delayInMs: 1 }),
  },
});

async function answerAll(runtime: Runtime, thread: string): Promise<void> {
  const { items } = await runtime.approvals.list({ thread });
  for (const { id, question, tool: name, input } of items) {
    if (question === 'in-doubt') continue;
    const { order, amount } = payment.parse(input);
    if (amount > 500) await runtime.approvals.deny(id, { by: 'ada', reason: `${name}: too much` });
    else await runtime.approvals.approve(id, { by: 'ada', input: { order, amount: Math.min(amount, 100) } });
  }
}

async function say(runtime: Runtime, message: { id: string; text: string }): Promise<string> {
  const { id, text } = message;
  const run = await runtime.start(support, { id, prompt: text, thread: 'chat-7', whenBusy: 'steer' });
  return (await run.result()).text;
}

const ship = tool({
  description: 'Send a parcel',
  inputSchema: z.object({ parcel: z.string() }),
  execute: async ({ parcel }) => {
    const collected = createHook<{ by: string }>();
    await step('call the courier', () => courier(parcel, { answerTo: collected.token }));
    const { by } = await collected;
    await sleep('2 days');
    return `${by} has delivered ${parcel}.`;
  },
});

const writer = new DurableAgent({ id: 'writer', model: openai('gpt-5') });
const askWriter = tool({
  description: 'Let the writer write',
  inputSchema: z.object({ about: z.string() }),
  execute: async ({ about }) => (await writer.generate({ prompt: about })).text,
});

const digest = workflow('digest', async ({ orders }: { orders: string[] }) => {
  const found = await step('find', () => Promise.all(orders.map((order) => findOrder(order))));
  const { text } = await writer.generate({ prompt: `Sum up: ${JSON.stringify(found)}` });
  return text;
});

const clerk = new DurableAgent({ model: openai('gpt-5-mini'), tools: { ship, askWriter } });

const crm = mcpTools('crm', () => createMCPClient({ transport: { type: 'http', url: crmUrl } }));
const seller = new DurableAgent({
  model: openai('gpt-5-mini'),
  prepareCall: async (call) => ({
    ...call,
    tools: await crm.tools(),
    toolApproval: { erase: 'user-approval' },
    durable: { tools: { find: { retries: 2 } }, approvals: { erase: { approvers: ['ada'] } } },
  }),
});

let crmUrl = '';
let runtime: TestRuntime;
beforeEach(() => {
  vi.clearAllMocks();
  runtime = createTestRuntime({ agents: { support, clerk, seller }, workflows: { digest } });
});
afterEach(() => runtime.close());

const calling = (name: string, input: object): string => `call ${name} ${JSON.stringify(input)}`;

describe('docs/agents.md and docs/mcp.md', () => {
  it.each([
    ['agents.md', 5],
    ['mcp.md', 1],
  ])('shows code that stands here word for word, in at most 150 lines: %s', (name, count) => {
    const page = readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');
    const source = readFileSync(import.meta.filename, 'utf8');
    const blocks = [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map((match) => match[1] ?? '');
    expect(blocks.length).toBeGreaterThanOrEqual(count);
    for (const block of blocks) expect(source).toContain(block.trim());
    expect(page.trimEnd().split('\n').length).toBeLessThanOrEqual(150);
  });

  it('answers approvals from code, with an edited input or a reason', async () => {
    const run = await runtime.start(support, { prompt: calling('refund', { order: 'A-1', amount: 300 }), thread: 't' });
    await runtime.pendingApproval(run);
    await answerAll(runtime, 't');
    expect((await run.result()).text).toContain('A-1: 100');
    expect(payBack).toHaveBeenCalledWith('A-1', 100, { idempotencyKey: `${run.id}/agent#1/init/tool:call_1_1` });
    const large = await runtime.start(support, {
      prompt: calling('refund', { order: 'A-1', amount: 900 }),
      thread: 'u',
    });
    await runtime.pendingApproval(large);
    await answerAll(runtime, 'u');
    expect(JSON.stringify(await large.result())).toContain('too much');
    expect(payBack).toHaveBeenCalledTimes(1);
  });

  it('starts each message of a thread once, and the next one knows the thread', async () => {
    expect(await say(runtime, { id: 'm1', text: 'I am Kim.' })).toContain('I am Kim.');
    expect(await say(runtime, { id: 'm1', text: 'I am Kim.' })).toContain('I am Kim.');
    await say(runtime, { id: 'm2', text: 'Who am I?' });
    const { messages, runs } = await runtime.thread('chat-7');
    expect(runs.map(({ id }) => id)).toEqual(['m1', 'm2']);
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  });

  it('stops for good at a FatalError, and takes the next model when the first one fails', async () => {
    const lost = await runtime.start(support, { prompt: calling('lookUp', { order: 'B-1' }) });
    await expect(lost.result()).rejects.toMatchObject({ cause: { message: '"B-1" is of another shop' } });
    const refusal = Object.assign(new Error('overloaded'), { isRetryable: false });
    shop.refuse.mockReturnValueOnce(refusal);
    const run = await runtime.start(support, { prompt: 'Hello.' });
    expect((await run.result()).text).toContain('gpt-5: you said');
  });

  it('waits inside a tool, over processes', async () => {
    const run = await runtime.start(clerk, { prompt: calling('ship', { parcel: 'P-1' }) });
    await runtime.until(run, 'waiting');
    await runtime.restart();
    const [, { answerTo }] = courier.mock.calls[0] ?? ['', { answerTo: '' }];
    await runtime.resumeHook(answerTo, { by: 'Ben' });
    await runtime.until(run, 'waiting');
    await runtime.clock.advance('2 days');
    expect((await run.result()).text).toContain('Ben has delivered P-1.');
    expect(courier).toHaveBeenCalledTimes(1);
  });

  it('lets agents call agents, in tools and in workflows', async () => {
    const run = await runtime.start(clerk, { prompt: calling('askWriter', { about: 'the sea' }) });
    expect((await run.result()).text).toContain('you said \\"the sea\\"');
    const summary = await runtime.start(digest, { input: { orders: ['A-1'] } });
    expect(await summary.result()).toContain('Sum up: [{"order":"A-1","total":90}]');
  });

  it('takes the tools of an MCP server', async () => {
    const server = await startMcpServer({
      find: { description: 'Find', inputSchema: { type: 'object' }, call: () => 'Kim lives in Oslo.' },
      erase: { description: 'Erase', inputSchema: { type: 'object' }, call: () => 'Kim is erased.' },
    });
    crmUrl = server.url;
    const run = await runtime.start(seller, { prompt: calling('find', {}) });
    expect((await run.result()).text).toContain('Kim lives in Oslo.');
    const erasing = await runtime.start(seller, { prompt: calling('erase', {}) });
    expect((await runtime.pendingApproval(erasing)).approvers).toEqual(['ada']);
    await crm.close();
    await server.close();
  });

  it('asks a person about a call that its process did not survive', async () => {
    payBack.mockImplementationOnce(() => new Promise(() => {}));
    const run = await runtime.start(support, { prompt: calling('refund', { order: 'A-1', amount: 20 }) });
    await vi.waitFor(() => expect(payBack).toHaveBeenCalledTimes(1));
    await runtime.restart();
    const doubt = await runtime.pendingApproval(run);
    expect(doubt.question).toBe('in-doubt');
    await runtime.approvals.approve(doubt.id, { by: 'ada', result: 'A-1: 20, as the bank says' });
    expect((await run.result()).text).toContain('as the bank says');
    expect(payBack).toHaveBeenCalledTimes(1);
  });
});
