/** Approvals as they are read from outside: their rows and what was noted of them. */

import { readApprovalDetails } from '../agent/tool/approval.ts';
import type { ApprovalDetails, ApprovalRules, RequestedApproval } from '../agent/tool/approval.ts';
import { whereOf } from '../agent/tool/approval-origin.ts';
import { readNotes } from '../agent/tool/approval-audit.ts';
import type { AuditEntry, AuditNote } from '../agent/tool/approval-audit.ts';
import type { Hook, Responder } from '../runtime/store.ts';

/** A tool call that waits, or waited, for a person. */
export interface Approval extends RequestedApproval {
  /** JSON Schema of the input, where the tool has one. */
  inputSchema: unknown;
  /** Of a call in doubt: JSON Schema of its result, where the tool has one. */
  outputSchema: unknown;
  /** `expired`: it was not decided in time. `closed`: its run ended before. */
  status: 'pending' | 'approved' | 'denied' | 'expired' | 'closed';
  /** How many distinct people must approve. */
  needed: number;
  /** Who answered, oldest first. */
  answers: Responder[];
  decidedAt: number | null;
}

export interface ApprovalRecord extends Approval {
  /** What happened to it, oldest first. */
  audit: AuditEntry[];
}

/** A row, read once. */
export interface ApprovalRow {
  hook: Hook;
  details: ApprovalDetails;
  rules: ApprovalRules;
  notes: AuditNote[];
}

/** Throws `value_corrupt`. */
export function readRow(hook: Hook): ApprovalRow {
  const details = readApprovalDetails(hook.details);
  return { hook, details, rules: details.rules, notes: readNotes(hook.notes) };
}

export function toApproval({ hook, details, notes }: ApprovalRow, now: number): Approval {
  const { rules: _, origin, ...asked } = details;
  return {
    ...asked,
    expiresAt: expiryOf({ details, notes }),
    ...whereOf(origin, { ...hook, id: hook.run, tool: details.tool }),
    tenant: hook.tenant,
    status: statusOf({ hook, details, notes }, now),
    needed: hook.needed,
    answers: hook.responders,
    decidedAt: hook.resolvedAt,
  };
}

export function toRecord(row: ApprovalRow, now: number): ApprovalRecord {
  return { ...toApproval(row, now), audit: auditOf(row) };
}

export function isEscalated(notes: readonly AuditNote[]): boolean {
  return notes.some(({ type }) => type === 'escalated');
}

/** Until when it can be answered, as far as that is known now. */
function expiryOf({ details, notes }: Pick<ApprovalRow, 'details' | 'notes'>): number | null {
  return notes.find(({ type }) => type === 'escalated')?.expiresAt ?? details.expiresAt;
}

function statusOf({ hook, details, notes }: Omit<ApprovalRow, 'rules'>, now: number): Approval['status'] {
  const { status, responders } = hook;
  if (status === 'resolved') return responders.every(({ approved }) => approved) ? 'approved' : 'denied';
  if (status === 'closed') return notes.some(({ type }) => type === 'expired') ? 'expired' : 'closed';
  return isOver({ details, notes }, now) ? 'expired' : 'pending';
}

/** Nobody may answer any more, whether or not a worker has closed it. Who is still to be asked by an escalation has time. */
function isOver({ details, notes }: Pick<ApprovalRow, 'details' | 'notes'>, now: number): boolean {
  const isLastCall = details.rules.escalateTo === null || isEscalated(notes);
  const expiresAt = expiryOf({ details, notes });
  return isLastCall && expiresAt !== null && now > expiresAt;
}

function toEntry(note: AuditNote): AuditEntry {
  const { id: _, ...entry } = note;
  return entry;
}

function auditOf({ hook, details, notes }: ApprovalRow): AuditEntry[] {
  const requested: AuditEntry = { type: 'requested', at: details.requestedAt, by: details.requestedBy, from: null };
  const answered = hook.responders.map(({ by, approved, at }): AuditEntry => {
    // The row is what counts; the note tells where the answer came in, unless its process died before it was written.
    const note = notes.find((each) => each.type === 'answered' && each.by === by);
    const why = note?.why === undefined ? {} : { why: note.why };
    return { type: 'answered', at, by, from: note?.from ?? null, approved, ...why };
  });
  const noted = notes.filter(({ type }) => type !== 'answered').map(toEntry);
  return [requested, ...noted, ...answered].toSorted((a, b) => a.at - b.at);
}
