/** What an agent's settings say of one approval, as it is written down when it is requested: code that changes meanwhile changes nothing of it. */

import { durationMs } from '../../runtime/duration.ts';
import type { Duration } from '../../runtime/duration.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { Approvers, DurableApprovalSettings } from '../approval-settings.ts';
import { UNASKED } from './approval.ts';
import type { ApprovalDetails } from './approval.ts';
import type { ApprovalOrigin } from './approval-origin.ts';

export interface ApprovalTerms extends Pick<
  ApprovalDetails,
  'requestedAt' | 'requestedBy' | 'prompt' | 'expiresAt' | 'turn' | 'approvers' | 'rules' | 'origin'
> {
  /** How many distinct people must approve. */
  needed: number;
  /** Moments, ascending. */
  remindAt: number[];
  /** How long those have whom it is escalated to; null: it is not. */
  escalatedForMs: number | null;
  /** An approval counts for equal calls of the thread too. */
  once: boolean;
  /** Somebody is to be told of it. */
  isTold: boolean;
}

interface Request {
  tool: string;
  input: unknown;
  turn: number;
  now: number;
  requestedBy: string | null;
  senders: string[];
  isTold: boolean;
  /** Of an agent below another one. */
  origin: ApprovalOrigin | null;
  logger: Logger;
}

export async function termsOf(settings: DurableApprovalSettings, request: Request): Promise<ApprovalTerms> {
  const { tool, turn, now, requestedBy, isTold, origin } = request;
  const where = `durable.approvals.${tool}`;
  const { expiresIn, remindAt = [], onExpire = 'deny' } = settings;
  const from = (duration: Duration, name: string): number => now + durationMs(duration, `${where}.${name}`);
  const expiresAt = expiresIn === undefined ? null : from(expiresIn, 'expiresIn');
  const escalatedFor = onExpire === 'deny' ? undefined : (onExpire.expiresIn ?? expiresIn);
  return {
    turn,
    requestedAt: now,
    requestedBy,
    prompt: await promptOf(settings, request),
    expiresAt,
    needed: settings.needed ?? 1,
    ...rulesOf(settings, request.senders),
    remindAt: [remindAt]
      .flat()
      .map((moment) => from(moment, 'remindAt'))
      .filter((at) => expiresAt === null || at < expiresAt)
      .toSorted((a, b) => a - b),
    escalatedForMs: escalatedFor === undefined ? null : durationMs(escalatedFor, `${where}.onExpire.expiresIn`),
    once: settings.once === true,
    isTold,
    origin,
  };
}

/** A question that cannot be put into words is asked without them. */
async function promptOf({ prompt }: DurableApprovalSettings, { tool, input, logger }: Request): Promise<string | null> {
  try {
    return (await prompt?.(input)) ?? null;
  } catch (error) {
    logger.error(
      { code: 'invalid_argument', tool, err: error },
      'durable.approvals.prompt failed; the approval is asked for without it',
    );
    return null;
  }
}

function rulesOf(settings: DurableApprovalSettings, senders: string[]): Pick<ApprovalTerms, 'approvers' | 'rules'> {
  const { approvers, needed = 1, onExpire = 'deny', requesterMayAnswer } = settings;
  return {
    approvers: Array.isArray(approvers) ? approvers : null,
    rules: {
      asksApprovers: typeof approvers === 'function',
      senders,
      requesterMayAnswer: requesterMayAnswer ?? (approvers === undefined && needed === 1),
      escalateTo: onExpire === 'deny' ? null : listed(onExpire.escalateTo),
    },
  };
}

function listed(approvers: Approvers): string[] | 'function' {
  return typeof approvers === 'function' ? 'function' : approvers;
}

/** Of approvals that an earlier release has requested. */
export const NO_TERMS: ApprovalTerms = {
  ...UNASKED,
  turn: 0,
  requestedAt: 0,
  needed: 1,
  approvers: null,
  remindAt: [],
  escalatedForMs: null,
  once: false,
  isTold: false,
};
