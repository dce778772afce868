/** What `onApprovalRequested` is told. */

import type { ApprovalLinks, LinkOptions } from './approval-link.ts';
import type { RequestedApproval } from './approval.ts';

export interface ApprovalNotice {
  /** `reminder`: nobody has answered so far. `escalated`: nobody did in time, and others may answer now. */
  reason: 'requested' | 'reminder' | 'escalated';
  approval: NoticedApproval;
  /** The same in each attempt to tell this, and another one for each reminder. */
  idempotencyKey: string;
  /** From 1. */
  attempt: number;
  /** Aborted when somebody answers, and with the run. */
  signal: AbortSignal;
}

export interface NoticedApproval extends RequestedApproval {
  /** Links for one person: whoever has one may use it in that person's name. Nothing is sent or stored by making them. */
  links(options: LinkOptions): Promise<ApprovalLinks>;
}
