/** A scripted model, and runtimes on one store, for tests of an agent's run. */

import { MockLanguageModelV4 } from 'ai/test';
import type { LanguageModel } from 'ai';
import { createRuntime } from '../../src/app/create-runtime.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import type { RuntimeOptions } from '../../src/app/runtime-options.ts';
import type { LogFields, Logger } from '../../src/runtime/logger.ts';

type Model = Extract<LanguageModel, { specificationVersion: 'v4' }>;
type Part = Awaited<ReturnType<Model['doStream']>>['stream'] extends ReadableStream<infer PART> ? PART : never;
export type Prompt = Parameters<Model['doStream']>[0]['prompt'];

/** One answer of the model. */
export interface Answer {
  text?: string;
  calls?: Array<{ id: string; name: string; input: unknown }>;
  reasoning?: string;
  finish?: 'stop' | 'tool-calls' | 'length';
  /** Instead of opening the stream. */
  refuse?: Error;
  /** In mid-stream, after the text. */
  cut?: Error;
  /** After the text; the stream goes on when it resolves, or is aborted. */
  hold?: Promise<void>;
}

export interface ScriptedModel {
  model: MockLanguageModelV4;
  /** One per call, in order. */
  prompts: Prompt[];
}

const USAGE = {
  inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 5, text: 5, reasoning: 0 },
};

/** Answers in order, one per call; further calls fail the test loudly. */
export function scriptedModel(
  answers: Array<Answer | ((prompt: Prompt) => Answer)>,
  modelId = 'scripted',
): ScriptedModel {
  const prompts: Prompt[] = [];
  const model = new MockLanguageModelV4({
    provider: 'test',
    modelId,
    doStream: async ({ prompt, abortSignal }) => {
      const next = answers[prompts.length];
      prompts.push(structuredClone(prompt));
      if (next === undefined) throw new Error(`call ${prompts.length} of the scripted model is not scripted`);
      const answer = typeof next === 'function' ? next(prompt) : next;
      if (answer.refuse !== undefined) throw answer.refuse;
      return { stream: play(answer, abortSignal) };
    },
  });
  return { model, prompts };
}

function play(answer: Answer, signal: AbortSignal | undefined): ReadableStream<Part> {
  const parts = partsOf(answer);
  return new ReadableStream<Part>(
    {
      async pull(controller) {
        if (parts[0] === 'hold') {
          parts.shift();
          await Promise.race([answer.hold, aborted(signal)]);
        }
        const part = parts.shift();
        if (part === undefined) controller.close();
        else if (part === 'cut') throw answer.cut;
        else if (part !== 'hold') controller.enqueue(part);
      },
    },
    { highWaterMark: 0 },
  );
}

function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) =>
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
  );
}

function partsOf(answer: Answer): Array<Part | 'hold' | 'cut'> {
  const { text, reasoning, calls = [] } = answer;
  const unified = answer.finish ?? (calls.length > 0 ? 'tool-calls' : 'stop');
  return [
    { type: 'stream-start', warnings: [] },
    ...(reasoning === undefined ? [] : block('reasoning', reasoning)),
    ...(text === undefined ? [] : openText(text)),
    ...(answer.hold === undefined ? [] : (['hold'] as const)),
    ...(answer.cut === undefined ? [] : (['cut'] as const)),
    ...(text === undefined ? [] : [{ type: 'text-end' as const, id: '1' }]),
    ...calls.map(({ id, name, input }) => ({
      type: 'tool-call' as const,
      toolCallId: id,
      toolName: name,
      input: JSON.stringify(input),
    })),
    { type: 'finish', usage: USAGE, finishReason: { unified, raw: unified } },
  ];
}

function openText(text: string): Part[] {
  const words = text.split(/(?<= )/);
  return [{ type: 'text-start', id: '1' }, ...words.map((delta) => ({ type: 'text-delta' as const, id: '1', delta }))];
}

function block(kind: 'reasoning', text: string): Part[] {
  return [
    { type: `${kind}-start`, id: 'r' },
    { type: `${kind}-delta`, id: 'r', delta: text },
    { type: `${kind}-end`, id: 'r' },
  ];
}

export interface LogLine {
  level: string;
  fields: LogFields;
  message: string;
}

/** Keeps what is logged. */
export function recordingLogger(): { logger: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: string) => (fields: LogFields, message: string) => void lines.push({ level, fields, message });
  return { logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, lines };
}

export function startRuntime(options: RuntimeOptions): Runtime {
  return createRuntime({ logger: recordingLogger().logger, ...options });
}

/** Resolves when `look` answers something; asked again after each macrotask. */
export async function until<T>(look: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function userTexts(prompt: Prompt): string[] {
  return prompt.flatMap((message) =>
    message.role === 'user' ? message.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])) : [],
  );
}
