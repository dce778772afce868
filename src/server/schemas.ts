/** Schemas that several endpoints share. */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';

export interface IdParams {
  id: string;
}

export function idParams(description: string): ZodType<IdParams> {
  return z.object({
    id: z
      .string()
      .min(1)
      .openapi({ param: { name: 'id', in: 'path' }, description }),
  });
}

export interface PageQuery {
  limit?: number | undefined;
  cursor?: string | undefined;
}

export const MAX_LIMIT = 500;

export function limitSchema(): ZodType<number | undefined> {
  return z.coerce.number().int().min(1).max(MAX_LIMIT).optional();
}

/** Cursors are what a page before gave out: digits in every store. */
export function cursorSchema(): ZodType<string | undefined> {
  return z
    .string()
    .regex(/^\d{1,16}$/, 'is no cursor')
    .optional();
}

/** Of a list that is made of those of several runs. */
export function joinedCursorSchema(): ZodType<string | undefined> {
  return z
    .string()
    .regex(/^(?:\d{1,16}|~[\w-]{1,100000})$/, 'is no cursor')
    .optional();
}

export function errorSchema(): ZodType {
  return z
    .object({
      error: z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()) }),
    })
    .openapi('Error');
}

export function pageOf(item: ZodType): ZodType {
  return z.object({ items: z.array(item), cursor: z.string().nullable() });
}

export function waitSchema(): ZodType {
  return z
    .looseObject({ kind: z.enum(['approval', 'question', 'client-tool', 'hook', 'sleep']) })
    .openapi('Wait', { description: 'What a waiting run waits for; docs/PROTOCOL.md has the fields of each kind.' });
}

export function messageSchema(): ZodType {
  return z
    .looseObject({ id: z.string(), role: z.string(), parts: z.array(z.unknown()) })
    .openapi('UIMessage', { description: 'A UIMessage of the AI SDK.' });
}

export function eventStreamSchema(): ZodType {
  return z.string().openapi({ description: 'Server-sent events; docs/PROTOCOL.md describes the frames.' });
}
