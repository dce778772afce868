/** Approvals from outside: what waits for a person, and the answers. */

import { approvalTokenHash } from '../agent/tool/approval.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Hook, Page, Store } from '../runtime/store.ts';
import { answerApproval, noteView } from './approval-answer.ts';
import { openLink, revokeLinks, useLink } from './approval-links.ts';
import type { LinkParts, OpenedLink, RevokeOptions, UseLinkOptions } from './approval-links.ts';
import { listApprovalRows } from './approval-list.ts';
import { readRow, toApproval, toRecord } from './approval-record.ts';
import type { Approval, ApprovalRecord } from './approval-record.ts';
import { unlessCorrupt } from './waits.ts';

export interface ApprovalQuery {
  /** `pending` (default), `decided` (also those that were closed without an answer), or `all`. */
  status?: 'pending' | 'decided' | 'all';
  /** Of the run, and of the runs that it has started as children, at any depth. */
  run?: string;
  /** Of all runs of the thread, and of those that they have started as children. */
  thread?: string;
  /** null: those without a tenant. */
  tenant?: string | null;
  tool?: string;
  /** Default 50, at most 500. Newest first. */
  limit?: number;
  cursor?: string;
}

/** Who answers. */
export interface DenyOptions {
  /** An id, or with the roles that `approvers` functions are asked about. */
  by: string | { id: string; roles?: readonly string[] };
  /** The model is told. */
  reason?: string;
  /** Where the answer comes in, for the records. Default `code`. */
  from?: string;
}

export interface ApproveOptions extends DenyOptions {
  /** The tool runs with this input in place of the model's, and the model is told. */
  input?: unknown;
  /** Only where the question is `in-doubt`: the effect happened, and this is what the tool answered. */
  result?: unknown;
}

export interface Approvals {
  /** Newest first. A damaged row is left out, and logged as `value_corrupt`: without its id nobody could answer it. */
  list(query?: ApprovalQuery): Promise<Page<Approval>>;
  /** With all that happened to it. `viewedBy` notes who looks, once for each person. Throws `approval_not_found`. */
  get(id: string, options?: { viewedBy?: string; from?: string }): Promise<ApprovalRecord>;
  /**
   * Approves; resolves when the answer is stored, and answers the approval as it is then (still pending if more people must
   * approve). The first decision wins; the same one of the same person, sent again, is the same. Throws `approval_not_found`, `approval_decided` (details: status, by, at; `pending`: this one has answered
   * already), `payload_invalid` for an edited input or a result that does not fit the tool's schema, `forbidden` for somebody who may not, `invalid_argument`. What was
   * refused stands in the approval's audit.
   */
  approve(id: string, options: ApproveOptions): Promise<ApprovalRecord>;
  /** Denies; one denial decides. Throws as `approve` does. */
  deny(id: string, options: DenyOptions): Promise<ApprovalRecord>;
  /** Reads the token at the end of a link; changes nothing. Throws `approval_not_found` for one that this runtime has not signed. */
  openLink(token: string): Promise<OpenedLink>;
  /** Answers as the link says, in its addressee's name. Throws as `approve` does, and `forbidden` for a link that does not hold (any more). */
  useLink(token: string, options?: UseLinkOptions): Promise<ApprovalRecord>;
  /** Takes back the links that were made so far, everybody's or one person's: they open and answer nothing any more. Throws `approval_not_found`. */
  revokeLinks(id: string, options: RevokeOptions): Promise<ApprovalRecord>;
}

export type ApprovalsParts = Omit<LinkParts, 'findHook'>;

const STATUSES: Record<'pending' | 'decided', Array<Hook['status']>> = {
  pending: ['open'],
  decided: ['resolved', 'closed'],
};

export function createApprovals(parts: ApprovalsParts): Approvals {
  const links: LinkParts = { ...parts, findHook: async (id) => findHook(await parts.store(), id) };
  return {
    list: async ({ status = 'pending', ...query } = {}) => {
      if (status !== 'all' && !Object.hasOwn(STATUSES, status)) {
        throw new DurableError(
          'invalid_argument',
          `Cannot list approvals with the status ${JSON.stringify(status)}: write "pending", "decided" or "all".`,
        );
      }
      const store = await parts.store();
      const asked = { ...query, kind: 'approval' as const, ...(status === 'all' ? {} : { status: STATUSES[status] }) };
      const rows = await listApprovalRows(store, asked, { live: status === 'pending' });
      return { ...rows, items: rows.items.flatMap((hook) => readApproval(parts, hook)) };
    },
    get: async (id, { viewedBy, from = 'code' } = {}) => {
      const store = await parts.store();
      const hook = await findHook(store, id);
      if (viewedBy === undefined) return toRecord(readRow(hook), parts.clock.now());
      await noteView(parts, hook, { by: viewedBy, from });
      return toRecord(readRow(await findHook(store, id)), parts.clock.now());
    },
    approve: (id, options) => answer(parts, id, { ...options, approved: true }),
    deny: (id, options) => answer(parts, id, { ...options, approved: false }),
    openLink: (token) => openLink(links, token),
    useLink: (token, options = {}) => useLink(links, token, options),
    revokeLinks: (id, options) => revokeLinks(links, id, options),
  };
}

function readApproval({ logger, clock }: ApprovalsParts, hook: Hook): Approval[] {
  const row = unlessCorrupt(() => readRow(hook));
  if (row !== undefined) return [toApproval(row, clock.now())];
  const { run, key, tool } = hook;
  logger.warn({ code: 'value_corrupt', run, step: key, tool }, 'an approval cannot be read and is left out of a list');
  return [];
}

async function answer(
  parts: ApprovalsParts,
  id: string,
  { by, from = 'code', ...decision }: ApproveOptions & { approved: boolean },
): Promise<ApprovalRecord> {
  const hook = await findHook(await parts.store(), id);
  const person = typeof by === 'object' && by !== null ? by : { id: by };
  if (typeof person.id !== 'string' || person.id === '') {
    throw new DurableError(
      'invalid_argument',
      `Cannot answer the approval "${id}": "by" is missing. Write approve("${id}", { by: "user_7" }).`,
      { details: { id } },
    );
  }
  return answerApproval(parts, hook, { ...decision, by: { id: person.id, roles: person.roles ?? [] }, from });
}

async function findHook(store: Store, id: string): Promise<Hook> {
  const hook = await store.hook(approvalTokenHash(id));
  if (hook !== null && hook.kind === 'approval') return hook;
  throw approvalNotFound(id);
}

export function approvalNotFound(id: string): DurableError {
  return new DurableError(
    'approval_not_found',
    `There is no approval "${id}". runtime.approvals.list() has those that wait; those of removed runs are gone.`,
    { details: { id } },
  );
}
