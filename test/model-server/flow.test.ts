import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, isStepCount, tool } from 'ai';
import type { LanguageModel, ModelMessage, ToolSet } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { unmarkText } from '../../examples/model-server/plan.ts';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer, ModelServerOptions } from '../../examples/model-server/server.ts';
import { flows, weatherTools } from './scenarios.ts';

const servers: ModelServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function begin(options: ModelServerOptions = {}): Promise<{ server: ModelServer; model: LanguageModel }> {
  const server = await startModelServer({ scenarios: flows, ...options });
  servers.push(server);
  return { server, model: modelAt(server.baseURL) };
}

function modelAt(baseURL: string): LanguageModel {
  return createOpenAI({ baseURL, apiKey: 'local' })('gpt-4.1');
}

describe('choosing a scenario', () => {
  it('goes on with a flow when the user speaks in the middle of it', async () => {
    const { server, model } = await begin();
    const first = await generateText({ model, prompt: 'The weather?', tools: weatherTools });
    const messages: ModelMessage[] = [
      { role: 'user', content: 'The weather?' },
      ...first.responseMessages,
      { role: 'user', content: 'Please hurry' },
    ];
    await generateText({ model, messages, tools: weatherTools });
    expect(server.log.map((entry) => [entry.scenario, entry.turn])).toEqual([
      ['weather', 0],
      ['weather', 1],
    ]);
  });

  it('starts anew after a final answer', async () => {
    const { server, model } = await begin();
    const first = await generateText({ model, prompt: 'A story' });
    const messages: ModelMessage[] = [
      { role: 'user', content: 'A story' },
      ...first.responseMessages,
      { role: 'user', content: 'Thanks' },
    ];
    const second = await generateText({ model, messages });
    expect(unmarkText(second.text)).toBe('You said: Thanks.');
    expect(server.log.map((entry) => [entry.scenario, entry.turn])).toEqual([
      ['story', 0],
      ['echo', 0],
    ]);
  });

  it('calls a tool that the user mentions, with arguments from the text', async () => {
    const { server, model } = await begin({ scenarios: [] });
    const result = await generateText({
      model,
      prompt: 'What is the weather in New York?',
      tools: { weather: weatherTools['weather'] } as ToolSet,
      stopWhen: isStepCount(3),
    });
    expect(unmarkText(result.text)).toBe('The answer of weather is: New York: 12 degrees');
    expect(server.log.map((entry) => entry.scenario)).toEqual(['tool', 'tool']);
  });

  it('tells a mistake in a scenario as an error that nobody retries', async () => {
    const { server, model } = await begin({
      scenarios: [{ name: 'broken', matches: /./, replies: () => JSON.parse('{') }],
    });
    await expect(generateText({ model, prompt: 'Hi' })).rejects.toThrow('Scenario "broken" failed');
    expect(server.log).toHaveLength(1);
  });
});

describe('ordering faults', () => {
  it('takes them from the user text, as often as it says', async () => {
    const { server, model } = await begin();
    const prompt = 'A story [fault: 429 retryAfterMs=1 times=2]';
    await generateText({ model, prompt });
    expect(server.log.map((entry) => entry.status)).toEqual([429, 429, 200]);
  });

  it('takes them from a reply, once', async () => {
    const replies = [{ text: 'Safe and sound.', fault: { kind: 'cut', afterTokens: 1 } as const }];
    const { server, model } = await begin({ scenarios: [{ name: 'shaky', matches: /./, replies }] });
    await expect(generateText({ model, prompt: 'Hi', maxRetries: 0 })).rejects.toThrow();
    expect(unmarkText((await generateText({ model, prompt: 'Hi' })).text)).toBe('Safe and sound.');
    expect(server.log.map((entry) => entry.outcome)).toEqual(['cut', 'completed']);
  });

  it('takes them over HTTP, for one turn of a flow', async () => {
    const { server, model } = await begin();
    const fault = JSON.stringify({ kind: '500', turn: 1, retryAfterMs: 1 });
    expect((await fetch(`${server.url}/faults`, { method: 'POST', body: fault })).status).toBe(200);
    await generateText({ model, prompt: 'The weather?', tools: weatherTools, stopWhen: isStepCount(3) });
    expect(server.log.map((entry) => [entry.turn, entry.status])).toEqual([
      [0, 200],
      [1, 500],
      [1, 200],
      [2, 200],
    ]);
  });

  it('refuses a fault that it does not know', async () => {
    const { server } = await begin();
    const response = await fetch(`${server.url}/faults`, { method: 'POST', body: '{"kind":"flood"}' });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('flood');
  });
});

describe('the log', () => {
  it('is served over HTTP and written to a file, from which a later server knows the responses', async () => {
    const logFile = join(mkdtempSync(join(tmpdir(), 'model-server-')), 'requests.jsonl');
    const { server, model } = await begin({ logFile });
    const first = await generateText({ model, prompt: 'A story' });
    const served = (await (await fetch(`${server.url}/log`)).json()) as unknown;
    expect(served).toEqual(JSON.parse(JSON.stringify(server.log)));
    expect(server.log[0]).toMatchObject({
      request: { model: 'gpt-4.1', input: [{ role: 'user' }] },
      scenario: 'story',
    });
    const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(served);

    const next = await begin({ logFile });
    const messages: ModelMessage[] = [...first.responseMessages, { role: 'user', content: 'Another story' }];
    await generateText({ model: next.model, messages });
    expect(next.server.log).toMatchObject([
      { status: 200, request: { input: [{ type: 'item_reference' }, { role: 'user' }] } },
    ]);
  });

  it('gives equal histories equal hashes and others another', async () => {
    const { server, model } = await begin();
    for (const prompt of ['A story', 'A story', 'A long story']) await generateText({ model, prompt });
    const [one, two, three] = server.log.map((entry) => entry.conversation);
    expect(two).toBe(one);
    expect(three).not.toBe(one);
  });
});

describe('the support flow', () => {
  const inputs = {
    searchOrders: z.object({ text: z.string().optional(), customer: z.string().optional() }),
    readOrder: z.object({ orderId: z.number() }),
    refund: z.object({ orderId: z.number(), amount: z.number(), reason: z.string() }),
    sendMessage: z.object({ customerId: z.number(), text: z.string() }),
  };
  const order = { id: 1042, customerId: 17, item: 'kettle', total: 89 };
  const prompt = 'My kettle from order 1042 arrived broken, I want my money back';

  function supportTools(refund: () => unknown): ToolSet {
    return {
      searchOrders: tool({ inputSchema: inputs.searchOrders, execute: async () => ({ orders: [order] }) }),
      readOrder: tool({ inputSchema: inputs.readOrder, execute: async () => order }),
      refund: tool({ inputSchema: inputs.refund, execute: async () => refund() }),
      sendMessage: tool({ inputSchema: inputs.sendMessage, execute: async () => ({ sent: true }) }),
    };
  }

  async function talk(text: string, refund: () => unknown) {
    const { model } = await begin({ scenarios: [] });
    const result = await generateText({ model, prompt: text, tools: supportTools(refund), stopWhen: isStepCount(8) });
    const calls = result.steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input as unknown]));
    return { result, calls };
  }

  it('looks, refunds, tells the customer and sums up', async () => {
    const { result, calls } = await talk(prompt, () => ({ refundId: 7, amount: 89 }));
    expect(calls).toEqual([
      ['readOrder', { orderId: 1042 }],
      ['refund', { orderId: 1042, amount: 89, reason: 'arrived broken' }],
      ['sendMessage', { customerId: 17, text: expect.stringContaining('89.00 EUR') as string }],
    ]);
    const words = unmarkText(result.steps[1]?.text ?? '').split(' ').length;
    expect(words).toBeGreaterThanOrEqual(60);
    expect(words).toBeLessThanOrEqual(120);
    expect(result.text).toContain('89.00 EUR');
  });

  it('searches when the user names no order', async () => {
    const { calls } = await talk('I want a refund for my kettle', () => ({ refundId: 7, amount: 89 }));
    expect(calls.map(([name]) => name)).toEqual(['searchOrders', 'refund', 'sendMessage']);
  });

  it('apologizes and offers something else when the refund was denied', async () => {
    const { result, calls } = await talk(prompt, () => 'Tool call execution denied.');
    expect(calls.map(([name]) => name)).toEqual(['readOrder', 'refund']);
    expect(unmarkText(result.text)).toMatch(/^I am sorry: the refund .* was not approved.*voucher/);
  });
});

describe('the server as a process', () => {
  it('prints its base URL and answers', async () => {
    const main = new URL('../../examples/model-server/main.ts', import.meta.url);
    const child = spawn(process.execPath, [main.pathname, '--pacing', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const [baseURL] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const result = await generateText({ model: modelAt(baseURL), prompt: 'Hi' });
    expect(unmarkText(result.text)).toBe('You said: Hi.');
    child.kill();
    await exited;
  });
});
