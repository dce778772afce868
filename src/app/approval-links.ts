/**
 * What somebody does with the link to an approval.
 *
 *  U1 Opening a link changes nothing: mail scanners and previews open all of them. Using it answers, in the name of its addressee.
 *  U2 Whoever uses a link is asked for what everybody is who answers: being an approver, being in time, not having answered before.
 */

import { encodeNote } from '../agent/tool/approval-audit.ts';
import type { AuditNote } from '../agent/tool/approval-audit.ts';
import { decodeLink } from '../agent/tool/approval-link.ts';
import type { LinkAction } from '../agent/tool/approval-link.ts';
import type { Person } from '../agent/tool/approval-rules.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Key } from '../runtime/keyring.ts';
import type { Hook } from '../runtime/store.ts';
import { answerApproval, noteRefusal } from './approval-answer.ts';
import type { AnswerParts, Said } from './approval-answer.ts';
import { readRow, toRecord } from './approval-record.ts';
import type { ApprovalRecord } from './approval-record.ts';

/** What a link of `approval.links()` is for. */
export interface OpenedLink {
  approval: ApprovalRecord;
  action: LinkAction;
  /** In whose name it answers. */
  to: string;
  /** It is used by somebody who is logged in as `to`, or not at all. */
  requireLogin: boolean;
  isExpired: boolean;
  /** It was taken back. */
  isRevoked: boolean;
}

export interface UseLinkOptions {
  /** Who is logged in where the link is used. Their roles are those that `approvers` functions see; without it there are none. */
  as?: { id: string; roles?: readonly string[] };
  reason?: string;
  /** Of a call in doubt, by the link to approve: `happened` needs `result`, what came of it; `failed`: nobody knows. Default `again`: it may run again. */
  says?: 'again' | 'happened' | 'failed';
  result?: unknown;
}

export interface LinkParts extends AnswerParts {
  /** The secret of an id, if this runtime knows it. */
  keyOf: (id: string | undefined) => Promise<Key | undefined>;
  findHook: (id: string) => Promise<Hook>;
}

export async function openLink(parts: LinkParts, token: string): Promise<OpenedLink> {
  const { hook, ...link } = await readLink(parts, token);
  return { ...link, approval: toRecord(readRow(hook), parts.clock.now()) };
}

export async function useLink(
  parts: LinkParts,
  token: string,
  { as, reason, says = 'again', result }: UseLinkOptions,
): Promise<ApprovalRecord> {
  const { hook, action, to, requireLogin, ...link } = await readLink(parts, token);
  const row = readRow(hook);
  const isDoubt = row.details.question === 'in-doubt';
  const approved = action === 'approve' && !(isDoubt && says === 'failed');
  const person: Person = { id: to, roles: as?.id === to ? (as.roles ?? []) : [] };
  const said: Said = {
    by: person,
    from: 'link',
    approved,
    isOnce: true,
    ...(approved && isDoubt && says === 'happened' ? { result } : {}),
    ...(reason === undefined ? {} : { reason }),
  };
  const why = whyNot({ ...link, action, isMissingLogin: requireLogin && as?.id !== to });
  if (why === undefined) return answerApproval(parts, hook, said);
  await noteRefusal(parts, row, { said, why });
  throw new DurableError('forbidden', `Cannot answer the approval "${row.details.id}" by this link: ${why}.`, {
    details: { id: row.details.id, by: to },
  });
}

function whyNot(
  link: Pick<OpenedLink, 'action' | 'isExpired' | 'isRevoked'> & { isMissingLogin: boolean },
): string | undefined {
  if (link.action === 'view') return 'it is one to look at the approval';
  if (link.isRevoked) return 'the link was taken back';
  if (link.isExpired) return 'the link has expired';
  return link.isMissingLogin ? 'its addressee is not logged in' : undefined;
}

async function readLink(parts: LinkParts, token: string): Promise<Omit<OpenedLink, 'approval'> & { hook: Hook }> {
  const claims = await decodeLink(token, { keyOf: parts.keyOf, now: parts.clock.now() });
  if (claims === undefined) {
    parts.logger.warn(
      { code: 'approval_not_found' },
      'a link to an approval was refused: no secret of this runtime has signed it',
    );
    throw new DurableError(
      'approval_not_found',
      'This link is none of an approval here: it is damaged, or the secret that signed it is not in use any more.',
    );
  }
  const { approval, issuedAt, ...link } = claims;
  const hook = await parts.findHook(approval);
  const isRevoked = readRow(hook).notes.some((note) => isTakenBack(note, { to: link.to, issuedAt }));
  return { ...link, isRevoked, hook };
}

function isTakenBack({ type, to, at }: AuditNote, link: { to: string; issuedAt: number }): boolean {
  return type === 'revoked' && (to ?? link.to) === link.to && link.issuedAt <= at;
}

export interface RevokeOptions {
  /** Who takes them back. */
  by: string;
  /** Whose links. Default: everybody's. */
  to?: string;
}

/** Those that were made so far; what is made later holds. */
export async function revokeLinks(parts: LinkParts, id: string, { by, to }: RevokeOptions): Promise<ApprovalRecord> {
  const { tokenHash } = await parts.findHook(id);
  const note = { type: 'revoked' as const, by, from: 'code', ...(to === undefined ? {} : { to }) };
  const store = await parts.store();
  await store.note(tokenHash, encodeNote({ ...note, id: parts.ids.next(), at: parts.clock.now() }));
  return toRecord(readRow(await parts.findHook(id)), parts.clock.now());
}
