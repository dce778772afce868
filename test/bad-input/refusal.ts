/** What every refusal of bad input has: a code, what to do, where to read on, and facts for programs. */

import { DurableError } from 'everturn';
import type { ErrorCode } from 'everturn';
import { expect } from 'vitest';

export interface Refusal {
  code: ErrorCode;
  /** The names of what was given, and the advice. */
  says: RegExp;
  details?: Record<string, unknown>;
}

/** The attempt throws, or rejects, as the refusal says. Answers the error. */
export async function expectRefusal(attempt: () => unknown, refusal: Refusal): Promise<DurableError> {
  const error = await caught(attempt);
  expectError(error, refusal);
  return error as DurableError;
}

export function expectError(error: unknown, { code, says, details = {} }: Refusal): asserts error is DurableError {
  if (!DurableError.is(error)) throw new Error(`not a DurableError: ${String(error)}`, { cause: error });
  expect(error.code).toBe(code);
  expect(error.message).toMatch(says);
  expect(error.message).toMatch(new RegExp(`\\(docs/errors\\.md#${code}\\)$`));
  expect(error.details).toMatchObject(details);
  expect(JSON.parse(JSON.stringify(error.details))).toEqual(error.details);
}

async function caught(attempt: () => unknown): Promise<unknown> {
  try {
    const value = await attempt();
    throw new Error(`nothing was refused; the answer was ${String(value)}`);
  } catch (error) {
    return error;
  }
}
