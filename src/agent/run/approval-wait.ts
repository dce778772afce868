/**
 * Between two segments: waits for every open approval and client-side tool of the last one, and makes the message that the next
 * segment starts with. Answers reach the stream as they come, each in the commit after the one that journaled it.
 */

import type { JSONValue, ToolModelMessage, UIMessageChunk } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import type { OnApprovalRequested } from '../approval-settings.ts';
import type { Decision } from '../tool/approval.ts';
import type { Pending, PendingApproval, PendingClientTool } from './agent-state.ts';
import { surfacedDecision } from '../tool/approval-surface.ts';
import { expiredResult, unstartedResult } from '../history/valid-history.ts';
import type { ToolResult } from '../history/valid-history.ts';
import type { ClientOutput } from '../history/client-output.ts';
import { callDigest } from '../tool/approval-memory.ts';
import { plainOutput } from '../tool/model-output.ts';

type ToolPart = ToolModelMessage['content'][number];

export interface Answers {
  /** The tool message that answers all that was open. */
  message: ToolModelMessage;
  /** Edited inputs by tool call id. */
  edits: Map<string, unknown>;
}

/** An answer that came; the others may still be open. */
export interface Answered {
  call: Pending;
  /** What the tool message says of it; of an approval its response first. */
  parts: [ToolPart, ...ToolPart[]];
  /** Of a client-side tool, if it did not fail; the part holds it as it is. */
  output?: ClientOutput;
}

/** What a client-side tool answered. */
export type ClientToolOutput = { output: unknown } | { errorText: string };

export interface WaitOptions {
  onApprovalRequested: OnApprovalRequested | undefined;
  write: (chunk: UIMessageChunk) => Promise<void> | undefined;
  /** Told of each answer as it comes. */
  answered: (answer: Answered) => void;
}

/** What was said to a call; `input`: the tool runs with that one. */
interface Answer {
  parts: Answered['parts'];
  input?: { edited: unknown };
}

export async function waitForAnswers(
  context: RunContext,
  pending: readonly Pending[],
  options: WaitOptions,
): Promise<Answers> {
  const edits = new Map<string, unknown>();
  const parts = await Promise.all(
    pending.map(async (call): Promise<ToolPart[]> => {
      const answer =
        call.kind === 'approval'
          ? await waitForPerson(context, call, options)
          : await waitForClient(context, call, options);
      if (answer.input !== undefined) edits.set(call.toolCallId, answer.input.edited);
      return answer.parts;
    }),
  );
  return { message: { role: 'tool', content: parts.flat() }, edits };
}

async function waitForClient(context: RunContext, call: PendingClientTool, options: WaitOptions): Promise<Answer> {
  const { value } = await context.buffer(call.key).take();
  const { chunk, part, ...answer } = toClientOutput(call, value as ClientToolOutput);
  // crash here: the answer is journaled and its chunk may not be stored; it is written again then, once
  options.answered({ call, parts: [part], ...answer });
  await options.write(chunk);
  return { parts: [part] };
}

function waitForPerson(context: RunContext, call: PendingApproval, options: WaitOptions): Promise<Answer> {
  return surfacedDecision(context, call, {
    onApprovalRequested: options.onApprovalRequested,
    settle: (decision) => (decision === undefined ? expire(call, options) : decide(call, decision, options)),
  });
}

async function decide(call: PendingApproval, decision: Decision, options: WaitOptions): Promise<Answer> {
  const part = toResponse(call, decision);
  options.answered({ call, parts: [part] });
  // crash here: the answer is journaled and its chunk may not be stored; it is written again then, once
  await options.write(part);
  const { approved, input } = decision;
  return { parts: [part], ...(approved && input !== undefined ? { input: { edited: input } } : {}) };
}

/** It was not decided in time. A result of its own tells the model, which would take a response alone for a refusal. */
async function expire(call: PendingApproval, options: WaitOptions): Promise<Answer> {
  const result = expiredResult({ toolCallId: call.toolCallId, toolName: call.tool });
  const reason = result.output.value;
  const part = toResponse(call, { approved: false, reason });
  const parts: Answered['parts'] = call.providerExecuted ? [part] : [part, result];
  options.answered({ call, parts });
  await options.write(part);
  if (!call.providerExecuted)
    await options.write({ type: 'tool-output-error', toolCallId: call.toolCallId, errorText: reason });
  return { parts };
}

/** Digests of the calls that were approved as they are, once and for all. */
export function rememberedOf(answered: readonly Answered[], edits: ReadonlyMap<string, unknown>): string[] {
  return answered.flatMap(({ call, parts: [part] }) => {
    const isApproved = part.type === 'tool-approval-response' && part.approved && !edits.has(call.toolCallId);
    return call.kind === 'approval' && call.terms.once && isApproved ? [callDigest(call.tool, call.input)] : [];
  });
}

/**
 * What the conversation keeps of answers whose run was stopped before the others came: what was approved did not run. Calls of the provider
 * are left undecided: it would execute what it finds approved.
 */
export function unusedAnswers(answered: readonly Answered[]): ToolModelMessage {
  const content = answered.flatMap(({ call, parts }): ToolPart[] => {
    const [part] = parts;
    if (part.type !== 'tool-approval-response' || !part.approved) return parts;
    return call.kind === 'approval' && call.providerExecuted
      ? []
      : [part, unstartedResult({ toolCallId: call.toolCallId, toolName: call.tool })];
  });
  return { role: 'tool', content };
}

function toResponse(
  call: PendingApproval,
  { approved, reason }: Pick<Decision, 'approved' | 'reason'>,
): Extract<ToolPart, { type: 'tool-approval-response' }> {
  return {
    type: 'tool-approval-response',
    approvalId: call.approvalId,
    approved,
    ...(reason === undefined ? {} : { reason }),
    ...(call.providerExecuted ? { providerExecuted: true } : {}),
  };
}

function toClientOutput(
  call: PendingClientTool,
  answer: ClientToolOutput,
): { part: ToolResult; output?: ClientOutput; chunk: UIMessageChunk } {
  const { toolCallId, tool: toolName, input } = call;
  const result = { type: 'tool-result' as const, toolCallId, toolName };
  if ('errorText' in answer) {
    return {
      part: { ...result, output: { type: 'error-text', value: answer.errorText } },
      chunk: { type: 'tool-output-error', toolCallId, errorText: answer.errorText },
    };
  }
  const { output } = answer;
  return {
    part: { ...result, output: plainOutput(output) },
    output: { toolCallId, toolName, input, output },
    chunk: { type: 'tool-output-available', toolCallId, output: output as JSONValue },
  };
}
