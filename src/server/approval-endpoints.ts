/** Approvals: what waits for a person, and the decisions. */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import { approvalNotFound } from '../app/approvals.ts';
import type { Approval } from '../app/approval-record.ts';
import type { ApprovalQuery } from '../app/approvals.ts';
import type { Runtime } from '../app/create-runtime.ts';
import { DurableError } from '../runtime/errors.ts';
import type { AccessRequest, Caller } from './access.ts';
import { endpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import { jsonResponse } from './json.ts';
import { allowList, allowRow } from './row-access.ts';
import { idParams, joinedCursorSchema, limitSchema, pageOf } from './schemas.ts';
import type { PageQuery } from './schemas.ts';
import type { ServerParts } from './server-parts.ts';
import type { AskedId } from './stream-position.ts';

export function approvalEndpoints({ runtime }: ServerParts): Endpoint[] {
  return [list(runtime), get(runtime), decide(runtime)];
}

interface ListQuery extends PageQuery {
  status?: 'pending' | 'decided' | 'all' | undefined;
  thread?: string | undefined;
  run?: string | undefined;
  tool?: string | undefined;
}

function list(runtime: Runtime): Endpoint {
  const query: ZodType<ListQuery> = z.object({
    status: z.enum(['pending', 'decided', 'all']).optional(),
    thread: z.string().optional(),
    run: z.string().optional(),
    tool: z.string().optional(),
    limit: limitSchema(),
    cursor: joinedCursorSchema(),
  });
  return endpoint({
    method: 'get',
    path: '/approvals',
    summary: 'What waits for a person, newest first.',
    query,
    responses: { 200: { description: 'A page.', schema: pageOf(approvalSchema()) } },
    async handle({ query, allow }) {
      const { thread: threadId, run: runId } = query;
      const access: AccessRequest = {
        action: 'approval.list',
        ...(threadId === undefined ? {} : { threadId }),
        ...(runId === undefined ? {} : { runId }),
      };
      const { tenant } = await allowList(runtime, { allow, access });
      const { items, cursor } = await runtime.approvals.list({ ...(query as ApprovalQuery), tenant });
      return jsonResponse({ items, cursor });
    },
  });
}

function get(runtime: Runtime): Endpoint {
  return endpoint({
    method: 'get',
    path: '/approvals/{id}',
    summary: 'One approval, with all that happened to it; that it was looked at is noted, once for each person.',
    params: idParams('The approval.'),
    responses: { 200: { description: 'The approval.', schema: recordSchema() } },
    async handle({ params: { id }, allow }) {
      const caller = await allowApproval(runtime, { id, action: 'approval.read', allow });
      return jsonResponse(await runtime.approvals.get(id, { viewedBy: caller.id, from: 'api' }));
    },
  });
}

interface DecisionBody {
  approved: boolean;
  reason?: string | undefined;
  input?: unknown;
  result?: unknown;
}

function decide(runtime: Runtime): Endpoint {
  const body: ZodType<DecisionBody> = z
    .object({
      approved: z.boolean(),
      reason: z.string().max(10_000).optional(),
      input: z
        .unknown()
        .optional()
        .openapi({ description: 'The tool runs with this in place of what the model gave.' }),
      result: z
        .unknown()
        .optional()
        .openapi({ description: 'Of an interrupted call: the effect happened, this came of it.' }),
    })
    .openapi('Decision');
  return endpoint({
    method: 'post',
    path: '/approvals/{id}/decision',
    summary: 'Approves or denies. The first decision wins.',
    params: idParams('The approval.'),
    body,
    responses: { 200: { description: 'The approval as it is now.', schema: recordSchema() } },
    async handle({ params: { id }, body: { approved, reason, input, result }, allow }) {
      const caller = await allowApproval(runtime, { id, action: 'approval.decide', allow });
      const said = { by: caller, from: 'api', ...(reason === undefined ? {} : { reason }) };
      const changes = { ...(input === undefined ? {} : { input }), ...(result === undefined ? {} : { result }) };
      const { approve, deny } = runtime.approvals;
      try {
        return jsonResponse(await (approved ? approve(id, { ...said, ...changes }) : deny(id, said)));
      } catch (error) {
        if (!isRepeated(error, { by: caller.id, approved })) throw error;
        return jsonResponse(await runtime.approvals.get(id));
      }
    },
  });
}

/** One of several who must approve has said so before: it does not count twice, and the request may have been sent twice. */
function isRepeated(error: unknown, { by, approved }: { by: string; approved: boolean }): boolean {
  if (!DurableError.is(error, 'approval_decided')) return false;
  const { details } = error;
  return details['status'] === 'pending' && details['by'] === by && details['approved'] === approved;
}

async function allowApproval(runtime: Runtime, { id, action, allow }: AskedId): Promise<Caller> {
  // Of a child run it is shown at the top, and whoever may see that may see it.
  const read = async (): Promise<Approval> => {
    const approval = await runtime.approvals.get(id);
    return { ...approval, run: approval.root };
  };
  const missing = (): DurableError => approvalNotFound(id);
  return (await allowRow(runtime, { allow, access: { action, approvalId: id }, read, missing })).caller;
}

function approvalSchema(): ZodType {
  return z.object(approvalShape()).openapi('Approval');
}

function recordSchema(): ZodType {
  const audit = z.object({
    type: z.enum([
      'requested',
      'notified',
      'notification_failed',
      'reminded',
      'escalated',
      'viewed',
      'answered',
      'refused',
      'revoked',
      'expired',
    ]),
    at: z.number(),
    by: z.string().nullable(),
    from: z.string().nullable(),
    approved: z.boolean().optional(),
    why: z.string().optional(),
    expiresAt: z.number().optional(),
    to: z.string().optional(),
  });
  return z.object({ ...approvalShape(), audit: z.array(audit) }).openapi('ApprovalRecord');
}

function approvalShape(): Record<string, ZodType> {
  return {
    id: z.string(),
    status: z.enum(['pending', 'approved', 'denied', 'expired', 'closed']),
    run: z.string(),
    root: z.string(),
    path: z.array(z.string()),
    agent: z.string(),
    thread: z.string().nullable(),
    tenant: z.string().nullable(),
    tool: z.string(),
    toolCallId: z.string(),
    input: z.unknown(),
    inputSchema: z.unknown(),
    outputSchema: z.unknown(),
    reason: z.string().nullable(),
    prompt: z.string().nullable(),
    requestedBy: z.string().nullable(),
    expiresAt: z.number().nullable(),
    question: z.enum(['execute', 'in-doubt', 'budget']),
    budget: z.unknown().optional(),
    approvers: z.array(z.string()).nullable(),
    needed: z.number(),
    answers: z.array(z.object({ by: z.string(), approved: z.boolean(), at: z.number() })),
    turn: z.number(),
    requestedAt: z.number(),
    decidedAt: z.number().nullable(),
  };
}
