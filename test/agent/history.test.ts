import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText } from 'ai';
import type { AssistantModelMessage, ModelMessage, ToolModelMessage } from 'ai';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readInput } from '../../examples/model-server/history.ts';
import { createRequestLog } from '../../examples/model-server/request-log.ts';
import { validHistory } from '../../src/agent/history/valid-history.ts';
import { readMessages } from '../support/anthropic-history.ts';

type AssistantPart = Exclude<AssistantModelMessage['content'], string>[number];
type ToolPart = ToolModelMessage['content'][number];

const user = (text: string): ModelMessage => ({ role: 'user', content: text });
const assistant = (...content: AssistantPart[]): ModelMessage => ({ role: 'assistant', content });
const toolMessage = (...content: ToolPart[]): ModelMessage => ({ role: 'tool', content });
const text = (value: string): AssistantPart => ({ type: 'text', text: value });
const call = (toolCallId: string, more: object = {}): AssistantPart => ({
  type: 'tool-call',
  toolCallId,
  toolName: 'look',
  input: {},
  ...more,
});
const result = (toolCallId: string, value = 'found'): ToolPart & AssistantPart => ({
  type: 'tool-result',
  toolCallId,
  toolName: 'look',
  output: { type: 'text', value },
});
const request = (toolCallId: string): AssistantPart => ({
  type: 'tool-approval-request',
  approvalId: `apr_${toolCallId}`,
  toolCallId,
});
const response = (toolCallId: string, approved: boolean, reason?: string): ToolPart => ({
  type: 'tool-approval-response',
  approvalId: `apr_${toolCallId}`,
  approved,
  ...(reason === undefined ? {} : { reason }),
});
const reasoning = (value: string): AssistantPart => ({ type: 'reasoning', text: value });

describe('a valid history', () => {
  it('is left as it is', () => {
    const history = [
      user('a'),
      assistant(reasoning('hm'), text('b'), call('1')),
      toolMessage(result('1')),
      assistant(text('c')),
      user('d'),
    ];
    expect(validHistory(history)).toEqual(history);
  });

  it('answers an interrupted call, before the message that came next', () => {
    const valid = validHistory([user('a'), assistant(call('1')), user('b')]);
    expect(valid.map((message) => message.role)).toEqual(['user', 'assistant', 'tool', 'user']);
    expect(JSON.stringify(valid[2])).toContain('interrupted');
  });

  it('says of an undecided call that it was not executed, of a denied one why', () => {
    const undecided = validHistory([user('a'), assistant(call('1'), request('1')), user('b')]);
    expect(undecided[1]?.content).toEqual([call('1')]);
    expect(JSON.stringify(undecided[2])).toContain('nobody approved it');
    const denied = validHistory([
      user('a'),
      assistant(call('1'), request('1')),
      toolMessage(response('1', false, 'too late')),
      user('b'),
    ]);
    expect(denied[2]?.content).toEqual([
      expect.objectContaining({ output: { type: 'execution-denied', reason: 'too late' } }),
    ]);
  });

  it('joins results that stand in several messages, in the order of the calls', () => {
    const valid = validHistory([
      user('a'),
      assistant(call('1'), request('1'), call('2')),
      toolMessage(result('2')),
      toolMessage(response('1', true)),
      toolMessage(result('1')),
      user('b'),
    ]);
    expect(valid[2]).toEqual(toolMessage(result('1'), result('2')));
  });

  it('leaves out results without a call, second results, and provider calls without a result', () => {
    const valid = validHistory([
      user('a'),
      toolMessage(result('9')),
      assistant(
        text('b'),
        call('p', { providerExecuted: true }),
        call('q', { providerExecuted: true }),
        result('q'),
        call('1'),
      ),
      toolMessage(result('1'), result('1', 'again')),
      user('c'),
    ]);
    expect(valid[1]).toEqual(assistant(text('b'), call('q', { providerExecuted: true }), result('q'), call('1')));
    expect(valid[2]).toEqual(toolMessage(result('1')));
  });

  it('gives a call whose id was used before another id, with its result', () => {
    const valid = validHistory([
      user('a'),
      assistant(call('1')),
      toolMessage(result('1')),
      assistant(call('1')),
      toolMessage(result('1', 'second')),
      user('b'),
    ]);
    expect(valid[3]).toEqual(assistant(call('1_2')));
    expect(valid[4]).toEqual(toolMessage(result('1_2', 'second')));
  });

  it('drops reasoning that leads to nothing, empty texts and messages, and the last white space', () => {
    const valid = validHistory([
      user('  '),
      user('a'),
      assistant(text(' ')),
      assistant(text('b'), reasoning('so')),
      assistant(text('c \n')),
    ]);
    expect(valid).toEqual([user('a'), assistant(text('b')), assistant(text('c'))]);
  });
});

const ids = fc.constantFrom('1', '2', '3');
const words = fc.constantFrom('', ' ', 'a', 'b ');
const approved = fc.boolean();

const localPart = fc.oneof(
  words.map(text),
  words.map(reasoning),
  ids.map((id) => call(id)),
  ids.map(request),
);
const providerPart = fc.oneof(
  localPart,
  ids.map((id) => call(id, { providerExecuted: true })),
  ids.map((id) => result(id)),
);
const toolPart = fc.oneof(
  ids.map((id) => result(id)),
  fc.tuple(ids, approved).map(([id, yes]) => response(id, yes)),
);

function histories(part: fc.Arbitrary<AssistantPart>): fc.Arbitrary<ModelMessage[]> {
  const message = fc.oneof(
    words.map(user),
    fc.array(part, { maxLength: 5 }).map((content) => assistant(...content)),
    fc.array(toolPart, { maxLength: 4 }).map((content) => toolMessage(...content)),
  );
  return fc.array(message, { maxLength: 8 }).map((messages) => [user('begin'), ...messages]);
}

describe('any history', () => {
  it('has each local call answered once and at once', () => {
    fc.assert(
      fc.property(histories(providerPart), (messages) => {
        const valid = validHistory(messages);
        for (const [index, message] of valid.entries()) {
          const parts = message.role === 'assistant' && typeof message.content !== 'string' ? message.content : [];
          const asked = parts.flatMap((part) =>
            part.type === 'tool-call' && part.providerExecuted !== true ? [part.toolCallId] : [],
          );
          const next = valid[index + 1];
          const content = next?.role === 'tool' ? next.content : [];
          expect(content.flatMap((part) => (part.type === 'tool-result' ? [part.toolCallId] : []))).toEqual(
            message.role === 'assistant' ? asked : [],
          );
          if (message.role !== 'system') expect(message.content.length).toBeGreaterThan(0);
          if (message.role === 'tool') expect(valid[index - 1]?.role).toBe('assistant');
        }
      }),
      { numRuns: 500 },
    );
  });

  it('stays as it is when it is made valid again', () => {
    fc.assert(
      fc.property(histories(providerPart), (messages) => {
        const once = validHistory(messages);
        expect(validHistory(once)).toEqual(once);
      }),
      { numRuns: 500 },
    );
  });

  it('is accepted by the rules of OpenAI and of Anthropic', async () => {
    const sent: Array<Record<string, unknown>> = [];
    const fetch = async (_url: unknown, init?: { body?: unknown }): Promise<Response> => {
      sent.push(JSON.parse(String(init?.body)) as Record<string, unknown>);
      return new Response('{}', { status: 418 });
    };
    const models = {
      openai: createOpenAI({ apiKey: 'local', fetch })('gpt-5'),
      anthropic: createAnthropic({ apiKey: 'local', fetch })('claude-sonnet-4-5'),
    };
    await fc.assert(
      fc.asyncProperty(histories(localPart), async (messages) => {
        const history = validHistory([...messages, user('end')]);
        for (const [name, model] of Object.entries(models)) {
          await expect(generateText({ model, messages: history, maxRetries: 0 })).rejects.toMatchObject({
            statusCode: 418,
          });
          const body = sent.pop() ?? {};
          if (name === 'openai') expect(() => readInput(body, createRequestLog())).not.toThrow();
          else expect(() => readMessages(body)).not.toThrow();
        }
      }),
      { numRuns: 150 },
    );
  });
});
