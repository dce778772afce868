/** Questions: what workflows and tools ask people, and the answers. */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import type { Runtime } from '../app/create-runtime.ts';
import { questionNotFound } from '../app/questions.ts';
import type { Question, QuestionQuery } from '../app/questions.ts';
import type { DurableError } from '../runtime/errors.ts';
import type { AccessRequest } from './access.ts';
import { endpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import { jsonResponse } from './json.ts';
import { allowList, allowRow } from './row-access.ts';
import type { AllowedRow } from './row-access.ts';
import { cursorSchema, idParams, limitSchema, pageOf } from './schemas.ts';
import type { PageQuery } from './schemas.ts';
import type { ServerParts } from './server-parts.ts';
import type { AskedId } from './stream-position.ts';

export function questionEndpoints({ runtime }: ServerParts): Endpoint[] {
  return [list(runtime), get(runtime), answer(runtime)];
}

interface ListQuery extends PageQuery {
  status?: 'pending' | 'settled' | 'all' | undefined;
  thread?: string | undefined;
  run?: string | undefined;
}

function list(runtime: Runtime): Endpoint {
  const query: ZodType<ListQuery> = z.object({
    status: z.enum(['pending', 'settled', 'all']).optional(),
    thread: z.string().optional(),
    run: z.string().optional(),
    limit: limitSchema(),
    cursor: cursorSchema(),
  });
  return endpoint({
    method: 'get',
    path: '/questions',
    summary: 'What people are asked, newest first.',
    query,
    responses: { 200: { description: 'A page.', schema: pageOf(questionSchema()) } },
    async handle({ query, allow }) {
      const { thread: threadId, run: runId } = query;
      const access: AccessRequest = {
        action: 'question.list',
        ...(threadId === undefined ? {} : { threadId }),
        ...(runId === undefined ? {} : { runId }),
      };
      const { tenant } = await allowList(runtime, { allow, access });
      return jsonResponse(await runtime.questions.list({ ...(query as QuestionQuery), tenant }));
    },
  });
}

function get(runtime: Runtime): Endpoint {
  return endpoint({
    method: 'get',
    path: '/questions/{id}',
    summary: 'One question.',
    params: idParams('The question.'),
    responses: { 200: { description: 'The question.', schema: questionSchema() } },
    async handle({ params: { id }, allow }) {
      const { row } = await allowQuestion(runtime, { id, action: 'question.read', allow });
      return jsonResponse(row);
    },
  });
}

interface AnswerBody {
  answer?: unknown;
}

function answer(runtime: Runtime): Endpoint {
  const body: ZodType<AnswerBody> = z
    .object({ answer: z.unknown() })
    .refine((given) => given.answer !== undefined, { path: ['answer'], message: 'is missing' })
    .openapi('Answer', { description: 'As the options or the schema of the question have it.' });
  return endpoint({
    method: 'post',
    path: '/questions/{id}/answer',
    summary: 'Answers. The first answer wins.',
    params: idParams('The question.'),
    body,
    responses: { 200: { description: 'The question as it is now.', schema: questionSchema() } },
    async handle({ params: { id }, body: { answer: said }, allow }) {
      const { caller } = await allowQuestion(runtime, { id, action: 'question.answer', allow });
      return jsonResponse(await runtime.questions.answer(id, { answer: said, by: caller.id }));
    },
  });
}

function allowQuestion(runtime: Runtime, { id, action, allow }: AskedId): Promise<AllowedRow<Question>> {
  const read = (): Promise<Question> => runtime.questions.get(id);
  const missing = (): DurableError => questionNotFound(id);
  return allowRow(runtime, { allow, access: { action, questionId: id }, read, missing });
}

function questionSchema(): ZodType {
  const option = z.object({ value: z.union([z.string(), z.number(), z.boolean()]), label: z.string() });
  return z
    .object({
      id: z.string(),
      status: z.enum(['pending', 'answered', 'expired', 'closed']),
      prompt: z.string(),
      options: z.array(option).nullable(),
      schema: z.unknown().openapi({ description: 'JSON Schema of the answer, where there is one.' }),
      metadata: z.unknown(),
      run: z.string(),
      workflow: z.string(),
      thread: z.string().nullable(),
      tenant: z.string().nullable(),
      tool: z.string().nullable(),
      toolCallId: z.string().nullable(),
      askedAt: z.number(),
      expiresAt: z.number().nullable(),
      answeredBy: z.string().nullable(),
      answeredAt: z.number().nullable(),
    })
    .openapi('Question');
}
