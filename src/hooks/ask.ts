/**
 * Questions to people, from workflows and tools. A question is a hook; who may answer it is asked where the answer comes in.
 *
 *  Q1 In a tool of an agent's own run the message shows it: its part is stored with its row, and replaced once when it is settled (by the end of
 *     the message, if the run is stopped before).
 *  Q2 An answer that does not fit never reaches the code that asks: it is refused, and the question stays open (open-hook H4).
 */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { requireContext } from '../runtime/context.ts';
import type { MessagePlace, RunContext } from '../runtime/context.ts';
import { momentOf } from '../runtime/duration.ts';
import type { Duration } from '../runtime/duration.ts';
import { DurableError } from '../runtime/errors.ts';
import { QUESTION_PART } from '../streams/wire.ts';
import type { QuestionData, QuestionOption } from '../streams/wire.ts';
import { openHook } from './open-hook.ts';
import type { OpenHook } from './open-hook.ts';
import { QUESTION_PREFIX } from './question.ts';
import type { QuestionDetails } from './question.ts';
import { toForm } from './question-form.ts';
import type { OptionInput } from './question-form.ts';

export interface AskOptions {
  /** The question, for the person who is to answer. */
  prompt: string;
  /**
   * How long it can be answered: milliseconds, text such as "2 days", or a Date. Then `ask` rejects with `hook_expired`, unless an answer
   * came before. Default: for ever.
   */
  expiresIn?: Duration | Date;
  /** Kept with the question, and told to whoever lists it. */
  metadata?: unknown;
}

/** What is chosen of the options: texts stand for themselves. */
export type OptionValue<OPTION extends OptionInput> = OPTION extends QuestionOption ? OPTION['value'] : OPTION;

/**
 * Asks a person and waits for the answer, in a workflow or a tool: durably, so the process may go. What is answered is of the type that the
 * schema (Standard Schema: zod, valibot, ...) or the options say; the first answer wins. It is asked again in no process: call it as you
 * call a step, outside of steps. Answers come by `runtime.questions`, `POST /questions/:id/answer`, `useDurableAgent` or the CLI. In a tool
 * the agent's message has a part `{ type: 'data-question', id, data: QuestionData }`.
 * Rejects with `hook_expired`, `invalid_argument`, `outside_run`, `inside_step`, `cancelled`.
 */
export function ask<SCHEMA extends StandardSchemaV1>(
  options: AskOptions & { schema: SCHEMA; options?: undefined },
): Promise<StandardSchemaV1.InferOutput<SCHEMA>>;
export function ask<const OPTION extends OptionInput>(
  options: AskOptions & { options: readonly OPTION[]; schema?: undefined },
): Promise<OptionValue<OPTION>>;
export function ask(options: UntypedOptions): Promise<never> {
  return askQuestion(options) as Promise<never>;
}

interface UntypedOptions extends AskOptions {
  schema?: StandardSchemaV1 | undefined;
  options?: readonly OptionInput[] | undefined;
}

/** A question, and where it is shown. */
interface Asked {
  context: RunContext;
  place: MessagePlace | undefined;
  question: QuestionDetails;
}

async function askQuestion({ prompt, schema, options, expiresIn, metadata }: UntypedOptions): Promise<unknown> {
  const context = requireContext('ask()');
  checkPrompt(prompt);
  const form = toForm({ schema, options });
  const { place } = context.scope();
  const askedAt = context.now();
  const toQuestion = (id: string): QuestionDetails => ({
    id,
    prompt,
    options: form.options,
    schema: form.schema,
    tool: place?.tool ?? null,
    toolCallId: place?.toolCallId ?? null,
    askedAt,
    expiresAt: expiresIn === undefined ? null : momentOf(expiresIn, { now: askedAt, where: 'ask({ expiresIn })' }),
    metadata,
  });
  const hook = openHook<unknown>(context, {
    kind: 'question',
    prefix: QUESTION_PREFIX,
    token: undefined,
    many: false,
    expiresIn,
    schema: form.check,
    details: toQuestion,
    read: (answer) => answer,
    onCreate: (id) => show({ context, place, question: toQuestion(id) }, { status: 'pending' }),
  });
  return answerTo(hook, { context, place, question: toQuestion(hook.token) });
}

function checkPrompt(prompt: unknown): void {
  if (typeof prompt === 'string' && prompt !== '') return;
  throw new DurableError(
    'invalid_argument',
    'Cannot ask a question without its text: write ask({ prompt: "Which colour?", options: ["red", "blue"] }).',
  );
}

async function answerTo(hook: OpenHook<unknown>, asked: Asked): Promise<unknown> {
  const { context, question } = asked;
  const { key } = hook;
  try {
    const answer = await hook;
    settle(asked, { key, now: givenTo(context, key) });
    return answer;
  } catch (error) {
    if (!DurableError.is(error, 'hook_expired')) throw error;
    settle(asked, { key, now: { status: 'expired' } });
    throw new DurableError(
      'hook_expired',
      `Nobody answered the question "${question.prompt}" in time. Go on without the answer, or ask again.`,
      { details: { run: context.run.id, id: question.id } },
    );
  }
}

type Settled = Pick<QuestionData, 'status' | 'answer' | 'answeredBy' | 'answeredAt'>;

/** As it was sent: what the schema makes of it is the code's. */
function givenTo(context: RunContext, key: string): Settled {
  const message = context.journal(key).findLast((event) => event.type === 'message_received' && event.key === key);
  const { by = null, sentAt } = (message?.meta ?? {}) as { by?: string | null; sentAt?: number };
  return {
    status: 'answered',
    answer: message?.value,
    answeredBy: by,
    ...(sentAt === undefined ? {} : { answeredAt: sentAt }),
  };
}

/** Q1. Not awaited: when the code goes on must not depend on the store, or a replay could go another way. */
function settle(asked: Asked, { key, now }: { key: string; now: Settled }): void {
  const { context, place } = asked;
  const shown = `${key}/shown`;
  if (place?.show === undefined || context.facts(shown).length > 0) return;
  show(asked, now);
  context.append({ facts: [{ type: 'chunk_written', key: shown, at: context.now() }] }).catch((error: unknown) => {
    const code = DurableError.is(error) ? error.code : 'internal_error';
    context.logger.warn({ code, hook: key, err: error }, 'what became of a question may be shown again');
  });
}

function show({ place, question }: Asked, now: Settled): void {
  if (place?.show === undefined) return;
  const { id, metadata: _, ...shown } = question;
  const { tool, toolCallId } = place;
  place.show({ type: QUESTION_PART, id, data: { ...shown, tool, toolCallId, ...now } satisfies QuestionData });
}
