/** What a run did, read from its journal: turns, tools, steps, attempts, tokens. Pure. */

import type { Decision } from '../agent/tool/approval.ts';
import { keyPart } from '../runtime/key-part.ts';
import type { JournalEvent } from '../runtime/event.ts';
import { spansOf } from './event-spans.ts';
import { isApprovedCall, readTurn } from './turn-content.ts';
import type { TurnCall } from './turn-content.ts';

export interface JournalSummary {
  events: number;
  turns: TurnSummary[];
  tools: ToolSummary[];
  steps: StepSummary[];
  tokens: { input: number; output: number };
  /** Attempts of turns, tools and steps that ended in a failure. */
  failedAttempts: number;
  /** How often the run went on after its process had died. */
  recoveries: number;
}

export interface TurnSummary {
  key: string;
  status: 'completed' | 'failed';
  model: string;
  attempts: number;
  /** null where the provider did not say. */
  inputTokens: number | null;
  outputTokens: number | null;
  finishReason: string | null;
  text: string;
  /** Tools that it called. */
  calls: string[];
  error: string | null;
}

export interface ToolSummary {
  key: string;
  tool: string;
  toolCallId: string | null;
  /** As it ran: what a person changed it to, if somebody did. */
  input: unknown;
  isEdited: boolean;
  /** `open`: neither answered nor denied, so far. */
  status: 'completed' | 'failed' | 'denied' | 'open';
  attempts: number;
  output: unknown;
  tookMs: number | null;
}

export interface StepSummary {
  key: string;
  status: 'completed' | 'failed' | 'retrying';
  attempts: number;
  output: unknown;
}

/** An event with how long it took. */
interface Timed {
  event: JournalEvent;
  tookMs: number | null;
}

export function summarizeJournal(events: readonly JournalEvent[], startedAt: number): JournalSummary {
  const spans = spansOf(events, startedAt);
  const timed = events.map((event, index) => ({
    event,
    tookMs: spans[index]?.isExact === true ? spans[index].ms : null,
  }));
  const turns = turnsOf(events);
  return {
    events: events.length,
    turns,
    tools: toolsOf(timed),
    steps: stepsOf(events),
    tokens: {
      input: turns.reduce((sum, turn) => sum + (turn.inputTokens ?? 0), 0),
      output: turns.reduce((sum, turn) => sum + (turn.outputTokens ?? 0), 0),
    },
    failedAttempts: events.filter(({ type }) => /^(turn|tool|step)_(failed|retrying)$/.test(type)).length,
    recoveries: events.filter(({ type }) => type === 'run_recovered').length,
  };
}

function turnsOf(events: readonly JournalEvent[]): TurnSummary[] {
  const turns = new Map<string, TurnSummary>();
  for (const event of events) {
    if (event.type !== 'turn_completed' && event.type !== 'turn_failed') continue;
    turns.set(event.key, turnOf(event, (turns.get(event.key)?.attempts ?? 0) + 1));
  }
  return [...turns.values()];
}

function turnOf(event: JournalEvent, attempts: number): TurnSummary {
  const isCompleted = event.type === 'turn_completed';
  const { text, calls } = isCompleted ? readTurn(event) : { text: '', calls: [] };
  const { model, finishReason, usage, error } = (event.meta ?? {}) as TurnFacts;
  return {
    key: event.key,
    status: isCompleted ? 'completed' : 'failed',
    model: model ?? '',
    attempts,
    inputTokens: usage?.inputTokens ?? null,
    outputTokens: usage?.outputTokens ?? null,
    finishReason: finishReason ?? null,
    text,
    calls: calls.map(({ tool }) => tool),
    error: error ?? null,
  };
}

/** As `turnMeta` writes them. */
interface TurnFacts {
  model?: string;
  finishReason?: string;
  usage?: { inputTokens?: number; outputTokens?: number };
  error?: string;
}

function toolsOf(timed: readonly Timed[]): ToolSummary[] {
  const events = timed.map(({ event }) => event);
  const calls = events.filter(({ type }) => type === 'turn_completed').flatMap((event) => readTurn(event).calls);
  const known = calls.map((call) => callSummary(call, timed));
  const keys = new Set(known.map(({ key }) => key));
  const nested = [...new Set(timed.filter(isToolEnd).map(({ event }) => event.key))].filter((key) => !keys.has(key));
  return [...known, ...nested.map((key) => nestedSummary(key, timed))];
}

function callSummary(call: TurnCall, timed: readonly Timed[]): ToolSummary {
  const { tool, toolCallId } = call;
  const decision = decisionOf(call, timed);
  const own = timed.filter(({ event }) => event.key === call.key || isApprovedCall(event.key, toolCallId));
  const isEdited = decision?.approved === true && decision.input !== undefined;
  return {
    key: own.at(-1)?.event.key ?? call.key,
    tool,
    toolCallId,
    input: isEdited ? decision.input : call.input,
    isEdited,
    ...(endOf(own) ?? clientAnswer(call, timed) ?? notRun(call, { decision, own })),
  };
}

function notRun(call: TurnCall, { decision, own }: { decision: Decision | undefined; own: readonly Timed[] }): End {
  if (decision?.approved === false) return { status: 'denied', attempts: 0, output: decision.reason, tookMs: null };
  return {
    status: call.isProviders ? 'completed' : 'open',
    attempts: attemptsOf(own),
    output: undefined,
    tookMs: null,
  };
}

/** A tool that another tool called. */
function nestedSummary(key: string, timed: readonly Timed[]): ToolSummary {
  const own = timed.filter(({ event }) => event.key === key);
  const tool = own.map(({ event }) => event.meta?.['tool']).find((name) => name !== undefined);
  return {
    key,
    tool: typeof tool === 'string' ? tool : key.slice(key.lastIndexOf(':') + 1),
    toolCallId: null,
    input: undefined,
    isEdited: false,
    ...(endOf(own) ?? { status: 'open', attempts: attemptsOf(own), output: undefined, tookMs: null }),
  };
}

type End = Pick<ToolSummary, 'status' | 'attempts' | 'output' | 'tookMs'>;

function isToolEnd({ event }: Timed): boolean {
  return event.type === 'tool_completed' || event.type === 'tool_failed';
}

function endOf(own: readonly Timed[]): End | undefined {
  const end = own.findLast(isToolEnd);
  if (end === undefined) return undefined;
  const { event, tookMs } = end;
  const status = event.type === 'tool_completed' ? 'completed' : 'failed';
  return { status, attempts: event.attempt ?? 1, output: event.value, tookMs };
}

/** Of a tool without `execute`. */
function clientAnswer({ toolCallId }: TurnCall, timed: readonly Timed[]): End | undefined {
  const answer = timed.find(
    ({ event }) => event.type === 'message_received' && event.key.endsWith(`/client-tool:${keyPart(toolCallId)}`),
  );
  if (answer === undefined) return undefined;
  const value = answer.event.value as { output?: unknown; errorText?: string };
  const isFailed = value.errorText !== undefined;
  return {
    status: isFailed ? 'failed' : 'completed',
    attempts: 1,
    output: isFailed ? value.errorText : value.output,
    tookMs: answer.tookMs,
  };
}

function attemptsOf(own: readonly Timed[]): number {
  return Math.max(0, ...own.map(({ event }) => event.attempt ?? 0));
}

/** Approvals carry the call's id in what the turn's segment left open. */
function decisionOf({ toolCallId }: TurnCall, timed: readonly Timed[]): Decision | undefined {
  const asked = timed.flatMap(({ event }) => (event.type === 'segment_completed' ? openCalls(event) : []));
  const approval = asked.find((call) => call.toolCallId === toolCallId && call.approvalId !== undefined);
  if (approval === undefined) return undefined;
  const answer = timed.find(({ event }) => event.type === 'message_received' && event.key === approval.key);
  return answer?.event.value as Decision | undefined;
}

function openCalls(event: JournalEvent): Array<{ key: string; toolCallId: string; approvalId?: string }> {
  const { pending = [] } = event.value as { pending?: Array<{ key: string; toolCallId: string; approvalId?: string }> };
  return pending;
}

function stepsOf(events: readonly JournalEvent[]): StepSummary[] {
  const steps = new Map<string, StepSummary>();
  const ends = { step_completed: 'completed', step_failed: 'failed', step_retrying: 'retrying' } as const;
  for (const event of events) {
    const status = ends[event.type as keyof typeof ends];
    if (status === undefined) continue;
    steps.set(event.key, { key: event.key, status, attempts: event.attempt ?? 1, output: event.value });
  }
  return [...steps.values()];
}
