/** What was used: rows of the ledger, page by page or all of them as lines, and their sums. */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import type { Runtime } from '../app/create-runtime.ts';
import { ledgerRecords, toLedgerRecord } from '../app/ledger-export.ts';
import type { LedgerQuery, LedgerScope } from '../runtime/store.ts';
import type { Caller } from './access.ts';
import { endpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import { invalidArgument } from './http-error.ts';
import { jsonResponse, toJson } from './json.ts';
import { allowList } from './row-access.ts';
import type { Allow } from './row-access.ts';
import { cursorSchema, limitSchema, pageOf } from './schemas.ts';
import type { PageQuery } from './schemas.ts';
import type { ServerParts } from './server-parts.ts';
import { findRun } from './stream-position.ts';

const NDJSON = 'application/x-ndjson';

interface OfQuery {
  run?: string | undefined;
  thread?: string | undefined;
}

export function ledgerEndpoints({ runtime }: ServerParts): Endpoint[] {
  return [list(runtime), totals(runtime)];
}

function list(runtime: Runtime): Endpoint {
  const query: ZodType<PageQuery & OfQuery> = z.object({
    run: z.string().optional(),
    thread: z.string().optional(),
    limit: limitSchema(),
    cursor: cursorSchema(),
  });
  return endpoint({
    method: 'get',
    path: '/ledger',
    summary: `Attempts at model turns, oldest first. With "Accept: ${NDJSON}" all of them, one a line.`,
    query,
    responses: {
      200: {
        description: 'A page, or lines.',
        content: { 'application/json': pageOf(recordSchema()), [NDJSON]: z.string() },
      },
    },
    async handle({ request, query: given, allow }) {
      const { tenant } = await mayRead(runtime, { allow, of: given });
      const asked = { ...given, tenant } as LedgerQuery;
      if (request.headers.get('accept')?.includes(NDJSON) === true) return linesResponse(runtime, asked);
      const { items, cursor } = await runtime.ledger({ limit: 50, ...asked });
      return jsonResponse({ items: items.map(toLedgerRecord), cursor });
    },
  });
}

function totals(runtime: Runtime): Endpoint {
  const query: ZodType<OfQuery & { period?: string | undefined }> = z.object({
    run: z.string().optional(),
    thread: z.string().optional(),
    period: z.string().optional(),
  });
  return endpoint({
    method: 'get',
    path: '/ledger/totals',
    summary: "The sums of a run, of a thread, or of the caller's tenant.",
    query,
    responses: { 200: { description: 'The sums.', schema: totalsSchema() } },
    async handle({ query: { run, thread, period }, allow }) {
      if (run !== undefined) await findRun(runtime, { id: run, action: 'ledger.read', allow });
      const caller = await mayRead(runtime, { allow, of: { run, thread } });
      return jsonResponse(await runtime.ledgerTotals(scopeOf({ run, thread, period }, caller)));
    },
  });
}

function mayRead(runtime: Runtime, { allow, of: { run, thread } }: { allow: Allow; of: OfQuery }): Promise<Caller> {
  const access = {
    action: 'ledger.read' as const,
    ...(run === undefined ? {} : { runId: run }),
    ...(thread === undefined ? {} : { threadId: thread }),
  };
  return allowList(runtime, { allow, access });
}

function scopeOf({ run, thread, period }: OfQuery & { period?: string | undefined }, { tenant }: Caller): LedgerScope {
  const ofPeriod = period === undefined ? {} : { period };
  if (run !== undefined) return { run, ...ofPeriod, ...(thread === undefined ? {} : { thread }) };
  if (thread !== undefined) return { thread, tenant, ...ofPeriod };
  if (tenant !== null) return { tenant, ...ofPeriod };
  throw invalidArgument('Cannot sum the ledger: say "run" or "thread"; you belong to no tenant.', { field: 'run' });
}

/** The connection's own pace: a page is read when the one before was taken. */
function linesResponse(runtime: Runtime, query: LedgerQuery): Response {
  const pages = ledgerRecords(runtime, query);
  const text = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value: page, done } = await pages.next();
      if (done === true) controller.close();
      else controller.enqueue(text.encode(page.map((record) => `${JSON.stringify(record, toJson)}\n`).join('')));
    },
    async cancel() {
      await pages.return(undefined);
    },
  });
  return new Response(body, { headers: { 'content-type': NDJSON, 'cache-control': 'no-store' } });
}

function recordSchema(): ZodType {
  return z
    .object({
      id: z.string(),
      at: z.number(),
      run: z.string(),
      thread: z.string().nullable(),
      tenant: z.string().nullable(),
      turn: z.string(),
      attempt: z.number(),
      provider: z.string(),
      model: z.string(),
      outcome: z.enum(['completed', 'failed', 'aborted', 'unknown']),
      inputTokens: z.number().nullable(),
      outputTokens: z.number().nullable(),
      toolCalls: z.number(),
      nanoUsd: z.number().nullable().openapi({ description: 'Billionths of a dollar; null where it is not known.' }),
    })
    .openapi('LedgerRecord');
}

function totalsSchema(): ZodType {
  const names = ['attempts', 'turns', 'toolCalls', 'inputTokens', 'outputTokens', 'nanoUsd', 'unpriced'];
  return z.object(Object.fromEntries(names.map((name) => [name, z.number()]))).openapi('LedgerTotals');
}
