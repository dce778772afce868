/** Asks a person what became of an interrupted tool call: an approval that says "run it again". */

import type { RunContext } from '../../runtime/context.ts';
import { approvalHook, UNASKED } from './approval.ts';
import type { Decision } from './approval.ts';
import type { InDoubtAnswer, InDoubtAsk, InDoubtTool } from './in-doubt.ts';

/**
 * Approve: the call runs again under the same idempotency key. Approve with a `result`: the effect happened, and this is what the
 * model is told. Deny: the call fails with the reason. Durable: the answer is journaled, and asked for once per interruption.
 */
export function createInDoubtAsk(context: RunContext, turn: () => number): InDoubtAsk {
  return async (tool) => {
    const key = `${tool.key}/in-doubt:${tool.attempt}`;
    const id = `apr_${context.sign(`in-doubt\n${context.run.id}\n${key}`).slice(0, 32)}`;
    const details = {
      ...UNASKED,
      id,
      question: 'in-doubt' as const,
      tool: tool.toolName,
      toolCallId: tool.toolCallId,
      input: tool.input,
      inputSchema: null,
      reason: reasonOf(tool),
      turn: turn(),
      requestedAt: tool.startedAt,
      approvers: null,
    };
    // crash here: the question is open, and is found open under the same key
    context.createHook(approvalHook(key, { details, needed: 1 }));
    const { value } = await context.mailbox(key).take();
    return toAnswer(value as Decision);
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
