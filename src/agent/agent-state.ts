/**
 * What an agent's run is between two segments: the value of its checkpoint. Earlier turns are never loaded again, so everything
 * that the next segment needs stands here.
 */

import type { FinishReason, LanguageModelUsage, ModelMessage, UIMessage, UserModelMessage } from 'ai';

export interface AgentState {
  /** Segments that ended; the next one's number. */
  segment: number;
  /** What the run added to its thread after its input: responses, results, steered messages. */
  messages: ModelMessage[];
  /** The assistant's message so far, folded from the stream. */
  uiMessage: UIMessage;
  /** Chunks in the stream. */
  tail: number;
  pending: Pending[];
  /** User messages that have not reached the model. */
  queued: QueuedMessage[];
  /** Edited inputs of approved calls that have not run yet. */
  edits: Record<string, unknown>;
  /** Nothing is left to do unless a user message comes. */
  done: boolean;
  turns: number;
  usage: LanguageModelUsage;
  finishReason: FinishReason;
  text: string;
  /** The agent's structured output, boxed because undefined is a value. */
  output?: { value: unknown };
}

/** What a person or a client has to answer before the next segment starts. */
export type Pending = PendingApproval | PendingClientTool;

interface PendingCall {
  /** The hook's key. */
  key: string;
  tokenHash: string;
  toolCallId: string;
  tool: string;
  input: unknown;
}

export interface PendingApproval extends PendingCall {
  kind: 'approval';
  approvalId: string;
  /** The call is executed by the provider, which has to learn of the decision. */
  providerExecuted: boolean;
  /** Why the policy asks. */
  reason: string | null;
}

export interface PendingClientTool extends PendingCall {
  kind: 'client-tool';
}

export interface QueuedMessage {
  id: string;
  message: UserModelMessage;
}

/** What a run of an agent answers, and what its thread is built from. */
export interface AgentResult {
  /** Text of the last turn. */
  text: string;
  /** Of agents with an `output` specification. */
  output?: unknown;
  finishReason: FinishReason;
  /** Total over all turns. */
  usage: LanguageModelUsage;
  /** Everything that the run added to its thread after its input, as the AI SDK's `responseMessages` and steered messages. */
  messages: ModelMessage[];
  uiMessage: UIMessage;
  /** Model turns (the AI SDK calls them steps). */
  turns: number;
}

export function initialState(runId: string): AgentState {
  return {
    segment: 0,
    messages: [],
    uiMessage: { id: messageIdOf(runId), role: 'assistant', parts: [] },
    tail: 0,
    pending: [],
    queued: [],
    edits: {},
    done: false,
    turns: 0,
    usage: NO_USAGE,
    finishReason: 'other',
    text: '',
  };
}

/** The same in every attempt: with a new id clients would show the message twice. */
export function messageIdOf(runId: string): string {
  return `msg_${runId}`;
}

export function toResult(state: AgentState): AgentResult {
  return {
    text: state.text,
    ...(state.output === undefined ? {} : { output: state.output.value }),
    finishReason: state.finishReason,
    usage: state.usage,
    messages: state.messages,
    uiMessage: state.uiMessage,
    turns: state.turns,
  };
}

export const NO_USAGE: LanguageModelUsage = {
  inputTokens: undefined,
  inputTokenDetails: { noCacheTokens: undefined, cacheReadTokens: undefined, cacheWriteTokens: undefined },
  outputTokens: undefined,
  outputTokenDetails: { textTokens: undefined, reasoningTokens: undefined },
  totalTokens: undefined,
};

/** Sums; a count is undefined only where no turn had one. Raw records of providers are not summed: the ledger has them. */
export function addUsage(sum: LanguageModelUsage, usage: LanguageModelUsage): LanguageModelUsage {
  return {
    inputTokens: add(sum.inputTokens, usage.inputTokens),
    inputTokenDetails: {
      noCacheTokens: add(sum.inputTokenDetails.noCacheTokens, usage.inputTokenDetails.noCacheTokens),
      cacheReadTokens: add(sum.inputTokenDetails.cacheReadTokens, usage.inputTokenDetails.cacheReadTokens),
      cacheWriteTokens: add(sum.inputTokenDetails.cacheWriteTokens, usage.inputTokenDetails.cacheWriteTokens),
    },
    outputTokens: add(sum.outputTokens, usage.outputTokens),
    outputTokenDetails: {
      textTokens: add(sum.outputTokenDetails.textTokens, usage.outputTokenDetails.textTokens),
      reasoningTokens: add(sum.outputTokenDetails.reasoningTokens, usage.outputTokenDetails.reasoningTokens),
    },
    totalTokens: add(sum.totalTokens, usage.totalTokens),
  };
}

/** Undefined only if both are. */
export function add(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined && b === undefined ? undefined : (a ?? 0) + (b ?? 0);
}
