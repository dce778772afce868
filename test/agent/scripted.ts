/** A scripted model, and stores that die, for tests of agents. */

import type { LanguageModel } from 'ai';
import type { Commit, CommitResult, Store } from '../../src/runtime/store.ts';

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

export interface MortalStore extends Store {
  /** Applied commits so far. */
  readonly commits: number;
  readonly dead: boolean;
}

/** A store whose process dies with a commit: no call is answered after it. `before`: the commit itself is not applied. */
export function mortalStore(
  inner: Store,
  dies: { at: (commit: Commit, index: number) => boolean; when?: 'before' | 'after' },
): MortalStore {
  let commits = 0;
  let dead = false;
  const never = new Promise<never>(() => {});
  const alive = <ARGS extends unknown[], RESULT>(method: (...args: ARGS) => Promise<RESULT>) => {
    return (...args: ARGS): Promise<RESULT> => (dead ? never : method(...args));
  };
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    start: alive((...args: Parameters<Store['start']>) => inner.start(...args)),
    claim: alive((...args: Parameters<Store['claim']>) => inner.claim(...args)),
    load: alive((...args: Parameters<Store['load']>) => inner.load(...args)),
    deliver: alive((...args: Parameters<Store['deliver']>) => inner.deliver(...args)),
    control: alive((...args: Parameters<Store['control']>) => inner.control(...args)),
    read: alive((...args: Parameters<Store['read']>) => inner.read(...args)),
    get: alive((...args: Parameters<Store['get']>) => inner.get(...args)),
    backlog: alive((...args: Parameters<Store['backlog']>) => inner.backlog(...args)),
    limits: alive((...args: Parameters<Store['limits']>) => inner.limits(...args)),
    list: alive((...args: Parameters<Store['list']>) => inner.list(...args)),
    hook: alive((...args: Parameters<Store['hook']>) => inner.hook(...args)),
    listHooks: alive((...args: Parameters<Store['listHooks']>) => inner.listHooks(...args)),
    thread: alive((...args: Parameters<Store['thread']>) => inner.thread(...args)),
    note: alive((...args: Parameters<Store['note']>) => inner.note(...args)),
    ledger: alive((...args: Parameters<Store['ledger']>) => inner.ledger(...args)),
    ledgerTotals: alive((...args: Parameters<Store['ledgerTotals']>) => inner.ledgerTotals(...args)),
    secret: alive((...args: Parameters<Store['secret']>) => inner.secret(...args)),
    gc: alive((...args: Parameters<Store['gc']>) => inner.gc(...args)),
    trim: alive((...args: Parameters<Store['trim']>) => inner.trim(...args)),
    compact: alive((...args: Parameters<Store['compact']>) => inner.compact(...args)),
    putParts: alive((...args: Parameters<Store['putParts']>) => inner.putParts(...args)),
    getParts: alive((...args: Parameters<Store['getParts']>) => inner.getParts(...args)),
    watch: (listener) => inner.watch?.((hint) => dead || listener(hint)) ?? (() => {}),
    close: () => Promise.resolve(),
    commit: async (batch): Promise<CommitResult[]> => {
      if (dead) return never;
      const fatal = batch.some((commit) => {
        const fits = dies.at(commit, commits);
        commits += 1;
        return fits;
      });
      if (!fatal) return inner.commit(batch);
      if (dies.when !== 'before') await inner.commit(batch);
      dead = true;
      return never;
    },
    get commits() {
      return commits;
    },
    get dead() {
      return dead;
    },
  };
}
