/**
 * Between two segments: waits for every open approval and client-side tool of the last one, and makes the message that the next
 * segment starts with. Answers reach the stream as they come, each in the commit after the one that journaled it.
 */

import type { JSONValue, ToolModelMessage, UIMessageChunk } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import type { Decision } from '../tool/approval.ts';
import type { Pending, PendingApproval, PendingClientTool } from './agent-state.ts';
import { unstartedResult } from '../history/valid-history.ts';
import type { ToolResult } from '../history/valid-history.ts';
import type { ClientOutput } from '../history/client-output.ts';
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
  part: ToolPart;
  /** Of a client-side tool, if it did not fail; the part holds it as it is. */
  output?: ClientOutput;
}

/** What a client-side tool answered. */
export type ClientToolOutput = { output: unknown } | { errorText: string };

export interface WaitOptions {
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
    // crash here: the answer is journaled and its chunk may not be stored; it is written again then, once
    const { chunk, ...answer } = toClientOutput(call, value as ClientToolOutput);
    options.answered({ call, ...answer });
    await options.write(chunk);
    return answer;
  }
  const decision = value as Decision;
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
