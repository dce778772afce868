/** Approvals from outside: what waits for a person, and the answers. */

import type { ToolSet } from 'ai';
import { approvalTokenHash, readApprovalDetails } from '../agent/tool/approval.ts';
import type { ApprovalDetails, Decision } from '../agent/tool/approval.ts';
import { checkEditedInput, fromStoredSchema } from '../agent/tool/edited-input.ts';
import type { WayIn } from '../runtime/admission.ts';
import type { Clock } from '../runtime/clock.ts';
import { encodeValue } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Hook, Page, Store } from '../runtime/store.ts';
import { unlessCorrupt } from './waits.ts';

/** A tool call that waits, or waited, for a person. */
export interface Approval extends ApprovalDetails {
  run: string;
  /** The agent's name. */
  agent: string;
  thread: string | null;
  tenant: string | null;
  /** `closed`: its run ended, or nobody answered in time. */
  status: 'pending' | 'approved' | 'denied' | 'closed';
  /** How many distinct people must approve. */
  needed: number;
  /** Who answered, oldest first. */
  answers: Array<{ by: string; approved: boolean; at: number }>;
  decidedAt: number | null;
}

export interface ApprovalQuery {
  /** `pending` (default), `decided` (also those that were closed without an answer), or `all`. */
  status?: 'pending' | 'decided' | 'all';
  run?: string;
  thread?: string;
  /** null: those without a tenant. */
  tenant?: string | null;
  tool?: string;
  /** Default 50, at most 500. Newest first. */
  limit?: number;
  cursor?: string;
}

export interface ApproveOptions {
  /** Who answers; kept with the approval. */
  by: string;
  reason?: string;
  /** The tool runs with this input in place of the model's, and the model is told. */
  input?: unknown;
  /** Only where the question is `in-doubt`: the effect happened, and this is what the tool answered. */
  result?: unknown;
}

export interface DenyOptions {
  by: string;
  /** The model is told. */
  reason?: string;
}

export interface Approvals {
  /** Newest first. A damaged row is left out, and logged as `value_corrupt`: without its id nobody could answer it. */
  list(query?: ApprovalQuery): Promise<Page<Approval>>;
  /** Throws `approval_not_found`. */
  get(id: string): Promise<Approval>;
  /**
   * Approves; resolves when the answer is stored, and answers the approval as it is then (still pending if more people must
   * approve). The first decision wins. Throws `approval_not_found`, `approval_decided` (details: status, by, at), `payload_invalid` for an
   * edited input that the tool does not accept, `forbidden` for somebody who is not among its approvers, `invalid_argument`.
   */
  approve(id: string, options: ApproveOptions): Promise<Approval>;
  /** Denies; one denial decides. Throws as `approve` does. */
  deny(id: string, options: DenyOptions): Promise<Approval>;
}

export interface ApprovalsParts {
  store: () => Promise<Store>;
  deliver: WayIn['deliver'];
  clock: Clock;
  ids: Ids;
  logger: Logger;
  /** The tools of an agent that is registered here. */
  toolsOf: (agent: string) => ToolSet | undefined;
}

const STATUSES: Record<'pending' | 'decided', Array<Hook['status']>> = {
  pending: ['open'],
  decided: ['resolved', 'closed'],
};

export function createApprovals(parts: ApprovalsParts): Approvals {
  return {
    list: async ({ status = 'pending', ...query } = {}) => {
      if (status !== 'all' && !Object.hasOwn(STATUSES, status)) {
        throw new DurableError(
          'invalid_argument',
          `Cannot list approvals with the status ${JSON.stringify(status)}: write "pending", "decided" or "all".`,
        );
      }
      const store = await parts.store();
      const rows = await store.listHooks({
        ...query,
        kind: 'approval',
        ...(status === 'all' ? {} : { status: STATUSES[status] }),
      });
      return { ...rows, items: rows.items.flatMap((hook) => readApproval(parts, hook)) };
    },
    get: async (id) => toApproval(await findHook(await parts.store(), id)),
    approve: (id, options) => answer(parts, id, { ...options, approved: true }),
    deny: (id, options) => answer(parts, id, { ...options, approved: false }),
  };
}

function readApproval({ logger }: ApprovalsParts, hook: Hook): Approval[] {
  const approval = unlessCorrupt(() => toApproval(hook));
  if (approval !== undefined) return [approval];
  const { run, key, tool } = hook;
  logger.warn({ code: 'value_corrupt', run, step: key, tool }, 'an approval cannot be read and is left out of a list');
  return [];
}

async function answer(parts: ApprovalsParts, id: string, decision: Decision): Promise<Approval> {
  const store = await parts.store();
  const hook = await findHook(store, id);
  const { by } = decision;
  if (typeof by !== 'string' || by === '') {
    throw new DurableError(
      'invalid_argument',
      `Cannot answer the approval "${id}": "by" is missing. Write approve("${id}", { by: "user_7" }).`,
      { details: { id } },
    );
  }
  if (hook.status !== 'open') throw decidedError(hook, { id, now: parts.clock.now() });
  await check(parts, hook, decision);
  const payload = encodeValue(decision, `the answer to approval "${id}"`);
  const { approved } = decision;
  const outcome = await parts.deliver({
    to: { hook: hook.tokenHash },
    id: parts.ids.next(),
    payload,
    by,
    decision: { approved },
  });
  const now = await findHook(store, id);
  const stands = now.responders.some((responder) => responder.by === by && responder.approved === approved);
  if (outcome?.kind === 'ok' || (outcome?.kind === 'duplicate' && stands)) return toApproval(now);
  throw decidedError(now, { id, now: parts.clock.now() });
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

/** Throws for what the run cannot take. The call itself reads an edited input by the schema that its tool has then. */
async function check({ toolsOf }: ApprovalsParts, hook: Hook, decision: Decision): Promise<void> {
  const { id, tool, question, approvers, inputSchema } = readApprovalDetails(hook.details);
  if (approvers !== null && !approvers.includes(decision.by)) {
    throw new DurableError(
      'forbidden',
      `Cannot answer the approval "${id}" as "${decision.by}": its approvers are ${approvers.join(', ')}.`,
      {
        details: { id, by: decision.by, approvers },
      },
    );
  }
  if ('result' in decision && question !== 'in-doubt') {
    throw new DurableError(
      'invalid_argument',
      `Cannot approve "${id}" with a result: the call has not run. Leave "result" out; "input" changes what it runs with.`,
      { details: { id } },
    );
  }
  if (decision.input === undefined) return;
  if (hook.needed > 1) {
    throw new DurableError(
      'invalid_argument',
      `Cannot approve "${id}" with another input: ${hook.needed} people must approve, and each must see the same. Deny it and say what it should be.`,
      { details: { id, needed: hook.needed } },
    );
  }
  const tools = toolsOf(hook.workflow) ?? {};
  const known = Object.hasOwn(tools, tool) ? tools[tool]?.inputSchema : undefined;
  await checkEditedInput(known ?? fromStoredSchema(inputSchema), { tool, input: decision.input });
}

function decidedError(hook: Hook, { id, now }: { id: string; now: number }): DurableError {
  const { status, answers, decidedAt, run, tool } = toApproval(hook);
  const last = answers.at(-1);
  if (status === 'closed' || last === undefined) {
    return new DurableError(
      'approval_decided',
      `The approval "${id}" of "${tool}" was closed: its run "${run}" ended or nobody answered in time.`,
      { details: { id, status, run } },
    );
  }
  const said = last.approved ? 'approved' : 'denied';
  return new DurableError(
    'approval_decided',
    `The approval "${id}" of "${tool}" was ${said} by ${last.by} ${ago(now - last.at)} ago. The first decision counts.`,
    {
      details: { id, status, by: last.by, at: decidedAt ?? last.at, run },
    },
  );
}

function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

function toApproval(hook: Hook): Approval {
  return {
    ...readApprovalDetails(hook.details),
    run: hook.run,
    agent: hook.workflow,
    thread: hook.thread,
    tenant: hook.tenant,
    status: statusOf(hook),
    needed: hook.needed,
    answers: hook.responders,
    decidedAt: hook.resolvedAt,
  };
}

function statusOf({ status, responders }: Hook): Approval['status'] {
  if (status === 'open') return 'pending';
  if (status === 'closed') return 'closed';
  return responders.every((responder) => responder.approved) ? 'approved' : 'denied';
}
