/** `durable.approvals`: what an approval asks of whom, and for how long. */

import { DurableError } from '../runtime/errors.ts';
import { durationMs } from '../runtime/duration.ts';
import type { Duration } from '../runtime/duration.ts';
import type { ApprovalNotice } from './tool/approval-notice.ts';
import type { ApprovalAnswer } from './tool/approval-rules.ts';

/**
 * Who may answer: ids, as they were when the approval was requested, or a function that is asked when an answer arrives, in the process where
 * it does. Only `true` lets it pass; what it throws refuses.
 */
export type Approvers = string[] | ((answer: ApprovalAnswer) => boolean | Promise<boolean>);

export interface DurableApprovalSettings<INPUT = unknown> {
  /** How many distinct people must approve; one denial decides. Default 1. */
  needed?: number;
  /** Who may answer. Default: whoever the application lets through. */
  approvers?: Approvers;
  /**
   * Whether the one who started the run, and those who have spoken to it since, may answer. Default: only where neither `approvers` nor more than one person is asked for; there an
   * approval is a question to whoever chats.
   */
  requesterMayAnswer?: boolean;
  /** How long it can be answered: milliseconds, or text such as "2 days". Default: for ever. The model is told that it has expired, not that somebody refused. */
  expiresIn?: Duration;
  /** What happens then: the call is given up (`deny`, the default), or others may answer too, for `expiresIn` of theirs (default: as long again). */
  onExpire?: 'deny' | { escalateTo: Approvers; expiresIn?: Duration };
  /** When to tell of it again, counted from the request. What is overdue when a process comes back is told once. */
  remindAt?: Duration | Duration[];
  /** An approval of equal input is remembered within the thread: such a call does not ask again. */
  once?: boolean;
  /** The question in words, for the person who is to answer. */
  prompt?(input: INPUT): string | Promise<string>;
}

/** Told of approvals, as a step of the run. */
export type OnApprovalRequested = (notice: ApprovalNotice) => unknown;

/** Throws `invalid_argument` and `invalid_duration`. */
export function checkApprovalSettings(
  settings: DurableApprovalSettings,
  { where, of }: { where: string; of: 'agent' | 'call' },
): void {
  const { needed, approvers, expiresIn, onExpire = 'deny', remindAt = [] } = settings;
  if (needed !== undefined && !(Number.isInteger(needed) && needed >= 1))
    throw invalid(`${where}.needed: ${String(needed)} is no number of people. Write 1 or more.`);
  checkApprovers(approvers, { where: `${where}.approvers`, of, needed });
  if (expiresIn !== undefined) durationMs(expiresIn, `${where}.expiresIn`);
  for (const moment of [remindAt].flat()) durationMs(moment, `${where}.remindAt`);
  if (onExpire === 'deny') return;
  if (typeof onExpire !== 'object' || onExpire === null)
    throw invalid(`${where}.onExpire: it is neither "deny" nor { escalateTo }.`);
  checkApprovers(onExpire.escalateTo, { where: `${where}.onExpire.escalateTo`, of, needed: undefined });
  if (onExpire.expiresIn !== undefined) durationMs(onExpire.expiresIn, `${where}.onExpire.expiresIn`);
  if (expiresIn === undefined)
    throw invalid(`${where}.onExpire: nothing expires without ${where}.expiresIn. Say how long the first ones have.`);
}

function checkApprovers(
  approvers: Approvers | undefined,
  { where, of, needed = 1 }: { where: string; of: 'agent' | 'call'; needed: number | undefined },
): void {
  if (approvers === undefined) return;
  if (typeof approvers === 'function') {
    if (of === 'agent') return;
    throw invalid(
      `${where}: a function among the settings of a call is not there any more when the answer arrives. Write it in the agent's own durable.approvals, or list ids.`,
    );
  }
  if (!Array.isArray(approvers) || !approvers.every((id) => typeof id === 'string' && id !== ''))
    throw invalid(`${where}: it is neither a list of ids nor a function.`);
  const people = new Set(approvers).size;
  if (people < needed) throw invalid(`${where}: it names ${people} people, and ${needed} must approve.`);
}

function invalid(text: string): DurableError {
  return new DurableError('invalid_argument', `Cannot configure ${text}`);
}
