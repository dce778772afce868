/** A scripted model for tests of agents: whatever a provider may answer, part by part. */

import type { LanguageModel } from 'ai';

type ModelV4 = Extract<LanguageModel, { specificationVersion: 'v4' }>;
type Content = Awaited<ReturnType<ModelV4['doGenerate']>>['content'][number];
type Part = Awaited<ReturnType<ModelV4['doStream']>>['stream'] extends ReadableStream<infer PART> ? PART : never;
export type CallOptions = Parameters<ModelV4['doStream']>[0];

export interface ScriptedTurn {
  content: Content[];
  finish?: 'stop' | 'tool-calls' | 'length' | 'error';
  /** Thrown instead of an answer, before the stream. */
  refuse?: () => unknown;
  /** What happens after the content instead of `finish`. */
  breakWith?: { errorPart: unknown } | { throws: unknown } | 'no-finish';
}

export interface ScriptedModel extends ModelV4 {
  /** One entry per call that reached the provider. */
  readonly calls: CallOptions[];
}

export function text(value: string): Content {
  return { type: 'text', text: value };
}

export function call(toolName: string, input: unknown, toolCallId = `${toolName}-1`): Content {
  return { type: 'tool-call', toolCallId, toolName, input: JSON.stringify(input) };
}

const usage = {
  inputTokens: { total: 10, noCache: 10, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 5, text: 5, reasoning: undefined },
};

/** Answers the turns in order of the conversation: the n-th turn is chosen by the number of assistant messages after the last user prompt. */
export function scriptedModel(
  script: ScriptedTurn[] | ((options: CallOptions, index: number) => ScriptedTurn),
): ScriptedModel {
  const calls: CallOptions[] = [];
  const next = (options: CallOptions): ScriptedTurn => {
    calls.push(options);
    if (typeof script === 'function') return script(options, calls.length - 1);
    const done = options.prompt.filter((message) => message.role === 'assistant').length;
    const turn = script[done];
    if (turn === undefined) throw new Error(`The script has no turn ${done}.`);
    return turn;
  };
  return {
    specificationVersion: 'v4',
    provider: 'scripted',
    modelId: 'script-1',
    supportedUrls: {},
    calls,
    doGenerate: async (options) => {
      const turn = next(options);
      if (turn.refuse !== undefined) throw turn.refuse();
      return {
        content: turn.content,
        finishReason: reason(turn),
        usage,
        warnings: [],
        response: { id: `response-${calls.length}`, modelId: 'script-1' },
      };
    },
    doStream: async (options) => {
      const turn = next(options);
      if (turn.refuse !== undefined) throw turn.refuse();
      const parts = toParts(turn, calls.length);
      const { breakWith } = turn;
      let index = 0;
      const stream = new ReadableStream<Part>({
        pull(controller) {
          const part = parts[index];
          index += 1;
          if (part !== undefined) controller.enqueue(part);
          else if (typeof breakWith === 'object' && 'throws' in breakWith) controller.error(breakWith.throws);
          else controller.close();
        },
      });
      return { stream };
    },
  };
}

function reason(turn: ScriptedTurn): Extract<Part, { type: 'finish' }>['finishReason'] {
  const unified =
    turn.finish ??
    (turn.content.some((part) => part.type === 'tool-call' && part.providerExecuted !== true) ? 'tool-calls' : 'stop');
  return { unified, raw: unified };
}

function toParts(turn: ScriptedTurn, count: number): Part[] {
  const parts: Part[] = [
    { type: 'stream-start', warnings: [] },
    { type: 'response-metadata', id: `response-${count}`, modelId: 'script-1' },
  ];
  turn.content.forEach((content, index) => parts.push(...contentParts(content, `${index}`)));
  if (turn.breakWith === undefined) parts.push({ type: 'finish', usage, finishReason: reason(turn) });
  else if (typeof turn.breakWith === 'object' && 'errorPart' in turn.breakWith)
    parts.push({ type: 'error', error: turn.breakWith.errorPart });
  return parts;
}

function contentParts(content: Content, id: string): Part[] {
  switch (content.type) {
    case 'text':
    case 'reasoning': {
      const words = content.text.match(/\S+\s*/g) ?? [];
      const { type } = content;
      const metadata = content.providerMetadata === undefined ? {} : { providerMetadata: content.providerMetadata };
      return [
        { type: `${type}-start`, id },
        ...words.map((delta) => ({ type: `${type}-delta` as const, id, delta })),
        { type: `${type}-end`, id, ...metadata },
      ] as Part[];
    }
    case 'tool-call':
      return [
        { type: 'tool-input-start', id: content.toolCallId, toolName: content.toolName },
        { type: 'tool-input-delta', id: content.toolCallId, delta: content.input },
        { type: 'tool-input-end', id: content.toolCallId },
        content,
      ];
    default:
      return [content];
  }
}
