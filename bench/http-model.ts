/** A model that says one word between two pauses, and asks for its tool where the prompt says so. The word tells when it was made. */

import type { LanguageModel } from 'ai';
import { MockLanguageModelV4 } from 'ai/test';
import { setTimeout as delay } from 'node:timers/promises';
import { stamped } from './http-wire.ts';

type Model = Extract<LanguageModel, { specificationVersion: 'v4' }>;
type Part = Awaited<ReturnType<Model['doStream']>>['stream'] extends ReadableStream<infer PART> ? PART : never;

/** Before the first word. What was written before it is stored and read by then. */
export const FIRST_TOKEN_MS = 30;
/** After it: a provider goes on, and the end of a turn is no part of its first word. */
const REST_MS = 10;
export const PLEASE_ASK = 'Use the tool.';

const USAGE = {
  inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 10, text: 10, reasoning: 0 },
};

export function firstTokenModel(): Model {
  return new MockLanguageModelV4({
    provider: 'mock',
    modelId: 'mock',
    doStream: async ({ prompt }) => {
      const last = prompt.at(-1);
      const asks = last?.role === 'user' && JSON.stringify(last.content).includes(PLEASE_ASK);
      return { stream: asks ? toStream(toolCall()) : toStream(words()) };
    },
  });
}

async function* words(): AsyncGenerator<Part> {
  yield { type: 'stream-start', warnings: [] };
  yield { type: 'text-start', id: '1' };
  await delay(FIRST_TOKEN_MS);
  yield stamped();
  await delay(REST_MS);
  yield { type: 'text-end', id: '1' };
  yield { type: 'finish', finishReason: { unified: 'stop', raw: undefined }, usage: USAGE };
}

async function* toolCall(): AsyncGenerator<Part> {
  yield { type: 'stream-start', warnings: [] };
  yield { type: 'tool-call', toolCallId: 'call-1', toolName: 'refund', input: '{"amount":20}' };
  yield { type: 'finish', finishReason: { unified: 'tool-calls', raw: undefined }, usage: USAGE };
}

function toStream(parts: AsyncGenerator<Part>): ReadableStream<Part> {
  return new ReadableStream<Part>({
    async pull(controller) {
      const next = await parts.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
  });
}
