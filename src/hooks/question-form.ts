/** What an answer to a question must be: one of its options, or what fits its schema. */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { asSchema } from 'ai';
import type { FlexibleSchema } from 'ai';
import { DurableError } from '../runtime/errors.ts';
import type { QuestionOption } from '../streams/wire.ts';

export type OptionInput = string | QuestionOption;

export interface QuestionForm {
  /** Checks answers, and makes of them what the asking code gets. */
  check: StandardSchemaV1;
  options: QuestionOption[] | null;
  /** JSON Schema; null where there is none. */
  schema: unknown;
}

/** Throws `invalid_argument`. */
export function toForm({
  schema,
  options,
}: {
  schema?: StandardSchemaV1 | undefined;
  options?: readonly OptionInput[] | undefined;
}): QuestionForm {
  if ((schema === undefined) === (options === undefined)) throw invalid('write either `schema` or `options`.');
  if (options !== undefined) return choiceOf(options);
  if (schema === undefined || schema === null || !('~standard' in Object(schema)))
    throw invalid('its schema is none of Standard Schema (zod, valibot, arktype).');
  return { check: schema, options: null, schema: toJsonSchema(schema) };
}

function choiceOf(given: readonly OptionInput[]): QuestionForm {
  if (!Array.isArray(given) || given.length === 0) throw invalid('its options are no list with at least one.');
  const options = given.map(toOption);
  const values = options.map(({ value }) => value);
  if (new Set(values).size < values.length) throw invalid('two of its options have the same value.');
  return { check: oneOf(options), options, schema: { enum: values } };
}

function toOption(option: unknown): QuestionOption {
  if (typeof option === 'string') return { value: option, label: option };
  const { value, label } = (option ?? {}) as Partial<QuestionOption>;
  const isValue = ['string', 'number', 'boolean'].includes(typeof value);
  if (!isValue || value === undefined || typeof label !== 'string')
    throw invalid('an option is a text, or { value, label } with a text, a number or a boolean as its value.');
  return { value, label };
}

function oneOf(options: readonly QuestionOption[]): StandardSchemaV1 {
  const validate = (value: unknown): StandardSchemaV1.Result<unknown> => {
    const message = whyNoOption(options, value);
    return message === undefined ? { value } : { issues: [{ message }] };
  };
  return { '~standard': { version: 1, vendor: 'everturn', validate } };
}

/** Undefined if the value is one of the options. */
export function whyNoOption(options: readonly QuestionOption[], answer: unknown): string | undefined {
  if (options.some(({ value }) => value === answer)) return undefined;
  return `it is none of ${options.map(({ value }) => JSON.stringify(value)).join(', ')}`;
}

/** Null where the library has no JSON Schema for it, or not at once. */
function toJsonSchema(schema: StandardSchemaV1): unknown {
  let json: unknown;
  try {
    json = asSchema(schema as FlexibleSchema).jsonSchema;
  } catch {
    return null;
  }
  return json instanceof Promise || json === undefined ? null : json;
}

function invalid(why: string): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot ask a question: ${why} Write ask({ prompt: "Which colour?", options: ["red", "blue"] }), or a schema in place of the options.`,
  );
}
