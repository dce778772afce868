/**
 * Approvals of inner calls as they are seen at the top: a part in the message of the tool call below which they are asked.
 *
 *  S1 The part is stored with the approval's row, or, of a child run, when the run at the top has its notice, which wakes it: in either case once.
 *  S2 Nothing waits for the part: the approval holds whether or not anybody was shown it. The call goes on when its end is told.
 */

import type { MessagePlace, RunContext } from '../../runtime/context.ts';
import { DurableError } from '../../runtime/errors.ts';
import type { NoticedPart } from '../../runtime/notices.ts';
import { APPROVAL_PART } from '../../streams/wire.ts';
import type { ApprovalRequestData } from '../../streams/wire.ts';
import type { OnApprovalRequested } from '../approval-settings.ts';
import type { BudgetQuestion } from '../budget-answer.ts';
import type { Decision } from './approval.ts';
import { whereOf } from './approval-origin.ts';
import { decisionOf } from './approval-watch.ts';
import type { WatchedApproval } from './approval-watch.ts';

type RequestPart = Omit<NoticedPart, 'data'> & { data: ApprovalRequestData };

export interface InnerApproval extends WatchedApproval {
  /** JSON Schema of the input, where the tool has one. */
  inputSchema?: unknown;
  /** Of a budget: what is used up, and what can be chosen. */
  budget?: BudgetQuestion | undefined;
}

interface Options<T> {
  onApprovalRequested: OnApprovalRequested | undefined;
  settle: (decision: Decision | undefined) => T | Promise<T>;
}

/** What the message shows when the approval's row is added. */
export function showRequest(context: RunContext, call: InnerApproval, place: MessagePlace | undefined): void {
  if (call.terms.origin != null) place?.show?.(inPlace(toPart(context, call), place));
}

/** As `decisionOf`; the run at the top is told of the request, and of its end. */
export async function surfacedDecision<T>(
  context: RunContext,
  call: InnerApproval,
  { onApprovalRequested, settle }: Options<T>,
): Promise<T> {
  let end: Partial<ApprovalRequestData> = {};
  const told = tellTop(context, call, { name: 'surfaced' });
  const [settled] = await Promise.all([
    decisionOf(context, call, {
      onApprovalRequested,
      settle: (decision) => {
        end = endOf(decision);
        showEnd(context, call, end);
        return settle(decision);
      },
    }),
    told,
  ]);
  await tellTop(context, call, { name: 'settled', end });
  return settled;
}

function endOf(decision: Decision | undefined): Pick<ApprovalRequestData, 'status' | 'decidedBy'> {
  if (decision === undefined) return { status: 'expired', decidedBy: null };
  return { status: decision.approved ? 'approved' : 'denied', decidedBy: decision.by };
}

/** Not awaited: when the code goes on must not depend on the store, or a replay could go another way. */
function showEnd(context: RunContext, call: InnerApproval, end: Partial<ApprovalRequestData>): void {
  const { place } = context.scope();
  const key = `${call.key}/shown`;
  if (call.terms.origin == null || place?.show === undefined || context.facts(key).length > 0) return;
  place.show(inPlace(toPart(context, call, end), place));
  context.append({ facts: [{ type: 'chunk_written', key, at: context.now() }] }).catch((error: unknown) => {
    const code = DurableError.is(error) ? error.code : 'internal_error';
    context.logger.warn({ code, hook: call.key, err: error }, 'what became of an approval may be shown again');
  });
}

const RETRIES = 3;

/** S2 */
async function tellTop(
  context: RunContext,
  call: InnerApproval,
  { name, end = {} }: { name: string; end?: Partial<ApprovalRequestData> },
): Promise<void> {
  const via = call.terms.origin?.via ?? null;
  if (via === null) return;
  const key = `${call.key}/${name}`;
  try {
    await context.perform<void>({
      key,
      kind: 'step',
      label: `show the approval of "${call.tool}" at the top (${name})`,
      retries: RETRIES,
      // crash here: the notice is there and not on record; it is sent again under its id
      body: () => context.notify(via, { id: `${context.run.id}/${key}`, part: toPart(context, call, end) }),
    });
  } catch (error) {
    if (context.signal.aborted || DurableError.is(error, 'cancelled')) throw error;
    context.logger.error(
      { code: 'step_failed', approval: call.approvalId, err: error },
      'an approval could not be shown at the top',
    );
  }
}

function toPart(context: RunContext, call: InnerApproval, end: Partial<ApprovalRequestData> = {}): RequestPart {
  const {
    approvalId: id,
    terms,
    tool,
    toolCallId,
    input,
    inputSchema = null,
    reason,
    question = 'execute',
    budget,
  } = call;
  const { prompt, approvers, needed, requestedAt, requestedBy, expiresAt } = terms;
  const { path } = whereOf(terms.origin, { ...context.run, tool });
  const asked = { tool, toolCallId, input, inputSchema, question, reason, prompt, approvers, needed };
  const data: ApprovalRequestData = {
    status: 'pending',
    path,
    run: context.run.id,
    ...asked,
    ...(budget === undefined ? {} : { budget }),
    requestedAt,
    requestedBy,
    expiresAt,
    ...end,
  };
  return { type: APPROVAL_PART, id, data };
}

function inPlace(part: RequestPart, { toolCallId }: MessagePlace): RequestPart {
  return { ...part, data: { ...part.data, toolCallId } };
}
