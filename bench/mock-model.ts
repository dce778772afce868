/**
 * A model without latency and without state: `turns` turns of `chunks` stream parts with one tool call each, then a short
 * text. Both numbers stand in the first user message; the turn is read off the tool results so far.
 */

import type { LanguageModel } from 'ai';
import { MockLanguageModelV4 } from 'ai/test';

type Model = Extract<LanguageModel, { specificationVersion: 'v4' }>;
type StreamPart = Awaited<ReturnType<Model['doStream']>>['stream'] extends ReadableStream<infer PART> ? PART : never;
type Prompt = Parameters<Model['doStream']>[0]['prompt'];

export interface Plan {
  turns: number;
  chunks: number;
}

const USAGE = {
  inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 10, text: 10, reasoning: 0 },
};
/** stream-start, text-start, text-end, tool-call; `finish` comes on top. */
const FRAME_PARTS = 4;

export function promptFor({ turns, chunks }: Plan): string {
  return `turns=${turns} chunks=${chunks}`;
}

/** `paced` answers the moment before each text delta, as a provider's network would. */
export function mockModel(paced?: (signal: AbortSignal | undefined) => Promise<void>): Model {
  return new MockLanguageModelV4({
    provider: 'mock',
    modelId: 'mock',
    doStream: async ({ prompt, abortSignal }) => ({ stream: play(partsOf(prompt), paced, abortSignal) }),
  });
}

function play(
  parts: StreamPart[],
  paced: ((signal: AbortSignal | undefined) => Promise<void>) | undefined,
  signal: AbortSignal | undefined,
): ReadableStream<StreamPart> {
  let next = 0;
  return new ReadableStream<StreamPart>({
    async pull(controller) {
      const part = parts[next];
      next += 1;
      if (part === undefined) {
        controller.close();
        return;
      }
      if (paced !== undefined && part.type === 'text-delta') await paced(signal);
      controller.enqueue(part);
    },
  });
}

function partsOf(prompt: Prompt): StreamPart[] {
  const { turns, chunks } = planOf(prompt);
  const turn = prompt.filter((message) => message.role === 'tool').length;
  const isLast = turn >= turns;
  const words = Array.from({ length: isLast && turns > 0 ? 3 : chunks - FRAME_PARTS }, (_, i) => `word${i} `);
  return [
    { type: 'stream-start', warnings: [] },
    { type: 'text-start', id: 't' },
    ...words.map((delta): StreamPart => ({ type: 'text-delta', id: 't', delta })),
    { type: 'text-end', id: 't' },
    ...(isLast ? [] : [toolCall(turn)]),
    { type: 'finish', finishReason: { unified: isLast ? 'stop' : 'tool-calls', raw: undefined }, usage: USAGE },
  ];
}

function toolCall(turn: number): StreamPart {
  return {
    type: 'tool-call',
    toolCallId: `call-${turn}`,
    toolName: 'lookup',
    input: JSON.stringify({ q: `q${turn}` }),
  };
}

function planOf(prompt: Prompt): Plan {
  const user = prompt.find((message) => message.role === 'user');
  const text = user?.content.map((part) => (part.type === 'text' ? part.text : '')).join('') ?? '';
  const found = /turns=(\d+) chunks=(\d+)/.exec(text);
  if (found === null) throw new Error(`The prompt "${text}" does not say turns and chunks.`);
  return { turns: Number(found[1]), chunks: Number(found[2]) };
}
