/** Payloads against the schema of their hook. */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { DurableError } from '../runtime/errors.ts';

/** The payload as the schema answers it. Throws `payload_invalid`, naming the fields, and what to do next. */
export async function checkPayload<T>(
  schema: StandardSchemaV1<unknown, T>,
  value: unknown,
  { what, next }: { what: string; next: string },
): Promise<T> {
  const result = await schema['~standard'].validate(value);
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map(({ path = [], message }) => ({
    path: path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.'),
    message,
  }));
  const text = issues.map(({ path, message }) => (path === '' ? message : `"${path}": ${message}`)).join('; ');
  throw new DurableError('payload_invalid', `Cannot accept the payload for ${what}: ${text}. ${next}`, {
    details: { issues },
  });
}
