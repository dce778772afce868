/** Asks a person what became of an interrupted tool call: an approval that says "run it again". */

import type { ToolSet } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { approvalHook, approvalTokenHash, schemaOf } from './approval.ts';
import type { ApprovalDetails, Decision } from './approval.ts';
import { descentOf } from './approval-origin.ts';
import { showRequest, surfacedDecision } from './approval-surface.ts';
import { termsOf } from './approval-terms.ts';
import type { ApprovalTerms } from './approval-terms.ts';
import type { DurableSettings } from '../durable-settings.ts';
import { questionKey } from './in-doubt.ts';
import type { InDoubtAnswer, InDoubtAsk, InDoubtTool } from './in-doubt.ts';

export interface InDoubtAskOptions {
  /** Model turns of the run so far. */
  turns: () => number;
  /** Who started the run. */
  requestedBy: string | null;
  /** Who has spoken to it since. */
  senders: () => string[];
  /** Of the call that is made. */
  prepared: () => { tools: ToolSet; durable: DurableSettings };
}

/** What is written down when it is asked: code that changes meanwhile changes nothing of it. */
interface Asked {
  terms: ApprovalTerms;
  outputSchema: unknown;
}

/**
 * Approve: the call runs again under the same idempotency key. Approve with a `result`: the effect happened, and this is what the
 * model is told. Deny: the call fails with the reason. Whoever may approve the tool's calls may say so, in the time that they have for
 * that; one person does. Durable: the answer is journaled, and asked for once per interruption.
 */
export function createInDoubtAsk(context: RunContext, options: InDoubtAskOptions): InDoubtAsk {
  return async (tool) => {
    const { toolName, toolCallId, input } = tool;
    const key = questionKey(tool);
    const id = `apr_${context.sign(`in-doubt\n${context.run.id}\n${key}`).slice(0, 32)}`;
    const { onApprovalRequested } = options.prepared().durable;
    const { terms, outputSchema } = await context.perform<Asked>({
      key: `${key}/terms`,
      kind: 'step',
      label: `ask what became of "${toolName}"`,
      body: () => askedOf(context, { ...options, tool }),
    });
    const asked = { question: 'in-doubt' as const, tool: toolName, toolCallId, input, reason: reasonOf(tool) };
    const details: ApprovalDetails = { ...asked, ...detailsOf(terms), id, inputSchema: null, outputSchema };
    const watched = { ...asked, key, tokenHash: approvalTokenHash(id), approvalId: id, terms };
    const { place } = context.scope();
    // crash here: the question is open, and is found open under the same key
    context.createHook(approvalHook(key, { details, needed: 1 }), {
      onCreate: () => showRequest(context, watched, place),
    });
    return surfacedDecision(context, watched, { onApprovalRequested, settle: toAnswer });
  };
}

async function askedOf(
  context: RunContext,
  { tool, ...options }: InDoubtAskOptions & { tool: InDoubtTool },
): Promise<Asked> {
  const { tools, durable } = options.prepared();
  const { approvals = {}, onApprovalRequested } = durable;
  const { toolName, input } = tool;
  const settings = (Object.hasOwn(approvals, toolName) ? approvals[toolName] : undefined) ?? {};
  const { prompt: _, ...others } = settings;
  const own = { requestedBy: options.requestedBy, senders: options.senders() };
  const descent = await descentOf(context, { key: tool.key, tool: toolName, own });
  const terms = await termsOf(others, {
    tool: toolName,
    input,
    turn: options.turns(),
    // Not the time of the last event: the process may have been away for days.
    now: context.scope().metadata?.startedAt ?? context.now(),
    ...descent,
    logger: context.logger,
    isTold: onApprovalRequested !== undefined,
  });
  return {
    terms: { ...terms, prompt: tool.prompt(), needed: 1, once: false },
    outputSchema: await schemaOf(tools, { tool: toolName, of: 'outputSchema' }),
  };
}

function detailsOf({
  turn,
  requestedAt,
  requestedBy,
  prompt,
  expiresAt,
  approvers,
  rules,
  origin,
}: ApprovalTerms): Pick<
  ApprovalDetails,
  'turn' | 'requestedAt' | 'requestedBy' | 'prompt' | 'expiresAt' | 'approvers' | 'rules' | 'origin'
> {
  return { turn, requestedAt, requestedBy, prompt, expiresAt, approvers, rules, origin };
}

function reasonOf(tool: InDoubtTool): string {
  const startedAt = new Date(tool.startedAt).toISOString();
  return (
    `The call started at ${startedAt} and its process ended before the result was recorded. Look for the idempotency key ` +
    `"${tool.idempotencyKey}" where the effect would be.`
  );
}

function toAnswer(decision: Decision | undefined): InDoubtAnswer {
  if (decision === undefined) return { kind: 'fail', reason: 'nobody who was asked has said so in time' };
  if (!decision.approved)
    return { kind: 'fail', ...(decision.reason === undefined ? {} : { reason: decision.reason }) };
  return 'result' in decision ? { kind: 'happened', result: decision.result } : { kind: 'again' };
}
