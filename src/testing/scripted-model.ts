/**
 * A language model that answers what a test wrote down.
 *
 *  M1 Turns are taken in order, one for each turn that an agent asks for; streamed and generated alike.
 *  M2 In a run a turn is known by its key: asked for again, after a crash that came before its record, it is answered with the
 *     same turn. A turn that failed is used up, so that the next attempt meets the next one.
 */

import { currentFrame } from '../runtime/context.ts';
import type {
  CallOptions,
  GenerateResult,
  ModelV4,
  StreamPart,
  StreamResult,
  Usage,
} from '../agent/turn/provider-types.ts';

type Content = GenerateResult['content'][number];
type FinishReason = GenerateResult['finishReason']['unified'];

/** One answer of the model. */
export interface ScriptedAnswer {
  text?: string;
  reasoning?: string;
  /** `input` is what the model writes; it need not fit the tool's schema. Ids are made up if left out. */
  toolCalls?: Array<{ toolName: string; input: unknown; toolCallId?: string }>;
  /** Whatever else a provider may answer (sources, files, calls that it executes itself), after the above. */
  content?: Content[];
  /** Default: `tool-calls` if there are any, else `stop`. */
  finishReason?: FinishReason;
  /** Default 10 and 5. */
  usage?: { inputTokens?: number; outputTokens?: number };
  /** The answer pauses here until this resolves or the call is aborted: for tests that stop or kill in the middle of it. */
  hold?: Promise<unknown>;
  /** The answer breaks off here with this error. */
  error?: unknown;
}

/** A text, an answer, an error to refuse the call with, or a function of the call that answers one of these. */
export type ScriptedTurn =
  | string
  | ScriptedAnswer
  | Error
  | ((call: ModelCall) => ScriptedTurn | Promise<ScriptedTurn>);

/** A turn after another, or one function for all of them. */
type Script = readonly ScriptedTurn[] | ((call: ModelCall) => ScriptedTurn | Promise<ScriptedTurn>);

/** What the model was asked. */
export interface ModelCall {
  kind: 'stream' | 'generate';
  prompt: CallOptions['prompt'];
  /** The text of the newest user message. */
  userText: string;
  /** Results of tools since the last answer, by tool name; of several calls of one tool the last. */
  toolResults: Record<string, unknown>;
  /** Names of the tools that are offered. */
  tools: string[];
  /** All that the provider was given. */
  options: CallOptions;
}

export interface ScriptedModelOptions {
  /** Tells models apart, as in the ledger. Default 'scripted'. */
  modelId?: string;
}

export interface ScriptedModel extends ModelV4 {
  /** The calls that reached the model, oldest first. */
  readonly calls: readonly ModelCall[];
}

/**
 * A model for tests that answers the turns in order, or one function for all of them. A call beyond the last turn is an error
 * that says what was asked. Fits wherever the AI SDK takes a model.
 */
export function scriptedModel(script: Script, { modelId = 'scripted' }: ScriptedModelOptions = {}): ScriptedModel {
  const calls: ModelCall[] = [];
  const choose = chooser(script);
  const answer = async (call: ModelCall): Promise<Answer> => {
    calls.push(call);
    const { turn, number, fail } = choose(call);
    const resolved = await resolve(turn, call);
    if (resolved instanceof Error || 'error' in resolved) fail();
    if (resolved instanceof Error) throw resolved;
    return toAnswer(resolved, number);
  };
  return {
    specificationVersion: 'v4',
    provider: 'scripted',
    modelId,
    supportedUrls: {},
    calls,
    doGenerate: async (options) => {
      const { content, finishReason, usage, id, pause, broken } = await answer(toCall('generate', options));
      await pause?.(options.abortSignal);
      if (broken !== undefined) throw broken.error;
      return { content, finishReason, usage, warnings: [], response: { id, modelId } };
    },
    doStream: async (options) => ({ stream: toStream(await answer(toCall('stream', options)), options.abortSignal) }),
  };
}

interface Chosen {
  turn: ScriptedTurn;
  /** From 1. */
  number: number;
  /** The turn failed: it is used up (M2). */
  fail: () => void;
}

function chooser(script: Script): (call: ModelCall) => Chosen {
  const numbers = new Map<string, number>();
  let taken = 0;
  return (call) => {
    const key = turnKey();
    const number = (key === undefined ? undefined : numbers.get(key)) ?? (taken += 1);
    if (key !== undefined) numbers.set(key, number);
    const turn = typeof script === 'function' ? script : script[number - 1];
    if (turn === undefined) throw outOfTurns(call, { count: script.length, key });
    return { turn, number, fail: () => void (key !== undefined && numbers.delete(key)) };
  };
}

/** Of the turn that a durable agent asks for; undefined for any other caller. */
function turnKey(): string | undefined {
  const frame = currentFrame.getStore();
  if (frame === undefined || !/\/t\d+$/.test(frame.scope.path)) return undefined;
  return `${frame.context.run.id}/${frame.scope.path}`;
}

/** Not to be tried again: no later attempt finds a turn. */
function outOfTurns(call: ModelCall, { count, key }: { count: number; key: string | undefined }): Error {
  const last = call.prompt.at(-1);
  const said = JSON.stringify(last?.content ?? '').slice(0, 300);
  const message =
    `scriptedModel has ${count} ${count === 1 ? 'turn' : 'turns'} and was asked for one more${key === undefined ? '' : ` ("${key}")`}. ` +
    `The prompt ends with a message of the ${last?.role ?? 'nobody'}: ${said}. Add a turn, or let the agent stop before.`;
  return Object.assign(new Error(message), { isRetryable: false });
}

async function resolve(turn: ScriptedTurn, call: ModelCall): Promise<ScriptedAnswer | Error> {
  let current = turn;
  while (typeof current === 'function') current = await current(call);
  return typeof current === 'string' ? { text: current } : current;
}

function toCall(kind: ModelCall['kind'], options: CallOptions): ModelCall {
  const { prompt } = options;
  const user = prompt.findLast((message) => message.role === 'user');
  const toolResults: Record<string, unknown> = {};
  for (const { role, content } of prompt.slice(prompt.findLastIndex((message) => message.role === 'assistant') + 1)) {
    if (role !== 'tool') continue;
    for (const part of content) {
      if (part.type === 'tool-result')
        toolResults[part.toolName] = 'value' in part.output ? part.output.value : part.output;
    }
  }
  return {
    kind,
    prompt,
    userText: user?.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('') ?? '',
    toolResults,
    tools: (options.tools ?? []).map((tool) => tool.name),
    options,
  };
}

interface Answer {
  content: Content[];
  finishReason: GenerateResult['finishReason'];
  usage: Usage;
  /** Rejects when the call is aborted. */
  pause: ((signal: AbortSignal | undefined) => Promise<void>) | undefined;
  broken: { error: unknown } | undefined;
  id: string;
}

function toAnswer(answer: ScriptedAnswer, number: number): Answer {
  const { text, reasoning, toolCalls = [], content = [], usage } = answer;
  const calls = toolCalls.map(({ toolName, input, toolCallId }, index): Content => ({
    type: 'tool-call',
    toolCallId: toolCallId ?? `call_${number}_${index + 1}`,
    toolName,
    input: JSON.stringify(input),
  }));
  const unified = answer.finishReason ?? (calls.length > 0 ? 'tool-calls' : 'stop');
  return {
    content: [
      ...(reasoning === undefined ? [] : [{ type: 'reasoning' as const, text: reasoning }]),
      ...(text === undefined ? [] : [{ type: 'text' as const, text }]),
      ...calls,
      ...content,
    ],
    finishReason: { unified, raw: unified },
    usage: toUsage(usage),
    pause: answer.hold === undefined ? undefined : (signal) => heldUntil(answer.hold, signal),
    broken: 'error' in answer ? { error: answer.error } : undefined,
    id: `response_${number}`,
  };
}

function toUsage({ inputTokens = 10, outputTokens = 5 }: NonNullable<ScriptedAnswer['usage']> = {}): Usage {
  return {
    inputTokens: { total: inputTokens, noCache: inputTokens, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: outputTokens, text: outputTokens, reasoning: undefined },
  };
}

async function heldUntil(hold: Promise<unknown> | undefined, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal?.reason as Error);
  signal?.addEventListener('abort', abort, { once: true });
  await Promise.race([hold, aborted]);
  signal?.removeEventListener('abort', abort);
}

function toStream(
  { content, finishReason, usage, pause, broken, id }: Answer,
  signal?: AbortSignal,
): StreamResult['stream'] {
  const output: StreamPart[] = [
    { type: 'stream-start', warnings: [] },
    { type: 'response-metadata', id },
    ...content.flatMap((part, index) => toParts(part, `${index}`)),
  ];
  return new ReadableStream<StreamPart>({
    async pull(controller) {
      const part = output.shift();
      if (part !== undefined) return controller.enqueue(part);
      await pause?.(signal);
      if (broken !== undefined) return controller.error(broken.error);
      controller.enqueue({ type: 'finish', usage, finishReason });
      controller.close();
    },
  });
}

/** Texts come word by word, as from a provider. */
function toParts(content: Content, id: string): StreamPart[] {
  switch (content.type) {
    case 'text':
      return [
        { type: 'text-start', id },
        ...words(content.text).map((delta) => ({ type: 'text-delta' as const, id, delta })),
        { type: 'text-end', id },
      ];
    case 'reasoning':
      return [
        { type: 'reasoning-start', id },
        ...words(content.text).map((delta) => ({ type: 'reasoning-delta' as const, id, delta })),
        { type: 'reasoning-end', id },
      ];
    case 'tool-call': {
      const { toolCallId, toolName, input } = content;
      return [
        { type: 'tool-input-start', id: toolCallId, toolName },
        { type: 'tool-input-delta', id: toolCallId, delta: input },
        { type: 'tool-input-end', id: toolCallId },
        content,
      ];
    }
    default:
      return [content];
  }
}

function words(text: string): string[] {
  return text.match(/\s*\S+\s*$|\s*\S+/g) ?? [text];
}
