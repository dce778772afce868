/** Asks a person what became of an interrupted tool call: an approval that says "run it again". */

import type { RunContext } from '../../runtime/context.ts';
import { approvalHook, UNASKED } from './approval.ts';
import type { ApprovalDetails, Decision } from './approval.ts';
import type { DurableSettings } from '../durable-settings.ts';
import { questionKey } from './in-doubt.ts';
import type { InDoubtAnswer, InDoubtAsk, InDoubtTool } from './in-doubt.ts';

export interface InDoubtAskOptions {
  /** Model turns of the run so far. */
  turns: () => number;
  /** Who started the run. */
  requestedBy: string | null;
  /** Of the call that is made. */
  settings: () => DurableSettings;
}

/**
 * Approve: the call runs again under the same idempotency key. Approve with a `result`: the effect happened, and this is what the
 * model is told. Deny: the call fails with the reason. Whoever may approve the tool's calls may say so; one person does. Durable: the answer
 * is journaled, and asked for once per interruption.
 */
export function createInDoubtAsk(context: RunContext, options: InDoubtAskOptions): InDoubtAsk {
  return async (tool) => {
    const key = questionKey(tool);
    const id = `apr_${context.sign(`in-doubt\n${context.run.id}\n${key}`).slice(0, 32)}`;
    const details = {
      ...UNASKED,
      ...termsOf(options.settings(), tool.toolName),
      id,
      question: 'in-doubt' as const,
      tool: tool.toolName,
      toolCallId: tool.toolCallId,
      input: tool.input,
      inputSchema: null,
      reason: reasonOf(tool),
      prompt: tool.prompt(),
      turn: options.turns(),
      requestedAt: tool.startedAt,
      requestedBy: options.requestedBy,
    };
    // crash here: the question is open, and is found open under the same key
    context.createHook(approvalHook(key, { details, needed: 1 }));
    const { value } = await context.buffer(key).take();
    return toAnswer(value as Decision);
  };
}

function termsOf({ approvals = {} }: DurableSettings, tool: string): Pick<ApprovalDetails, 'approvers' | 'rules'> {
  const known = Object.hasOwn(approvals, tool) ? approvals[tool] : undefined;
  const { approvers, needed = 1, requesterMayAnswer } = known ?? {};
  return {
    approvers: Array.isArray(approvers) ? approvers : null,
    rules: {
      ...UNASKED.rules,
      asksApprovers: typeof approvers === 'function',
      requesterMayAnswer: requesterMayAnswer ?? (approvers === undefined && needed === 1),
    },
  };
}

function reasonOf(tool: InDoubtTool): string {
  const startedAt = new Date(tool.startedAt).toISOString();
  return (
    `The call started at ${startedAt} and its process ended before the result was recorded. Look for the idempotency key ` +
    `"${tool.idempotencyKey}" where the effect would be. Approve to run it again, or approve with the result if it happened.`
  );
}

function toAnswer(decision: Decision): InDoubtAnswer {
  if (!decision.approved)
    return { kind: 'fail', ...(decision.reason === undefined ? {} : { reason: decision.reason }) };
  return 'result' in decision ? { kind: 'happened', result: decision.result } : { kind: 'again' };
}
