/**
 * Approvals of calls of an agent that a tool or a workflow calls. The loop around them is inside a call of the user's, which has no segments: the
 * call itself waits, and everything beside it goes on.
 *
 *  I1 To the loop such a call needs nobody (approval-policy); before it starts it waits here, and counts as not begun.
 *  I2 What is asked is written down before it is asked, so a replay asks the same (`<tool key>/approval:/terms`).
 *  I3 What is recorded of it stands below the key of the call: it is passed over when the call is recorded.
 */

import { DurableError } from '../../runtime/errors.ts';
import type { JournalEvent } from '../../runtime/event.ts';
import type { DurableApprovalSettings } from '../approval-settings.ts';
import type { CallState } from '../call/call-state.ts';
import { APPROVAL_EXPIRED, approvalHook, approvalTokenHash, schemaOf } from './approval.ts';
import type { ApprovalDetails, Decision } from './approval.ts';
import { descentOf } from './approval-origin.ts';
import { showRequest, surfacedDecision } from './approval-surface.ts';
import type { InnerApproval } from './approval-surface.ts';
import { termsOf } from './approval-terms.ts';
import type { ApprovalTerms } from './approval-terms.ts';
import { checkEdit } from './edited-input.ts';
import type { EditedInput } from './edited-input.ts';

export interface InnerCall {
  call: CallState;
  /** The tool's key. */
  key: string;
  tool: string;
  toolCallId: string;
  input: unknown;
}

/** Written down with the request. */
interface Asked {
  terms: ApprovalTerms;
  inputSchema: unknown;
}

/** Whether the recorded policy asks a person about the call. */
export function asksPerson(decision: unknown): boolean {
  return decision === true || typeOf(decision) === 'user-approval';
}

function typeOf(decision: unknown): unknown {
  return typeof decision === 'object' && decision !== null && 'type' in decision ? decision.type : decision;
}

/** The decision of the call's policy, if a person is to be asked here (I1). */
export function askedHere({ call, key, tool }: Pick<InnerCall, 'call' | 'key' | 'tool'>): JournalEvent | undefined {
  if (!call.waitsInPlace(tool)) return undefined;
  const decided = call.context.facts(key).find(({ type }) => type === 'policy_decided');
  return asksPerson(decided?.value) ? decided : undefined;
}

/** Resolves when the call may start; with what it is to run with in place of the model's input, or why it must not. */
export function answerInPlace(inner: InnerCall, policy: JournalEvent): Promise<EditedInput | undefined> {
  return inner.call.inFrame(() => ask(inner, reasonOf(policy.value)));
}

/** What a person has made of a call's input, as the answer has it; undefined if nothing. */
export function inputInPlace(call: CallState, key: string): EditedInput | undefined {
  const hook = hookKey(key);
  const answers = call.context.journal(hook).filter(({ type, key: of }) => type === 'message_received' && of === hook);
  const decision = answers.at(-1)?.value as Decision | undefined;
  return decision?.approved === true && decision.input !== undefined ? { input: decision.input } : undefined;
}

async function ask(inner: InnerCall, reason: string | null): Promise<EditedInput | undefined> {
  const { call, key, tool, toolCallId, input } = inner;
  const { context } = call;
  const hook = hookKey(key);
  const approvalId = `apr_${context.sign(`inner\n${context.run.id}\n${hook}`).slice(0, 32)}`;
  const { terms, inputSchema } = await context.perform<Asked>({
    key: `${hook}/terms`,
    kind: 'step',
    label: `ask for the approval of "${tool}"`,
    body: () => askedOf(inner),
  });
  const tokenHash = approvalTokenHash(approvalId);
  const asked: InnerApproval = {
    key: hook,
    tokenHash,
    approvalId,
    tool,
    toolCallId,
    input,
    reason,
    terms,
    inputSchema,
  };
  const details = toDetails(asked);
  const { place } = context.scope();
  // crash here: what is asked is on record, and is asked under the same id
  context.createHook(approvalHook(hook, { details, needed: terms.needed }), {
    onCreate: () => showRequest(context, asked, place),
  });
  const { onApprovalRequested } = call.prepared.durable;
  return surfacedDecision(context, asked, {
    onApprovalRequested,
    settle: (decision) => outcomeOf(inner, decision),
  });
}

function toDetails(call: InnerApproval): ApprovalDetails {
  const { approvalId: id, tool, toolCallId, input, inputSchema, reason, terms } = call;
  const { turn, requestedAt, requestedBy, prompt, expiresAt, approvers, rules, origin } = terms;
  const said = { turn, requestedAt, requestedBy, prompt, expiresAt, approvers, rules, origin };
  return { id, question: 'execute', tool, toolCallId, input, inputSchema, outputSchema: null, reason, ...said };
}

async function askedOf({ call, key, tool, input }: InnerCall): Promise<Asked> {
  const { context, prepared } = call;
  const { approvals = {}, onApprovalRequested } = prepared.durable;
  const settings: DurableApprovalSettings = (Object.hasOwn(approvals, tool) ? approvals[tool] : undefined) ?? {};
  const descent = await descentOf(context, { key, tool });
  const terms = await termsOf(settings, {
    tool,
    input,
    turn: call.committed,
    // Not the time of the last event: the process may have been away for days.
    now: context.scope().metadata?.startedAt ?? context.now(),
    ...descent,
    logger: context.logger,
    isTold: onApprovalRequested !== undefined,
  });
  return { terms, inputSchema: await schemaOf(prepared.tools, { tool, of: 'inputSchema' }) };
}

async function outcomeOf(
  { call, tool, toolCallId }: InnerCall,
  decision: Decision | undefined,
): Promise<EditedInput | undefined> {
  if (decision === undefined) {
    return { error: new DurableError('hook_expired', APPROVAL_EXPIRED, { details: { tool, toolCallId } }) };
  }
  if (!decision.approved) return { error: deniedError(tool, decision) };
  if (decision.input === undefined) return undefined;
  const { tools } = call.prepared;
  return checkEdit(Object.hasOwn(tools, tool) ? tools[tool]?.inputSchema : undefined, { tool, input: decision.input });
}

function deniedError(tool: string, { by, reason }: Decision): DurableError {
  const why = reason === undefined ? '' : ` The reason given: ${reason}`;
  return new DurableError('approval_denied', `This call of "${tool}" was not executed: ${by} has refused it.${why}`, {
    details: { tool, by, reason: reason ?? null },
  });
}

function reasonOf(decision: unknown): string | null {
  const { reason } = (typeof decision === 'object' && decision !== null ? decision : {}) as { reason?: unknown };
  return typeof reason === 'string' ? reason : null;
}

/** The colon: the tool may well have a step that is named so. */
function hookKey(key: string): string {
  return `${key}/approval:`;
}

/** Whether what stands under an event's key was asked before the call began. */
export function isAboutApproval(key: string, ofTool: string): boolean {
  return key.startsWith(hookKey(ofTool));
}
