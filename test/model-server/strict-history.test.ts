import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import type { LanguageModelV4Message, LanguageModelV4Prompt } from '@ai-sdk/provider';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { startAnthropicServer } from '../support/anthropic-server.ts';

const user: LanguageModelV4Message = { role: 'user', content: [{ type: 'text', text: 'Hi' }] };
const answer: LanguageModelV4Message = { role: 'assistant', content: [{ type: 'text', text: 'Hello' }] };

function call(...ids: string[]): LanguageModelV4Message {
  return {
    role: 'assistant',
    content: ids.map((toolCallId) => ({ type: 'tool-call', toolCallId, toolName: 'look', input: { at: 1 } })),
  };
}

function result(...ids: string[]): LanguageModelV4Message {
  return {
    role: 'tool',
    content: ids.map((toolCallId) => ({
      type: 'tool-result',
      toolCallId,
      toolName: 'look',
      output: { type: 'text', value: 'seen' },
    })),
  };
}

interface Case {
  name: string;
  prompt: LanguageModelV4Prompt;
  openai: string | null;
  anthropic: string | null;
}

const cases: Case[] = [
  { name: 'a plain exchange', prompt: [user, answer, user], openai: null, anthropic: null },
  { name: 'answered parallel calls', prompt: [user, call('a', 'b'), result('b', 'a')], openai: null, anthropic: null },
  {
    name: 'a user message behind the results',
    prompt: [user, call('a'), result('a'), user],
    openai: null,
    anthropic: null,
  },
  {
    name: 'a call without its result',
    prompt: [user, call('a'), user],
    openai: 'No tool output found for function call a.',
    anthropic:
      'messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a. Each `tool_use` block must have a corresponding `tool_result` block in the next message.',
  },
  {
    name: 'one of two parallel calls without its result',
    prompt: [user, call('a', 'b'), result('a')],
    openai: 'No tool output found for function call b.',
    anthropic:
      'messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: b. Each `tool_use` block must have a corresponding `tool_result` block in the next message.',
  },
  {
    name: 'a result without its call',
    prompt: [user, answer, result('a')],
    openai: 'No tool call found for function call output with call_id a.',
    anthropic:
      'messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: a. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.',
  },
  {
    name: 'a call answered twice',
    prompt: [user, call('a'), result('a', 'a')],
    openai: 'No tool call found for function call output with call_id a.',
    anthropic:
      'messages.2.content.1: each tool_use must have a single result. Found multiple `tool_result` blocks with id: a',
  },
  {
    name: 'nothing at all',
    prompt: [],
    openai: 'One of "input" or "previous_response_id" or \'prompt\' or \'conversation_id\' must be provided.',
    anthropic: 'messages: at least one message is required',
  },
  {
    name: 'a conversation that the model began',
    prompt: [answer, user],
    openai: null,
    anthropic: 'messages: first message must use the "user" role',
  },
  {
    name: 'a last word of the assistant',
    prompt: [user, answer],
    openai: null,
    anthropic: 'This model does not support assistant message prefill. The conversation must end with a user message.',
  },
  {
    name: 'an empty user message',
    prompt: [{ role: 'user', content: [] }],
    openai: null,
    anthropic: 'messages.0: user messages must have non-empty content',
  },
  {
    name: 'a call id that is too long',
    prompt: [user, call('c'.repeat(65)), result('c'.repeat(65))],
    openai:
      "Invalid 'input[1].call_id': string too long. Expected a string with maximum length 64, but got a string with length 65 instead.",
    anthropic: null,
  },
  {
    name: 'a call id that was used before',
    prompt: [user, call('a'), result('a'), call('a'), result('a')],
    openai: null,
    anthropic: 'messages.3.content.0: `tool_use` ids must be unique',
  },
];

const servers: ModelServer[] = [];
beforeAll(async () => {
  servers.push(await startModelServer(), await startAnthropicServer());
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()));
});

function started(index: number): ModelServer {
  const server = servers[index];
  if (!server) throw new Error('The server has not started.');
  return server;
}

describe('histories through the OpenAI provider', () => {
  it.each(cases)('$name', async ({ prompt, openai }) => {
    const server = started(0);
    const model = createOpenAI({ baseURL: server.baseURL, apiKey: 'local' })('gpt-5');
    const outcome = await Promise.resolve(model.doGenerate({ prompt })).catch((error: unknown) => error);
    if (openai === null) expect(outcome).toMatchObject({ finishReason: { unified: 'stop' } });
    else expect(outcome).toMatchObject({ statusCode: 400, isRetryable: false, message: openai });
    expect(server.log.at(-1)).toMatchObject({ status: openai === null ? 200 : 400, error: openai });
  });
});

describe('histories through the Anthropic provider', () => {
  it.each(cases)('$name', async ({ prompt, anthropic }) => {
    const server = started(1);
    const model = createAnthropic({ baseURL: server.baseURL, apiKey: 'local' })('claude-sonnet-4-5');
    const outcome = await Promise.resolve(model.doGenerate({ prompt })).catch((error: unknown) => error);
    if (anthropic === null) expect(outcome).toMatchObject({ finishReason: { unified: 'stop' } });
    else expect(outcome).toMatchObject({ statusCode: 400, isRetryable: false, message: anthropic });
    expect(server.log.at(-1)).toMatchObject({ status: anthropic === null ? 200 : 400, error: anthropic });
  });
});

describe('items of the Responses API', () => {
  const message = { role: 'user', content: 'Hi' };

  async function post(input: unknown): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${started(0).baseURL}/responses`, {
      method: 'POST',
      body: JSON.stringify({ model: 'gpt-5', input }),
    });
    return { status: response.status, body: await response.json() };
  }

  it.each([
    {
      name: 'an unknown reference',
      input: [{ type: 'item_reference', id: 'msg_x' }],
      text: "Item with id 'msg_x' not found.",
    },
    {
      name: 'the same item twice',
      input: [
        { type: 'item_reference', id: 'msg_x' },
        { type: 'item_reference', id: 'msg_x' },
      ],
      text: 'Duplicate item found with id msg_x. Remove duplicate items from your input and try again.',
    },
    {
      name: 'reasoning that leads to nothing',
      input: [{ type: 'reasoning', id: 'rs_x', summary: [] }, message],
      text: "Item 'rs_x' of type 'reasoning' was provided without its required following item.",
    },
    {
      name: 'a content type that only the model may use',
      input: [{ role: 'user', content: [{ type: 'output_text', text: 'Hi' }] }],
      text: "Invalid value: 'output_text'. Supported values are: 'input_text', 'input_image', and 'input_file'.",
    },
    {
      name: 'an output before its call',
      input: [
        { type: 'function_call_output', call_id: 'a', output: '' },
        { type: 'function_call', call_id: 'a', name: 'look', arguments: '{}' },
      ],
      text: 'No tool call found for function call output with call_id a.',
    },
  ])('refuses $name in the form of an OpenAI error', async ({ input, text }) => {
    const { status, body } = await post(input);
    expect(status).toBe(400);
    expect(body).toMatchObject({ error: { message: text, type: 'invalid_request_error' } });
  });

  it('knows the items of a completed response, but not those of one that was cut', async () => {
    const server = started(0);
    await post([message]);
    const whole = server.log.at(-1);
    server.failNext({ kind: 'cut' });
    await expect(post([message])).rejects.toThrow();
    const cut = server.log.at(-1);
    const referTo = (token: string) => post([message, { type: 'item_reference', id: `msg_${token}` }, message]);
    expect((await referTo(whole?.token ?? '')).status).toBe(200);
    expect(await referTo(cut?.token ?? '')).toMatchObject({ status: 400, body: { error: { param: 'input' } } });
  });

  it('wants the reasoning that led to a message', async () => {
    const scenario = { name: 'deep', matches: /Hi/, replies: [{ reasoning: 'Hm.', text: 'Hello' }] };
    const server = await startModelServer({ scenarios: [scenario] });
    servers.push(server);
    const send = (input: unknown) =>
      fetch(`${server.baseURL}/responses`, { method: 'POST', body: JSON.stringify({ model: 'gpt-5', input }) });
    await (await send([message])).text();
    const id = `msg_${server.log[0]?.token ?? ''}`;
    const reasoning = id.replace('msg', 'rs');
    const alone = await send([message, { type: 'item_reference', id }, message]);
    expect(await alone.json()).toMatchObject({
      error: {
        message: `Item '${id}' of type 'message' was provided without its required 'reasoning' item: '${reasoning}'.`,
      },
    });
    const both = await send([
      message,
      { type: 'item_reference', id: reasoning },
      { type: 'item_reference', id },
      message,
    ]);
    expect(both.status).toBe(200);
  });
});
