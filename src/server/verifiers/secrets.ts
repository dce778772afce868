/** Secrets that senders sign with, and what the times they sign have to be. */

import { DurableError } from '../../runtime/errors.ts';

/** One, or several while it is changed: each is good. */
export type Secrets = string | readonly string[];

/** How old a signed request may be, or how far ahead its sender's clock. */
const WINDOW_SECONDS = 5 * 60;

/** Throws `invalid_argument` when the verifier is made, so that none lets all pass because an environment lacks a variable. */
export function secretsOf(secret: Secrets, verifier: string): readonly string[] {
  const secrets: readonly unknown[] = Array.isArray(secret) ? secret : [secret];
  if (secrets.length > 0 && secrets.every((each) => typeof each === 'string' && each !== ''))
    return secrets as string[];
  throw new DurableError(
    'invalid_argument',
    `Cannot create ${verifier}(): its secret is empty or no text. Is the environment variable set? Pass a text, or a list of them while the secret is changed.`,
  );
}

/** A header that has to be there. */
export function headerOf(headers: Headers, name: string): string {
  const value = headers.get(name);
  if (value === null || value === '') throw new Error(`the header "${name}" is missing`);
  return value;
}

/** Throws for a request that was signed too long ago, so that one that somebody has kept is worth nothing. */
export function assertRecent(seconds: string, now: number): void {
  const age = /^\d{1,12}$/.test(seconds) ? now / 1_000 - Number(seconds) : Number.NaN;
  if (Math.abs(age) <= WINDOW_SECONDS) return;
  throw new Error(`it was signed at ${JSON.stringify(seconds)}, which is not within ${WINDOW_SECONDS} s of now`);
}

/** The answer for the first secret that does not throw; what the last one threw. */
export async function anyOf<T>(secrets: readonly string[], check: (secret: string) => T | Promise<T>): Promise<T> {
  let failure: unknown;
  for (const secret of secrets) {
    try {
      return await check(secret);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
