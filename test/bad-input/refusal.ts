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

/** The attempt throws, or rejects, as the refusal says. */
export async function expectRefusal(attempt: () => unknown, refusal: Refusal): Promise<void> {
  expectError(await caught(attempt), refusal);
}

/** What the attempt throws, or rejects with. */
export async function caught(attempt: () => unknown): Promise<unknown> {
  const outcome = await Promise.resolve()
    .then(attempt)
    .then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
  if ('error' in outcome) return outcome.error;
  throw new Error(`nothing was refused; the answer was ${String(outcome.value)}`);
}

/** What a run failed with. */
export async function causeOf(run: { result(): Promise<unknown> }): Promise<unknown> {
  const error = await caught(() => run.result());
  expect(error).toMatchObject({ code: 'run_failed' });
  return (error as Error).cause;
}

export function expectError(error: unknown, { code, says, details = {} }: Refusal): asserts error is DurableError {
  if (!DurableError.is(error)) throw new Error(`not a DurableError: ${String(error)}`, { cause: error });
  expect(error.code).toBe(code);
  expect(error.message).toMatch(says);
  expect(error.message).toMatch(new RegExp(`\\(docs/errors\\.md#${code}\\)$`));
  expect(error.details).toMatchObject(details);
  expect(JSON.parse(JSON.stringify(error.details))).toEqual(error.details);
}
