/**
 * What becomes of an approval while nobody answers: it is told of, told of again, escalated, and at last it expires.
 *
 *  W1 An answer and the end of time: one of them, decided by the commit that closes the hook.
 *  W2 What fell due while no process lived is done once; a reminder that a later moment has overtaken is left out.
 *  W3 Whatever is asked for here has its completion before the next segment begins: none stands behind the checkpoint.
 *  W4 All moments are those that were written down with the request.
 */

import type { RunContext } from '../../runtime/context.ts';
import { DurableError, reasonOf } from '../../runtime/errors.ts';
import type { OnApprovalRequested } from '../approval-settings.ts';
import type { ApprovalDetails, Decision } from './approval.ts';
import { encodeNote } from './approval-audit.ts';
import type { AuditNote } from './approval-audit.ts';
import { createLinks } from './approval-link.ts';
import type { ApprovalNotice, NoticedApproval } from './approval-notice.ts';
import { whereOf } from './approval-origin.ts';
import type { ApprovalTerms } from './approval-terms.ts';

/** An approval whose row is written. */
export interface WatchedApproval extends Pick<ApprovalDetails, 'tool' | 'toolCallId' | 'input' | 'reason'> {
  /** The hook's key. */
  key: string;
  tokenHash: string;
  approvalId: string;
  terms: ApprovalTerms;
  /** Default `execute`. */
  question?: ApprovalDetails['question'];
}

interface WatchOptions {
  /** Aborted by the answer. */
  answered: AbortSignal;
  onApprovalRequested: OnApprovalRequested | undefined;
}

/**
 * Waits for the decision and tells of the approval meanwhile. `settle` is called at once with the decision, or with none when the approval has
 * expired; what it answers comes when nothing more is to be told.
 */
export async function decisionOf<T>(
  context: RunContext,
  call: WatchedApproval,
  { onApprovalRequested, settle }: Pick<WatchOptions, 'onApprovalRequested'> & { settle: Settle<T> },
): Promise<T> {
  const isAnswered = new AbortController();
  const take = async (): Promise<Decision | undefined> => {
    try {
      const { value } = await context.buffer(call.key).take();
      isAnswered.abort();
      return value as Decision;
    } catch (error) {
      if (DurableError.is(error, 'hook_expired')) return undefined;
      throw error;
    }
  };
  const [settled] = await Promise.all([
    take().then(settle),
    watchApproval(context, call, { answered: isAnswered.signal, onApprovalRequested }),
  ]);
  return settled;
}

type Settle<T> = (decision: Decision | undefined) => T | Promise<T>;

/** Resolves when the approval has expired, or was answered and nothing more is to be told of it. */
async function watchApproval(context: RunContext, call: WatchedApproval, options: WatchOptions): Promise<void> {
  try {
    await watch(context, call, options);
  } catch (error) {
    if (!options.answered.aborted) throw error;
  }
}

async function watch(context: RunContext, call: WatchedApproval, options: WatchOptions): Promise<void> {
  const { remindAt, expiresAt, escalatedForMs, isTold } = call.terms;
  const until = (name: string, at: number): Promise<void> =>
    context.sleep(`${call.key}/${name}`, new Date(at), options.answered);
  const tell = (reason: ApprovalNotice['reason'], name: string, more: Partial<AuditNote> = {}): Promise<void> =>
    tellOf(context, { ...options, call, reason, name, more });
  if (isTold) await tell('requested', 'tell');
  for (const [n, at] of remindAt.entries()) {
    await until(`reminder:${n}`, at);
    const isOvertaken = context.now() >= (remindAt[n + 1] ?? expiresAt ?? Number.POSITIVE_INFINITY);
    if (!isOvertaken) await tell('reminder', `remind:${n}`);
  }
  if (expiresAt === null) return;
  await until('expiry', expiresAt);
  if (escalatedForMs !== null) {
    const later = context.now() + escalatedForMs;
    await tell('escalated', 'escalate', { expiresAt: later });
    await until('end', later);
  }
  const isClosed = await context.closeHook(`${call.key}/closed`, call); // W1
  if (isClosed) await record(context, `${call.key}/expired`, { call, note: { type: 'expired' } });
}

interface Telling extends WatchOptions {
  call: WatchedApproval;
  reason: ApprovalNotice['reason'];
  name: string;
  more: Partial<AuditNote>;
}

const RETRIES = 3;
const NOTE_OF = { requested: 'notified', reminder: 'reminded', escalated: 'escalated' } as const;

/** The approval is the same whether anybody could be told of it. */
async function tellOf(context: RunContext, { call, reason, name, more, ...options }: Telling): Promise<void> {
  options.answered.throwIfAborted();
  const key = `${call.key}/${name}`;
  const note = { type: NOTE_OF[reason], ...more };
  // An escalation is in force before anybody hears of it.
  if (reason === 'escalated') await record(context, `${key}/note`, { call, note });
  const told = options.onApprovalRequested;
  /** Whether it was told before somebody answered. */
  const body = async (signal: AbortSignal, attempt: number): Promise<boolean> => {
    if (options.answered.aborted) return false;
    const notice: ApprovalNotice = {
      reason,
      approval: noticed(context, call, more.expiresAt ?? call.terms.expiresAt),
      idempotencyKey: `${context.run.id}/${key}`,
      attempt,
      signal: AbortSignal.any([signal, options.answered]),
    };
    const telling = async (): Promise<boolean> => {
      await told?.(notice);
      return true;
    };
    return Promise.race([telling(), aborted(options.answered)]);
  };
  try {
    const isTold = await context.perform<boolean>({
      key,
      kind: 'step',
      label: `tell of the approval of "${call.tool}" (${reason})`,
      retries: RETRIES,
      unawaited: true,
      body: ({ signal, attempt }) => body(signal, attempt),
    });
    if (isTold && reason !== 'escalated') await record(context, `${key}/note`, { call, note });
  } catch (error) {
    if (isOver(error, context)) throw error;
    context.logger.error(
      { code: 'step_failed', approval: call.approvalId, err: error },
      'nobody could be told of an approval',
    );
    await record(context, `${key}/note-failed`, { call, note: { type: 'notification_failed', why: reasonOf(error) } });
  }
  options.answered.throwIfAborted();
}

function isOver(error: unknown, context: RunContext): boolean {
  return context.signal.aborted || DurableError.is(error, 'cancelled');
}

/** Whoever tells of what is answered need not go on. */
function aborted(signal: AbortSignal): Promise<false> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(false), { once: true }));
}

/** A note of the approval's row. Its key keeps it one, if the process dies before the step is recorded. */
async function record(
  context: RunContext,
  key: string,
  { call, note }: { call: WatchedApproval; note: Pick<AuditNote, 'type'> & Partial<AuditNote> },
): Promise<void> {
  const whole: AuditNote = { at: context.now(), by: null, from: null, ...note, id: key };
  await context.perform<void>({
    key,
    kind: 'step',
    label: `note that the approval of "${call.tool}" was ${note.type}`,
    retries: RETRIES,
    unawaited: true,
    body: () => context.noteHook(call.tokenHash, encodeNote(whole)),
  });
}

function noticed(context: RunContext, call: WatchedApproval, expiresAt: number | null): NoticedApproval {
  const { approvalId: id, question = 'execute', tool, toolCallId, input, reason, terms } = call;
  const { run } = context;
  const { turn, requestedAt, requestedBy, prompt } = terms;
  return {
    id,
    question,
    tool,
    toolCallId,
    input,
    reason,
    turn,
    requestedAt,
    requestedBy,
    prompt,
    expiresAt,
    approvers: terms.approvers,
    ...whereOf(terms.origin, { ...run, tool }),
    tenant: run.tenant,
    links: (options) => createLinks(context, { ...options, approval: { id, expiresAt } }),
  };
}
