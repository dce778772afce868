/** One call of an agent's loop inside a run: what the agent's run hands over, and what it gets back. */

import type { LanguageModel, ModelMessage, StreamTextResult, ToolSet } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import type { BudgetBinding } from '../budget/budget-gate.ts';
import type { DurableSettings } from '../durable-settings.ts';
import type { ClientOutputs } from '../history/client-output.ts';
import type { InDoubtAsk } from '../tool/in-doubt.ts';

export interface AgentCallOptions {
  /** Scope path and key prefix, e.g. `agent:support#2`. Turns are `<path>/t<n>`, tools `<path>/t<n>/tool:<toolCallId>`. */
  path: string;
  /** The whole prompt: history and what is new. */
  messages: ModelMessage[];
  /** The SDK's `options` (CALL_OPTIONS). */
  callOptions?: unknown;
  /** Merged with the run's signal. */
  signal: AbortSignal;
  /** Takes the place of the agent's model (fallback models). A model that prepareStep returns still wins. */
  model?: LanguageModel;
  /**
   * Called once per live turn while its `finish` is held, before its commit: user messages to steer in. They are recorded with
   * the turn and steered in at the same place on replay.
   */
  intake?: (turn: number) => SteeredMessage[];
  /** After the turn's commit was released, live and on replay, before its `finish` part goes on. */
  onTurn?: (turn: CommittedTurn) => void;
  /** Edited inputs of calls that are approved in the last message, by toolCallId: the wrapped execute gets these. */
  edits?: ReadonlyMap<string, unknown>;
  /** What clients have answered: the model gets what their tools make of it. */
  outputs?: ClientOutputs;
  /** Told before the loop begins. */
  onPrepared?: (prepared: PreparedCall) => void;
  /** Whether a person has approved such a call before, in this thread (`once`). */
  remembers?: (tool: string, input: unknown) => boolean;
  /** Who has spoken to the run after it was started: none of them answers what is asked below it. */
  senders?: () => string[];
  /** What an agent's own run knows of its budget. */
  budget?: BudgetBinding;
  /** Asks a person about a tool that was interrupted (`onInDoubt: 'ask'`). Without it such a tool fails as with `'fail'`. */
  ask?: InDoubtAsk;
}

/** What one call of the agent works with: what `prepareCall` has made of its settings. */
export interface PreparedCall {
  /** All tools of the loop, inactive ones included. */
  tools: ToolSet;
  durable: DurableSettings;
}

export interface SteeredMessage {
  id: string;
  message: ModelMessage;
}

export interface CommittedTurn {
  n: number;
  key: string;
  /** Ids of the messages that were steered in after this turn. */
  steered: string[];
  replayed: boolean;
}

/**
 * Why a call cannot stand, although the SDK may have resolved its result.
 * `turn`: a model call failed before or in mid-stream (retries of the SDK spent); the segment may be entered again.
 * `tool`: a tool threw a FatalError; the run fails. `stopped`: the signal aborted the call.
 */
export interface AgentCallFailure {
  kind: 'turn' | 'tool' | 'stopped';
  /** The turn's or tool's key. */
  key: string;
  /** Of a turn: how many model attempts it has had, over all processes. */
  attempt: number;
  error: unknown;
}

type Result = StreamTextResult<ToolSet, never, never>;

/** What a call came to. */
export interface AgentCallEnd {
  steps: Awaited<Result['steps']>;
  totalUsage: Awaited<Result['totalUsage']>;
  finishReason: Awaited<Result['finishReason']>;
  responseMessages: Awaited<Result['responseMessages']>;
}

export interface AgentCall {
  result: Result;
  /**
   * What the SDK told at the end of the stream; undefined if it told nothing. The result has it too, but each of its promises reads the
   * whole stream once more.
   */
  end: () => AgentCallEnd | undefined;
  /** Call it once, after the result's stream was consumed. */
  failure: () => AgentCallFailure | undefined;
}

/** The part of a DurableAgent that starts calls; kept apart so that agent-call and durable-agent do not import each other. */
export interface CallableAgent {
  startCall(context: RunContext, options: AgentCallOptions): Promise<AgentCall>;
}

/**
 * Runs the agent's loop once under `options.path`. The result is `super.stream`'s; consume its stream. Recorded turns and tools
 * answer from the journal. Rejects only for what the SDK rejects at once (invalid prompts or settings).
 */
export function startAgentCall(
  agent: CallableAgent,
  context: RunContext,
  options: AgentCallOptions,
): Promise<AgentCall> {
  return agent.startCall(context, options);
}
