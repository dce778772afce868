/** Runs: the list, one of them, its journal, cancel and resume. */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import type { Runtime } from '../app/create-runtime.ts';
import { eventToJson, runToJson } from '../app/run-json.ts';
import type { RunQuery, RunStatus } from '../runtime/store.ts';
import { endpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import { jsonResponse } from './json.ts';
import { cursorSchema, idParams, limitSchema, pageOf, waitSchema } from './schemas.ts';
import type { PageQuery } from './schemas.ts';
import type { ServerParts } from './server-parts.ts';
import { findRun } from './stream-position.ts';

const STATUSES = ['queued', 'ready', 'running', 'waiting', 'parked', 'completed', 'failed', 'cancelled'] as const;

export function runEndpoints({ runtime }: ServerParts): Endpoint[] {
  return [list(runtime), get(runtime), events(runtime), control(runtime, 'cancel'), control(runtime, 'resume')];
}

interface ListQuery extends PageQuery {
  status?: RunStatus | RunStatus[] | undefined;
  workflow?: string | undefined;
  thread?: string | undefined;
}

function list(runtime: Runtime): Endpoint {
  const status = z.enum(STATUSES);
  const query: ZodType<ListQuery> = z.object({
    status: z.union([status, z.array(status)]).optional(),
    workflow: z.string().optional(),
    thread: z.string().optional(),
    limit: limitSchema(),
    cursor: cursorSchema(),
  });
  return endpoint({
    method: 'get',
    path: '/runs',
    summary: 'Runs, newest first.',
    query,
    responses: { 200: { description: 'A page.', schema: pageOf(runSchema()) } },
    async handle({ query: { status, ...query }, allow }) {
      const { tenant } = await allow({
        action: 'run.list',
        ...(query.thread === undefined ? {} : { threadId: query.thread }),
      });
      const statuses = typeof status === 'string' ? [status] : status;
      const { items, cursor } = await runtime.list({
        ...(query as RunQuery),
        ...(statuses === undefined ? {} : { status: statuses }),
        tenant,
      });
      return jsonResponse({ items: items.map(runToJson), cursor });
    },
  });
}

function get(runtime: Runtime): Endpoint {
  return endpoint({
    method: 'get',
    path: '/runs/{id}',
    summary: 'One run, with its input, its result and what it waits for.',
    params: idParams('The run.'),
    responses: { 200: { description: 'The run.', schema: runSchema() } },
    async handle({ params: { id }, allow }) {
      const run = await findRun(runtime, { id, action: 'run.read', allow });
      return jsonResponse({
        ...runToJson(run),
        waits: await runtime.getRun(id).waits(),
        input: run.input ?? null,
        result: run.result ?? null,
      });
    },
  });
}

function events(runtime: Runtime): Endpoint {
  return endpoint({
    method: 'get',
    path: '/runs/{id}/events',
    summary: 'The journal of a run.',
    params: idParams('The run.'),
    query: z.object({ values: z.enum(['true', 'false']).optional() }),
    responses: { 200: { description: 'All events, in order.', schema: eventsSchema() } },
    async handle({ params: { id }, query: { values }, allow }) {
      await findRun(runtime, { id, action: 'run.read', allow });
      const journal = await runtime.getRun(id).events();
      return jsonResponse({
        items: journal.map((event, seq) => eventToJson(event, { seq, withValue: values === 'true' })),
      });
    },
  });
}

function control(runtime: Runtime, command: 'cancel' | 'resume'): Endpoint {
  return endpoint({
    method: 'post',
    path: `/runs/{id}/${command}`,
    summary: command === 'cancel' ? 'Asks a run to stop.' : 'Lets a parked run go on.',
    params: idParams('The run.'),
    responses: { 202: { description: 'It is stored.', schema: controlledSchema() } },
    async handle({ params: { id }, allow }) {
      await findRun(runtime, { id, action: `run.${command}`, allow });
      const run = runtime.getRun(id);
      await (command === 'cancel' ? run.cancel() : runtime.resume(id));
      return jsonResponse({ runId: id, status: await run.status }, { status: 202 });
    },
  });
}

function runSchema(): ZodType {
  return z
    .looseObject({
      id: z.string(),
      workflow: z.string(),
      version: z.string(),
      queue: z.string(),
      thread: z.string().nullable(),
      tenant: z.string().nullable(),
      status: z.enum(STATUSES),
      attributes: z.record(z.string(), z.string()),
      parent: z.object({ run: z.string(), key: z.string() }).nullable(),
      supersedes: z.string().nullable(),
      attempts: z.number(),
      suspects: z.array(z.string()).nullable(),
      cancelRequested: z.boolean(),
      parked: z.object({ code: z.string(), details: z.unknown() }).nullable(),
      error: z.object({ code: z.string(), message: z.string().nullable() }).nullable(),
      head: z.number(),
      epoch: z.number(),
      dueAt: z.number().nullable(),
      createdAt: z.number(),
      updatedAt: z.number(),
      endedAt: z.number().nullable(),
      waits: z.array(waitSchema()).optional(),
      input: z.unknown().optional(),
      result: z.unknown().optional(),
    })
    .openapi('Run');
}

function eventsSchema(): ZodType {
  const event = z
    .object({
      seq: z.number(),
      type: z.string(),
      key: z.string(),
      at: z.number(),
      attempt: z.number().optional(),
      dueAt: z.number().optional(),
      meta: z.record(z.string(), z.unknown()).optional(),
      value: z.unknown().optional(),
    })
    .openapi('Event');
  return z.object({ items: z.array(event) });
}

function controlledSchema(): ZodType {
  return z.object({ runId: z.string(), status: z.enum(STATUSES) });
}
