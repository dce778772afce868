/**
 * What an agent's run is between two segments: what its checkpoints make up. Earlier turns are never loaded again, so everything
 * that the next segment needs stands here.
 */

import type { FinishReason, LanguageModelUsage, ModelMessage, UIMessage, UserModelMessage } from 'ai';
import { stopOf } from '../budget-answer.ts';
import type { BudgetAnswer, BudgetStop } from '../budget-answer.ts';
import { NO_USAGE } from '../turn/usage.ts';
import type { ApprovalTerms } from '../tool/approval-terms.ts';

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
  /** Digests of calls that were approved and need not be asked about again. Absent in what earlier releases have stored. */
  remembered?: string[];
  /** Who else has spoken to the run after it was started. Absent in what earlier releases have stored. */
  senders?: string[];
  /** What people have said about its budget. Absent where nobody was asked. */
  budgetAnswers?: BudgetAnswer[];
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
  terms: ApprovalTerms;
  /** Of a child run: JSON Schema of the input, for whoever sees it at the top. */
  inputSchema?: unknown;
}

export interface PendingClientTool extends PendingCall {
  kind: 'client-tool';
}

export interface QueuedMessage {
  id: string;
  message: UserModelMessage;
  /** Of the start that brought it, by which it is known again. */
  inputHash?: string;
  /** Who said it. */
  by?: string;
}

/** What a run of an agent answers, and what its thread is built from. */
export interface AgentResult<OUTPUT = unknown> {
  /** Text of the last turn. */
  text: string;
  /** Of agents with an `output` specification. */
  output?: OUTPUT;
  finishReason: FinishReason;
  /** Total over all turns. */
  usage: LanguageModelUsage;
  /** Everything that the run added to its thread after its input, as the AI SDK's `responseMessages` and steered messages. */
  messages: ModelMessage[];
  uiMessage: UIMessage;
  /** Model turns (the AI SDK calls them steps). */
  turns: number;
  /** Digests of calls that were approved for the whole thread (`durable.approvals.<name>.once`). */
  remembered?: string[];
  /** There if its budget was used up: what people said, and what stopped the run, if anybody did. */
  budget?: { answers: BudgetAnswer[]; stopped: BudgetStop | null };
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
    ...(state.remembered === undefined ? {} : { remembered: state.remembered }),
    ...budgetResult(state),
  };
}

function budgetResult({ budgetAnswers: answers }: AgentState): Pick<AgentResult, 'budget'> {
  return answers === undefined ? {} : { budget: { answers, stopped: stopOf(answers) ?? null } };
}
