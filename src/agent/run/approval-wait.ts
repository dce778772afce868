/**
 * Between two segments: waits for every open approval and client-side tool of the last one, and makes the message that the next
 * segment starts with. Answers reach the stream as they come, each in the commit after the one that journaled it.
 */

import type { JSONValue, ToolModelMessage, ToolSet, UIMessageChunk } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { DurableError } from '../../runtime/errors.ts';
import { checkEditedInput } from '../tool/approval.ts';
import type { Decision } from '../tool/approval.ts';
import type { Pending, PendingApproval, PendingClientTool } from './agent-state.ts';
import { unstartedResult } from '../history/valid-history.ts';
import type { ToolResult } from '../history/valid-history.ts';
import { toModelOutput } from '../history/recorded-turns.ts';

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
  part: ToolPart;
}

/** What a client-side tool answered. */
export type ClientToolOutput = { output: unknown } | { errorText: string };

export interface WaitOptions {
  tools: ToolSet;
  write: (chunk: UIMessageChunk) => Promise<void> | undefined;
  /** Told of each answer as it comes. */
  answered: (answer: Answered) => void;
}

export async function waitForAnswers(
  context: RunContext,
  pending: readonly Pending[],
  options: WaitOptions,
): Promise<Answers> {
  const edits = new Map<string, unknown>();
  const parts = await Promise.all(
    pending.map(async (call): Promise<ToolPart> => {
      const { value } = await context.mailbox(call.key).take();
      const { part, input } = await readAnswer(call, value, options);
      if (input !== undefined) edits.set(call.toolCallId, input.edited);
      return part;
    }),
  );
  return { message: { role: 'tool', content: parts }, edits };
}

async function readAnswer(
  call: Pending,
  value: unknown,
  options: WaitOptions,
): Promise<{ part: ToolPart; input?: { edited: unknown } }> {
  if (call.kind === 'client-tool') {
    const { part, chunk } = await toClientOutput(call, value as ClientToolOutput, options.tools);
    options.answered({ call, part });
    await options.write(chunk);
    return { part };
  }
  const decision = await withCheckedInput(call, value as Decision, options.tools);
  const part = toResponse(call, decision);
  options.answered({ call, part });
  await options.write(part);
  return decision.approved && decision.input !== undefined ? { part, input: { edited: decision.input } } : { part };
}

/**
 * What the conversation keeps of answers whose run was stopped before the others came: what was approved did not run. Calls of the provider
 * are left undecided: it would execute what it finds approved.
 */
export function unusedAnswers(answered: readonly Answered[]): ToolModelMessage {
  const content = answered.flatMap(({ call, part }): ToolPart[] => {
    if (part.type !== 'tool-approval-response' || !part.approved) return [part];
    return call.kind === 'approval' && call.providerExecuted
      ? []
      : [part, unstartedResult({ toolCallId: call.toolCallId, toolName: call.tool })];
  });
  return { role: 'tool', content };
}

function toResponse(
  call: PendingApproval,
  { approved, reason }: Decision,
): Extract<ToolPart, { type: 'tool-approval-response' }> {
  return {
    type: 'tool-approval-response',
    approvalId: call.approvalId,
    approved,
    ...(reason === undefined ? {} : { reason }),
    ...(call.providerExecuted ? { providerExecuted: true } : {}),
  };
}

/** Code may have been deployed since the answer: an edited input that no longer fits is not executed. */
async function withCheckedInput(call: PendingApproval, decision: Decision, tools: ToolSet): Promise<Decision> {
  if (!decision.approved || decision.input === undefined) return decision;
  try {
    return { ...decision, input: await checkEditedInput(tools, { tool: call.tool, input: decision.input }) };
  } catch (error) {
    if (!DurableError.is(error, 'payload_invalid')) throw error;
    return { approved: false, by: decision.by, reason: error.message };
  }
}

async function toClientOutput(
  call: PendingClientTool,
  answer: ClientToolOutput,
  tools: ToolSet,
): Promise<{ part: ToolResult; chunk: UIMessageChunk }> {
  const { toolCallId, tool: toolName, input } = call;
  const result = { type: 'tool-result' as const, toolCallId, toolName };
  if ('errorText' in answer) {
    return {
      part: { ...result, output: { type: 'error-text', value: answer.errorText } },
      chunk: { type: 'tool-output-error', toolCallId, errorText: answer.errorText },
    };
  }
  const output = await toModelOutput(answer.output, { call: { toolCallId, toolName, input }, tools });
  return {
    part: { ...result, output },
    chunk: { type: 'tool-output-available', toolCallId, output: answer.output as JSONValue },
  };
}
