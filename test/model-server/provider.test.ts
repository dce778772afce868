import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, isStepCount, jsonSchema, Output, streamText } from 'ai';
import type { LanguageModel } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { unmarkText } from '../../examples/model-server/plan.ts';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer, ModelServerOptions } from '../../examples/model-server/server.ts';
import { startAnthropicServer } from '../support/anthropic-server.ts';
import { flows, tokensIn, weatherTools } from './scenarios.ts';

interface Dialect {
  name: string;
  start: (options: ModelServerOptions) => Promise<ModelServer>;
  model: (baseURL: string) => LanguageModel;
}

const dialects: Dialect[] = [
  {
    name: 'OpenAI, reasoning model',
    start: startModelServer,
    model: (baseURL) => createOpenAI({ baseURL, apiKey: 'local' })('gpt-5'),
  },
  {
    name: 'OpenAI, item references',
    start: startModelServer,
    model: (baseURL) => createOpenAI({ baseURL, apiKey: 'local' })('gpt-4.1'),
  },
  {
    name: 'Anthropic',
    start: startAnthropicServer,
    model: (baseURL) => createAnthropic({ baseURL, apiKey: 'local' })('claude-sonnet-4-5'),
  },
];

const servers: ModelServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

describe.each(dialects)('model server through the provider: $name', ({ start, model }) => {
  async function begin(options: ModelServerOptions = {}): Promise<{ server: ModelServer; llm: LanguageModel }> {
    const server = await start({ scenarios: flows, ...options });
    servers.push(server);
    return { server, llm: model(server.baseURL) };
  }

  it('streams a text whose first, middle and last words are the token of its log entry', async () => {
    const { server, llm } = await begin();
    const text = await streamText({ model: llm, prompt: 'Tell me a story' }).text;
    const words = text.split(' ');
    const token = server.log[0]?.token ?? '';
    expect(token).toMatch(/^tk_[0-9a-f]{8}$/);
    expect([words[0], words[Math.ceil((words.length - 1) / 2)], words.at(-1)]).toEqual([token, token, token]);
    expect(text).toContain('Once upon a time');
    expect(server.log).toMatchObject([{ scenario: 'story', turn: 0, status: 200, outcome: 'completed', stream: true }]);
    expect(server.log[0]?.sentTokens).toBe(words.length);
  });

  it('runs several turns with parallel calls, and logs one response per turn', async () => {
    const { server, llm } = await begin();
    const result = streamText({
      model: llm,
      prompt: 'How is the weather?',
      tools: weatherTools,
      stopWhen: isStepCount(5),
    });
    const steps = await result.steps;
    expect(steps.map((step) => step.toolResults.map((part) => part.output))).toEqual([
      ['Oslo: 12 degrees', 'Bergen: 12 degrees'],
      [{ fahrenheit: 53.6 }],
      [],
    ]);
    expect(unmarkText(await result.text)).toBe('Oslo: 12 degrees and Bergen: 12 degrees and {"fahrenheit":53.6}');
    expect(server.log.map((entry) => [entry.turn, entry.outcome])).toEqual([
      [0, 'completed'],
      [1, 'completed'],
      [2, 'completed'],
    ]);
    expect(steps.map((step) => [...new Set(tokensIn(JSON.stringify(step.content)))])).toEqual([
      [server.log[0]?.token],
      // The second turn has calls only; its answer is named by them.
      [server.log[1]?.token],
      [server.log[2]?.token],
    ]);
    expect(new Set(server.log.map((entry) => entry.conversation)).size).toBe(3);
  });

  it('answers without streaming as well', async () => {
    const { server, llm } = await begin();
    const result = await generateText({
      model: llm,
      prompt: 'The weather?',
      tools: weatherTools,
      stopWhen: isStepCount(5),
    });
    expect(result.steps).toHaveLength(3);
    expect(result.text).toContain('"fahrenheit"');
    expect(result.finishReason).toBe('stop');
    expect(result.totalUsage.outputTokens).toBeGreaterThan(20);
    expect(server.log.map((entry) => entry.stream)).toEqual([false, false, false]);
  });

  it('gives a repeated request the same reply under a new token and new call ids', async () => {
    const { server, llm } = await begin();
    const ask = () => generateText({ model: llm, prompt: 'The weather?', tools: weatherTools });
    const [first, second] = [await ask(), await ask()];
    expect(server.log[0]?.conversation).toBe(server.log[1]?.conversation);
    expect(unmarkText(first.text)).toBe(unmarkText(second.text));
    const ids = [...first.toolCalls, ...second.toolCalls].map((call) => call.toolCallId);
    expect(new Set(ids).size).toBe(4);
  });

  it('passes reasoning along and takes it back in the next turn', async () => {
    const thoughtful = {
      name: 'thoughtful',
      matches: /think/,
      replies: [
        {
          reasoning: 'A tool knows.',
          text: 'One moment.',
          toolCalls: [{ name: 'convert', arguments: { celsius: 0 } }],
        },
        { reasoning: 'Now I know.', text: 'Freezing.' },
      ],
    };
    const { server, llm } = await begin({ scenarios: [thoughtful] });
    const result = streamText({ model: llm, prompt: 'think', tools: weatherTools, stopWhen: isStepCount(3) });
    expect((await result.steps).map((step) => step.reasoningText)).toEqual(['A tool knows.', 'Now I know.']);
    expect(server.log.map((entry) => entry.outcome)).toEqual(['completed', 'completed']);
  });

  it('retries after a 429 and a 500, as soon as retry-after says', async () => {
    const { server, llm } = await begin();
    server.failNext({ kind: '429', retryAfterMs: 1 });
    server.failNext({ kind: '500', retryAfterMs: 1 });
    const result = await generateText({ model: llm, prompt: 'A story' });
    expect(tokensIn(result.text)).toHaveLength(3);
    expect(server.log.map((entry) => [entry.status, entry.fault, entry.outcome])).toEqual([
      [429, '429', 'rejected'],
      [500, '500', 'rejected'],
      [200, null, 'completed'],
    ]);
  });

  it('cuts the socket after as many tokens as it was told', async () => {
    const { server, llm } = await begin();
    server.failNext({ kind: 'cut', afterTokens: 4 });
    const result = streamText({ model: llm, prompt: 'A story', maxRetries: 0, onError: () => undefined });
    let seen = '';
    await expect(async () => {
      for await (const delta of result.textStream) seen += delta;
      await result.finalStep;
    }).rejects.toThrow();
    expect(seen.trim().split(' ')).toEqual([server.log[0]?.token, 'Once', 'upon', 'a']);
    expect(server.log).toMatchObject([{ outcome: 'cut', sentTokens: 4, status: 200 }]);
  });

  it('fails in mid-stream with an error event', async () => {
    const { server, llm } = await begin();
    server.failNext({ kind: 'error-event', afterTokens: 2 });
    const errors: unknown[] = [];
    const result = streamText({
      model: llm,
      prompt: 'A story',
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    });
    await result.consumeStream();
    expect(await result.finishReason).toBe('error');
    expect(JSON.stringify(errors)).toMatch(/server_error|api_error/);
    expect(server.log).toMatchObject([{ outcome: 'failed', sentTokens: 2 }]);
  });

  it('stops at a token limit, be it a fault or the request', async () => {
    const { server, llm } = await begin();
    server.failNext({ kind: 'incomplete', afterTokens: 3 });
    const limited = await generateText({ model: llm, prompt: 'A story' });
    expect([limited.finishReason, limited.text.trim().split(' ').length]).toEqual(['length', 3]);
    const asked = await generateText({ model: llm, prompt: 'A story', maxOutputTokens: 16 });
    expect(asked.finishReason).toBe('length');
    expect(server.log.map((entry) => entry.outcome)).toEqual(['incomplete', 'incomplete']);
  });

  it('hangs until the client leaves', async () => {
    const { server, llm } = await begin();
    server.failNext({ kind: 'hang', afterTokens: 2 });
    const abort = new AbortController();
    const result = streamText({ model: llm, prompt: 'A story', abortSignal: abort.signal });
    const reading = result.consumeStream();
    await server.until((entry) => entry.outcome === 'hung');
    abort.abort();
    await reading;
    expect(server.log).toMatchObject([{ outcome: 'hung', sentTokens: 2 }]);
  });

  it('notices that the client left in mid-answer', async () => {
    const { server, llm } = await begin({ pacingMs: 5 });
    const abort = new AbortController();
    const reading = streamText({ model: llm, prompt: 'A story', abortSignal: abort.signal }).consumeStream();
    await server.until((entry) => entry.sentTokens >= 2);
    abort.abort();
    await reading;
    const entry = await server.until(({ outcome }) => outcome !== 'open');
    expect(entry.outcome).toBe('aborted');
    expect(entry.sentTokens).toBeLessThan(20);
  });

  it('sends JSON without tokens when JSON is asked for', async () => {
    const { server, llm } = await begin();
    const schema = jsonSchema<{ heard: string }>({
      type: 'object',
      properties: { heard: { type: 'string' } },
      required: ['heard'],
      additionalProperties: false,
    });
    const result = await generateText({ model: llm, prompt: 'Hi', output: Output.object({ schema }) });
    expect(result.output).toEqual({ heard: 'You said: Hi.' });
    expect(server.log).toMatchObject([{ scenario: 'echo', outcome: 'completed' }]);
  });
});
