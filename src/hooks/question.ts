/** The rows of questions: hooks that a person answers, and whose ids are no secrets. */

import { decodeValue } from '../runtime/codec.ts';
import type { Hook } from '../runtime/store.ts';
import type { QuestionOption } from '../streams/wire.ts';

/** What the row of a question holds beyond its columns. */
export interface QuestionDetails {
  id: string;
  prompt: string;
  /** What can be chosen; null: `schema` says what an answer is. */
  options: QuestionOption[] | null;
  /** JSON Schema of the answer; null if its schema has none. */
  schema: unknown;
  /** The agent's tool that asks; null in a workflow's own code. */
  tool: string | null;
  toolCallId: string | null;
  askedAt: number;
  expiresAt: number | null;
  /** What the asking code keeps with it. */
  metadata: unknown;
}

/** What ids begin with. */
export const QUESTION_PREFIX = 'qst_';

/** Throws `value_corrupt`. */
export function readQuestionDetails(hook: Hook): QuestionDetails {
  return decodeValue(hook.details) as QuestionDetails;
}
