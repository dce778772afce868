/**
 * One answer to an approval.
 *
 *  A1 Who may answer is decided when the answer arrives, by what the approval's row and the agent's functions say; what cannot be asked, or
 *     throws, refuses.
 *  A2 The store decides: the first decision wins, and nobody counts twice.
 *  A3 An answer that does not count leaves a note of who gave it, and why it did not.
 *  A4 The same words of the same person are the same answer, once it is decided: whoever does not know whether theirs arrived may send it again.
 */

import type { ToolSet } from 'ai';
import type { DurableApprovalSettings } from '../agent/approval-settings.ts';
import type { ApprovalAnswer, Person } from '../agent/tool/approval-rules.ts';
import type { Decision } from '../agent/tool/approval.ts';
import { encodeNote, readNotes } from '../agent/tool/approval-audit.ts';
import type { AuditNote } from '../agent/tool/approval-audit.ts';
import type { WayIn } from '../runtime/admission.ts';
import type { Clock } from '../runtime/clock.ts';
import { encodeValue } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Hook, Store } from '../runtime/store.ts';
import { checkDecision, deliveryIdOf } from './approval-decision.ts';
import type { Decided } from './approval-decision.ts';
import { isEscalated, readRow, toApproval, toRecord } from './approval-record.ts';
import type { ApprovalRecord, ApprovalRow } from './approval-record.ts';

export interface AnswerParts {
  store: () => Promise<Store>;
  deliver: WayIn['deliver'];
  clock: Clock;
  ids: Ids;
  logger: Logger;
  /** Of an agent that is registered here. */
  agentOf: (asked: AskingAgent) => ApprovingAgent | undefined;
  /** Of budgets whose agents leave that to the runtime. */
  budgetApproval?: DurableApprovalSettings | undefined;
}

/** Whose call an approval is about. */
export interface AskingAgent {
  /** The run's agent or workflow, by name. */
  workflow: string;
  /** The agent that its code has called, by id; null: it is the run's own. */
  inner: string | null;
}

export interface ApprovingAgent {
  tools: ToolSet;
  approvals: Partial<Record<string, DurableApprovalSettings>>;
  /** Of its budgets. */
  budgetApproval?: DurableApprovalSettings | undefined;
}

/** What somebody says to an approval. */
export interface Said extends Decided {
  by: Person;
  from: string;
  /** What it comes by holds once: the same answer is refused when it comes again. */
  isOnce?: boolean;
}

/** So many notes of views and refusals are kept of one approval; the log has the others. */
const MOST_NOTES = 200;

export async function answerApproval(parts: AnswerParts, hook: Hook, said: Said): Promise<ApprovalRecord> {
  const row = readRow(hook);
  const { by, isOnce = false } = said;
  const former = whyLate(parts, row, by.id);
  if (former === undefined) return answerOpen(parts, row, said);
  if (isOnce && isRepeated(hook, said)) throw former.error;
  return (await isSame(parts, row, said)) ? toRecord(row, parts.clock.now()) : refuse(parts, row, { said, ...former });
}

async function answerOpen(parts: AnswerParts, row: ApprovalRow, said: Said): Promise<ApprovalRecord> {
  const { hook } = row;
  const by = said.by.id;
  const why = await whyNot(parts, row, said);
  if (why !== undefined) return refuse(parts, row, { said, why, error: forbidden(row, { by, why }) });
  await checkDecision(agentOf(parts, row)?.tools ?? {}, row, said);
  const outcome = await deliver(parts, row, said);
  const store = await parts.store();
  const now = readRow((await store.hook(hook.tokenHash)) ?? hook);
  if (outcome?.kind === 'ok' || (outcome?.kind === 'duplicate' && isRepeated(now.hook, said))) {
    await note(parts, now, { type: 'answered', id: `answered:${by}`, ...toNote(said), ...reasonNote(said) });
    return toRecord(readRow((await store.hook(hook.tokenHash)) ?? hook), parts.clock.now());
  }
  const error = decidedError(now, parts.clock.now());
  return refuse(parts, row, { said, why: 'it was decided before', error });
}

async function refuse(
  parts: AnswerParts,
  row: ApprovalRow,
  { said, why, error }: { said: Said; why: string; error: DurableError },
): Promise<never> {
  await noteRefusal(parts, row, { said, why });
  throw error;
}

function deliver(
  parts: AnswerParts,
  { hook, details: { id } }: ApprovalRow,
  said: Said,
): ReturnType<AnswerParts['deliver']> {
  const { by: person, from: _, isOnce: __, ...decision } = said;
  const by = person.id;
  return parts.deliver({
    to: { hook: hook.tokenHash },
    id: deliveryIdOf(id, { by, decision }),
    payload: encodeValue({ ...decision, by } satisfies Decision, `the answer to approval "${id}"`),
    by,
    decision: { approved: decision.approved },
  });
}

/** A4. Of several who must approve, each says the same: none may change the input. While others are missing, nobody stands in for them (A2). */
async function isSame(parts: AnswerParts, row: ApprovalRow, said: Said): Promise<boolean> {
  if (!isRepeated(row.hook, said) || row.hook.status === 'open') return false;
  return row.hook.needed > 1 || (await deliver(parts, row, said))?.kind === 'duplicate';
}

/** It takes no answer of this person any more. */
function whyLate(parts: AnswerParts, row: ApprovalRow, by: string): { error: DurableError; why: string } | undefined {
  const now = parts.clock.now();
  if (toApproval(row, now).status !== 'pending') return { error: decidedError(row, now), why: 'it was decided before' };
  const hasAnswered = row.hook.responders.some((responder) => responder.by === by);
  return hasAnswered ? { error: twiceError(row, by), why: 'has answered before' } : undefined;
}

/** Noted once for each person. */
export async function noteView(
  parts: AnswerParts,
  hook: Hook,
  { by, from }: { by: string; from: string },
): Promise<void> {
  const id = `viewed:${by}`;
  if (readNotes(hook.notes).some((known) => known.id === id)) return;
  await note(parts, readRow(hook), { type: 'viewed', id, by, from });
}

function isRepeated(hook: Hook, { by, approved }: Said): boolean {
  return hook.responders.some((responder) => responder.by === by.id && responder.approved === approved);
}

/** A1. Why the answer does not count; undefined if it does. */
async function whyNot(parts: AnswerParts, row: ApprovalRow, said: Said): Promise<string | undefined> {
  const { details, rules, notes } = row;
  const { by } = said;
  const hasAsked = by.id === details.requestedBy || rules.senders.includes(by.id);
  if (hasAsked && !rules.requesterMayAnswer) return 'whoever requested it must not answer it (requesterMayAnswer)';
  const settings = settingsOf(parts, row);
  const limits: Limit[] = [
    { listed: details.approvers, asks: rules.asksApprovers ? settings.approvers : null },
    ...(isEscalated(notes) ? [escalation(rules.escalateTo, settings.onExpire)] : []),
  ];
  const reasons = await Promise.all(limits.map((limit) => whyNotOf(limit, { parts, row, said })));
  return reasons.includes(undefined) ? undefined : reasons.join('; ');
}

/** `asks`: a function; null: there is none to be asked; undefined: it is not known here. */
interface Limit {
  listed: string[] | null;
  asks: unknown;
}

function escalation(
  escalateTo: ApprovalRow['rules']['escalateTo'],
  onExpire: DurableApprovalSettings['onExpire'],
): Limit {
  if (escalateTo !== 'function') return { listed: escalateTo, asks: null };
  return { listed: null, asks: typeof onExpire === 'object' ? onExpire.escalateTo : undefined };
}

async function whyNotOf(
  { listed, asks }: Limit,
  { parts, row, said }: { parts: AnswerParts; row: ApprovalRow; said: Said },
): Promise<string | undefined> {
  if (asks === null && listed === null) return undefined;
  const people: unknown = listed ?? asks;
  if (Array.isArray(people)) return people.includes(said.by.id) ? undefined : `its approvers are ${people.join(', ')}`;
  if (typeof asks !== 'function')
    return `the function that says who may answer is not known here: answer where the agent "${toApproval(row, parts.clock.now()).agent}" is registered`;
  try {
    const approval = toApproval(row, parts.clock.now());
    const question: ApprovalAnswer = { by: said.by, approval, approved: said.approved, from: said.from };
    return (await (asks as (question: ApprovalAnswer) => unknown)(question)) === true
      ? undefined
      : 'the agent says that they may not';
  } catch (error) {
    parts.logger.error(
      { code: 'forbidden', approval: row.details.id, err: error },
      'a function that says who may answer failed',
    );
    // What it says is for the log: strangers read this.
    return 'the function that says who may answer failed';
  }
}

function agentOf(parts: AnswerParts, { hook, details }: ApprovalRow): ApprovingAgent | undefined {
  return parts.agentOf({ workflow: hook.workflow, inner: details.origin?.agent ?? null });
}

function settingsOf(parts: AnswerParts, row: ApprovalRow): DurableApprovalSettings {
  const { details, rules } = row;
  if (rules.asksRuntime === true) return parts.budgetApproval ?? {};
  const { approvals = {}, budgetApproval = {} } = agentOf(parts, row) ?? {};
  if (details.question === 'budget') return budgetApproval;
  return (Object.hasOwn(approvals, details.tool) ? approvals[details.tool] : undefined) ?? {};
}

function toNote({ by, from, approved }: Said): { by: string; from: string; approved: boolean } {
  return { by: by.id, from, approved };
}

function reasonNote({ reason }: Said): { why?: string } {
  return reason === undefined ? {} : { why: reason };
}

/** A3 */
export async function noteRefusal(
  parts: AnswerParts,
  row: ApprovalRow,
  { said, why }: { said: Said; why: string },
): Promise<void> {
  const { id } = row.details;
  parts.logger.warn(
    { code: 'forbidden', approval: id, by: said.by.id, from: said.from, why },
    'an answer to an approval was refused',
  );
  await note(parts, row, { type: 'refused', id: parts.ids.next(), ...toNote(said), why });
}

/** What happened stands whether or not it could be noted. */
async function note(parts: AnswerParts, { hook, details }: ApprovalRow, entry: Omit<AuditNote, 'at'>): Promise<void> {
  if (hook.notes.length >= MOST_NOTES && entry.type !== 'answered') return;
  try {
    const store = await parts.store();
    await store.note(hook.tokenHash, encodeNote({ at: parts.clock.now(), ...entry }));
  } catch (error) {
    const code = DurableError.is(error) ? error.code : 'internal_error';
    parts.logger.error(
      { code, approval: details.id, note: entry.type, err: error },
      'an approval could not be noted upon',
    );
  }
}

function forbidden(
  { details: { id, approvers } }: ApprovalRow,
  { by, why }: { by: string; why: string },
): DurableError {
  return new DurableError('forbidden', `Cannot answer the approval "${id}" as "${by}": ${why}.`, {
    details: { id, by, approvers },
  });
}

function twiceError({ hook, details }: ApprovalRow, by: string): DurableError {
  const { id, tool } = details;
  const first = hook.responders.find((responder) => responder.by === by);
  const { needed, responders, run } = hook;
  return new DurableError(
    'approval_decided',
    `${by} has answered the approval "${id}" of "${tool}" already: ${responders.length} of ${needed} people have. Somebody else must.`,
    { details: { id, status: 'pending', by, at: first?.at ?? null, approved: first?.approved ?? null, run } },
  );
}

function decidedError(row: ApprovalRow, now: number): DurableError {
  const { status, answers, decidedAt, run, tool, id, expiresAt } = toApproval(row, now);
  const last = answers.at(-1);
  if (status === 'expired') {
    const when = expiresAt === null ? '' : ` ${ago(now - expiresAt)} ago`;
    return new DurableError(
      'approval_decided',
      `The approval "${id}" of "${tool}" expired${when}: it was not decided in time.`,
      {
        details: { id, status, at: expiresAt, run },
      },
    );
  }
  if (status === 'closed' || last === undefined) {
    return new DurableError(
      'approval_decided',
      `The approval "${id}" of "${tool}" was closed: its run "${run}" ended before.`,
      { details: { id, status, run } },
    );
  }
  const said = last.approved ? 'approved' : 'denied';
  return new DurableError(
    'approval_decided',
    `The approval "${id}" of "${tool}" was ${said} by ${last.by} ${ago(now - last.at)} ago. The first decision counts.`,
    { details: { id, status, by: last.by, at: decidedAt ?? last.at, run } },
  );
}

export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}
