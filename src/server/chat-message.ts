/** The last posted message: the only one that is read. */

import { z } from '@hono/zod-openapi';
import type { UIMessage } from 'ai';
import type { ZodType } from 'zod';
import { DurableError } from '../runtime/errors.ts';
import type { WhenBusy } from '../runtime/store.ts';

export interface ChatBody {
  id?: string | undefined;
  messages: unknown[];
  trigger?: 'submit-message' | 'regenerate-message' | undefined;
  messageId?: string | null | undefined;
  whenBusy?: WhenBusy | undefined;
}

export function chatBodySchema(): ZodType<ChatBody> {
  return z
    .looseObject({
      id: z.string().optional().openapi({ description: 'The thread.' }),
      messages: z.array(z.unknown()).min(1).openapi({ description: 'UIMessages; only the last one is read.' }),
      trigger: z.enum(['submit-message', 'regenerate-message']).optional(),
      messageId: z.string().nullish(),
      whenBusy: z.enum(['reject', 'queue', 'steer', 'interrupt']).optional(),
    })
    .openapi('ChatRequest');
}

export interface UserMessage extends UIMessage {
  role: 'user';
}

/** A part of an assistant's message that a client may have changed. */
export interface AnsweredPart {
  toolCallId: string;
  state: string;
  approval?: { id: string; approved: boolean; reason?: string | undefined } | undefined;
  output?: unknown;
  errorText?: string | undefined;
}

export type PostedMessage =
  | { kind: 'user'; message: UserMessage }
  | { kind: 'assistant'; id: string; parts: AnsweredPart[] };

/** Throws `history_not_accepted` for what no client may add. */
export function readLastMessage(messages: readonly unknown[]): PostedMessage {
  const last = messages.length - 1;
  const message = parse(messageSchema(), { value: messages[last], at: `messages[${last}]` });
  if (message.role === 'user') return { kind: 'user', message: readUser(message, last) };
  if (message.role === 'assistant') return { kind: 'assistant', id: message.id, parts: answeredParts(message.parts) };
  throw notAccepted(`messages[${last}] has the role "${message.role}"`, { field: `messages[${last}].role` });
}

interface LooseMessage {
  id: string;
  role: string;
  metadata?: unknown;
  parts: Array<Record<string, unknown>>;
}

function messageSchema(): ZodType<LooseMessage> {
  return z.looseObject({
    id: z.string().min(1).max(200),
    role: z.string(),
    metadata: z.unknown().optional(),
    parts: z.array(z.looseObject({ type: z.string() })),
  });
}

/** Texts, files and data: what people say. A tool's part in their mouth would be invented. */
function readUser({ id, metadata, parts }: LooseMessage, last: number): UserMessage {
  const said = parts.map((part, index) =>
    parse(userPartSchema(), { value: part, at: `messages[${last}].parts[${index}]` }),
  );
  return {
    id,
    role: 'user',
    ...(metadata === undefined ? {} : { metadata }),
    parts: said as UserMessage['parts'],
  };
}

function userPartSchema(): ZodType {
  const data = z.object({
    type: z.string().regex(/^data-./, 'is none of "text", "file" and "data-..."'),
    id: z.string().optional(),
    data: z.unknown().optional(),
  });
  return z.union([
    z.object({ type: z.literal('text'), text: z.string() }),
    z.object({ type: z.literal('file'), mediaType: z.string(), url: z.string(), filename: z.string().optional() }),
    data,
  ]);
}

/** In the last step: what came before it is history. */
function answeredParts(parts: LooseMessage['parts']): AnsweredPart[] {
  const step = parts.findLastIndex((part) => part['type'] === 'step-start');
  return parts.slice(step + 1).flatMap((part) => {
    const answered = answeredPartSchema().safeParse(part);
    return answered.success ? [answered.data] : [];
  });
}

function answeredPartSchema(): ZodType<AnsweredPart> {
  return z.object({
    toolCallId: z.string(),
    state: z.enum(['approval-responded', 'output-available', 'output-error']),
    approval: z
      .object({ id: z.string(), approved: z.boolean(), reason: z.string().optional() })
      .optional()
      .catch(undefined),
    output: z.unknown().optional(),
    errorText: z.string().optional(),
  });
}

function parse<T>(schema: ZodType<T>, { value, at }: { value: unknown; at: string }): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = [at, ...(issue?.path ?? [])].join('.');
  throw notAccepted(`"${field}" does not fit (${issue?.message ?? 'unknown'})`, { field });
}

export function notAccepted(why: string, details: Record<string, unknown>): DurableError {
  return new DurableError(
    'history_not_accepted',
    `Cannot take this chat request: ${why}. The server owns the history: post a new user message, an answer to what the run waits for, ` +
      'or a regeneration of the last answer.',
    { details },
  );
}
