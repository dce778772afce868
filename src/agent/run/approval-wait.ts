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
import type { ToolResult } from '../history/valid-history.ts';
import { toModelOutput } from '../history/recorded-turns.ts';

type ToolPart = ToolModelMessage['content'][number];

export interface Answers {
  /** The tool message that answers all that was open. */
  message: ToolModelMessage;
  /** Edited inputs by tool call id. */
  edits: Map<string, unknown>;
}

/** What a client-side tool answered. */
export type ClientToolOutput = { output: unknown } | { errorText: string };

export interface WaitOptions {
  tools: ToolSet;
  write: (chunk: UIMessageChunk) => Promise<void> | undefined;
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
      if (call.kind === 'client-tool') return readClientOutput(call, value as ClientToolOutput, options);
      const decision = await withCheckedInput(call, value as Decision, options.tools);
      if (decision.approved && decision.input !== undefined) edits.set(call.toolCallId, decision.input);
      return respond(call, decision, options);
    }),
  );
  return { message: { role: 'tool', content: parts }, edits };
}

async function respond(call: PendingApproval, decision: Decision, options: WaitOptions): Promise<ToolPart> {
  const { approved, reason } = decision;
  const response = { type: 'tool-approval-response' as const, approvalId: call.approvalId, approved };
  const said = {
    ...response,
    ...(reason === undefined ? {} : { reason }),
    ...(call.providerExecuted ? { providerExecuted: true } : {}),
  };
  await options.write(said);
  return said;
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

async function readClientOutput(
  call: PendingClientTool,
  answer: ClientToolOutput,
  options: WaitOptions,
): Promise<ToolResult> {
  const { toolCallId, tool: toolName, input } = call;
  const result = { type: 'tool-result' as const, toolCallId, toolName };
  if ('errorText' in answer) {
    await options.write({ type: 'tool-output-error', toolCallId, errorText: answer.errorText });
    return { ...result, output: { type: 'error-text', value: answer.errorText } };
  }
  await options.write({ type: 'tool-output-available', toolCallId, output: answer.output as JSONValue });
  const output = await toModelOutput(answer.output, { call: { toolCallId, toolName, input }, tools: options.tools });
  return { ...result, output };
}
