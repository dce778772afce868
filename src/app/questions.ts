/**
 * Questions from outside: what waits for a person, and the answers.
 *
 *  N1 The store decides: the first answer wins, and later ones are told who gave it and when.
 *  N2 An answer that does not fit is refused by whoever takes it, with what the row says; the code that asks reads it once more.
 */

import { checkBySchema, fromStoredSchema } from '../agent/tool/edited-input.ts';
import { checkPayload } from '../hooks/check-payload.ts';
import { readQuestionDetails } from '../hooks/question.ts';
import type { QuestionDetails } from '../hooks/question.ts';
import { whyNoOption } from '../hooks/question-form.ts';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { WayIn } from '../runtime/admission.ts';
import { assertJson } from '../runtime/chunk.ts';
import type { Clock } from '../runtime/clock.ts';
import { encodeValue } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import type { Logger } from '../runtime/logger.ts';
import { sha256Hex } from '../runtime/signature.ts';
import type { Hook, HookQuery, Page, Store } from '../runtime/store.ts';
import { ago } from './approval-answer.ts';
import { unlessCorrupt } from './waits.ts';

export interface QuestionQuery {
  /** `pending` (default), `settled` (also those that were closed without an answer), or `all`. */
  status?: 'pending' | 'settled' | 'all';
  run?: string;
  thread?: string;
  /** null: those without a tenant. */
  tenant?: string | null;
  /** Default 50, at most 500. Newest first. */
  limit?: number;
  cursor?: string;
}

/** A question that waits, or waited, for a person. */
export interface Question extends QuestionDetails {
  run: string;
  /** The agent or workflow that asks. */
  workflow: string;
  thread: string | null;
  tenant: string | null;
  /** `expired`: nobody answered in time. `closed`: its run ended before. */
  status: 'pending' | 'answered' | 'expired' | 'closed';
  answeredBy: string | null;
  answeredAt: number | null;
}

export interface AnswerOptions {
  /** JSON, as the question's options or schema have it. */
  answer: unknown;
  /** Who answers. */
  by: string;
}

export interface Questions {
  /** Newest first. A damaged row is left out, and logged as `value_corrupt`. */
  list(query?: QuestionQuery): Promise<Page<Question>>;
  /** Throws `question_not_found`. */
  get(id: string): Promise<Question>;
  /**
   * Answers; resolves when the answer is stored. The first one wins. Throws `question_not_found`, `question_settled` (details: status, by, at),
   * `payload_invalid` for an answer that does not fit (the question stays open), `invalid_argument`, `value_not_serializable`. The same
   * answer of the same person is the same answer.
   */
  answer(id: string, options: AnswerOptions): Promise<Question>;
}

export interface QuestionsParts {
  store: () => Promise<Store>;
  deliver: WayIn['deliver'];
  clock: Clock;
  ids: Ids;
  logger: Logger;
  /** Of a question whose run is in memory here. */
  schemaOf: (hook: Hook) => Promise<StandardSchemaV1 | undefined>;
}

const STATUSES: Record<'pending' | 'settled', Array<Hook['status']>> = {
  pending: ['open'],
  settled: ['resolved', 'closed'],
};

export function createQuestions(parts: QuestionsParts): Questions {
  return {
    list: (query = {}) => list(parts, query),
    get: async (id) => toQuestion(parts, await findHook(parts, id)),
    answer: (id, options) => answer(parts, id, options),
  };
}

async function list(parts: QuestionsParts, { status = 'pending', ...query }: QuestionQuery): Promise<Page<Question>> {
  if (status !== 'all' && !Object.hasOwn(STATUSES, status)) {
    throw new DurableError(
      'invalid_argument',
      `Cannot list questions with the status ${JSON.stringify(status)}: write "pending", "settled" or "all".`,
    );
  }
  const store = await parts.store();
  const asked: HookQuery = { ...query, kind: 'question' };
  const rows = await store.listHooks(status === 'all' ? asked : { ...asked, status: STATUSES[status] });
  const items = await Promise.all(rows.items.map((hook) => readQuestion(parts, hook)));
  return { ...rows, items: items.filter((question) => question !== undefined) };
}

async function readQuestion(parts: QuestionsParts, hook: Hook): Promise<Question | undefined> {
  if (unlessCorrupt(() => readQuestionDetails(hook)) !== undefined) return toQuestion(parts, hook);
  const { run, key } = hook;
  parts.logger.warn({ code: 'value_corrupt', run, hook: key }, 'a question cannot be read and is left out of a list');
  return undefined;
}

async function toQuestion(parts: QuestionsParts, hook: Hook): Promise<Question> {
  const details = readQuestionDetails(hook);
  return {
    ...details,
    run: hook.run,
    workflow: hook.workflow,
    thread: hook.thread,
    tenant: hook.tenant,
    status: await statusOf(parts, hook, details),
    answeredBy: hook.responders.at(-1)?.by ?? null,
    answeredAt: hook.resolvedAt,
  };
}

/** One whose time is over is expired, whether or not a worker has closed it; and one whose run ended before that is not. */
async function statusOf(
  parts: QuestionsParts,
  hook: Hook,
  { expiresAt }: QuestionDetails,
): Promise<Question['status']> {
  if (hook.status === 'resolved') return 'answered';
  const isOver = expiresAt !== null && parts.clock.now() > expiresAt;
  if (hook.status === 'open') return isOver ? 'expired' : 'pending';
  if (!isOver) return 'closed';
  const run = await (await parts.store()).get(hook.run);
  const endedAt = run?.endedAt ?? null;
  return endedAt !== null && endedAt < expiresAt ? 'closed' : 'expired';
}

async function answer(parts: QuestionsParts, id: string, { answer, by }: AnswerOptions): Promise<Question> {
  if (typeof by !== 'string' || by === '') {
    throw new DurableError(
      'invalid_argument',
      `Cannot answer the question "${id}": "by" is missing. Write answer("${id}", { answer, by: "user_7" }).`,
      { details: { id } },
    );
  }
  assertJson(answer);
  const hook = await findHook(parts, id);
  const question = await toQuestion(parts, hook);
  if (question.status === 'pending') await checkAnswer(parts, hook, { question, answer });
  else if (question.status !== 'answered') throw settledError(question, parts.clock.now());
  const payload = encodeValue(answer, `the answer to question "${id}"`);
  const repeatable = `answer:${sha256Hex(JSON.stringify([id, by, answer]))}`;
  for (const delivery of [repeatable, parts.ids.next()]) {
    const outcome = await parts.deliver({ to: { hook: hook.tokenHash, kind: 'question' }, id: delivery, payload, by });
    const now = await toQuestion(parts, await findHook(parts, id));
    // The same answer was refused before by the code that asks, and counts as a new one.
    if (outcome?.kind === 'duplicate' && now.status === 'pending') continue;
    if (outcome?.kind === 'ok' || outcome?.kind === 'duplicate') return now;
    throw settledError(now, parts.clock.now());
  }
  throw settledError(question, parts.clock.now());
}

/** N2 */
async function checkAnswer(
  parts: QuestionsParts,
  hook: Hook,
  { question, answer }: { question: Question; answer: unknown },
): Promise<void> {
  const { id, options, schema } = question;
  const next = 'Send another one; the question is still open.';
  const live = await parts.schemaOf(hook);
  if (live !== undefined) {
    await checkPayload(live, answer, { what: `question "${id}"`, next });
    return;
  }
  const why = options === null ? undefined : whyNoOption(options, answer);
  const checked = options === null ? await checkBySchema(fromStoredSchema(schema), answer) : undefined;
  const issues = [
    ...(why === undefined ? [] : [{ path: '', message: why }]),
    ...(checked?.success === false ? checked.issues.map(toIssue) : []),
  ];
  if (issues.length === 0) return;
  const text = issues.map(({ path, message }) => (path === '' ? message : `"${path}": ${message}`)).join('; ');
  throw new DurableError('payload_invalid', `Cannot accept the payload for question "${id}": ${text}. ${next}`, {
    details: { issues },
  });
}

function toIssue({ path, message }: { path: string; message: string }): { path: string; message: string } {
  return { path: path === '(root)' ? '' : path, message };
}

async function findHook({ store }: QuestionsParts, id: string): Promise<Hook> {
  const hook = await (await store()).hook(sha256Hex(id));
  if (hook?.kind === 'question') return hook;
  throw questionNotFound(id);
}

export function questionNotFound(id: string): DurableError {
  return new DurableError(
    'question_not_found',
    `There is no question "${id}". runtime.questions.list() has those that wait; those of removed runs are gone.`,
    { details: { id } },
  );
}

function settledError(
  { id, prompt, status, answeredBy, answeredAt, expiresAt, run }: Question,
  now: number,
): DurableError {
  const details = { id, status, by: answeredBy, at: answeredAt ?? expiresAt, run };
  const said = {
    answered: `was answered${answeredBy === null ? '' : ` by ${answeredBy}`} ${ago(now - (answeredAt ?? now))} ago. The first answer counts.`,
    expired: `expired${expiresAt === null ? '' : ` ${ago(now - expiresAt)} ago`}: nobody answered in time.`,
    closed: `was closed: its run "${run}" ended before.`,
    pending: 'could not be answered just now. Answer it again.',
  }[status];
  return new DurableError('question_settled', `The question "${id}" (${prompt}) ${said}`, { details });
}
