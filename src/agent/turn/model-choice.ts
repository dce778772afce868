/**
 * Which model tries the next turn of a segment. Pure.
 *
 * Models are taken in order. Each has `turnRetries` retries of a turn that failed; a turn that succeeds resets the count. A failure
 * that no retry can mend (a refused key, an invalid request) spends a model at once. The segment stays with a fallback that
 * it has taken. Each choice is written into the key of the timer before the next attempt, so that it survives crashes.
 */

import { LoadAPIKeyError, LoadSettingError, NoSuchModelError, UnsupportedFunctionalityError } from 'ai';
import { backoffMs } from '../../runtime/backoff.ts';
import type { Backoff } from '../../runtime/backoff.ts';
import type { JournalEvent } from '../../runtime/event.ts';

export const TURN_RETRIES = 4;
const TURN_BACKOFF: Backoff = { baseMs: 1_000, capMs: 60_000 };
const DELAY_KEY = /retry:(\d+):m(\d+)f(\d+)$/;

export interface ModelChoice {
  /** Index in the list of models. */
  model: number;
  /** Failures of the turn that is tried next, on this model. */
  failures: number;
  /** Failed entries of the whole segment. */
  failed: number;
}

/** The choice that a segment's events (since its start, in order) lead to. */
export function currentChoice(events: readonly JournalEvent[]): ModelChoice {
  let choice: ModelChoice = { model: 0, failures: 0, failed: 0 };
  for (const { type, key } of events) {
    if (type === 'turn_completed') choice = { ...choice, failures: 0 };
    const match = type === 'timer_started' ? DELAY_KEY.exec(key) : null;
    if (match !== null) choice = { failed: Number(match[1]), model: Number(match[2]), failures: Number(match[3]) };
  }
  return choice;
}

/** The choice after one more failure; undefined when the retries of all models are spent. */
export function nextChoice(
  choice: ModelChoice,
  options: { models: number; retries: number; retryable: boolean },
): ModelChoice | undefined {
  const failed = choice.failed + 1;
  const failures = choice.failures + 1;
  if (options.retryable && failures <= options.retries) return { ...choice, failures, failed };
  const model = choice.model + 1;
  return model < options.models ? { model, failures: 0, failed } : undefined;
}

/** Key of the timer before the next attempt, below the segment's prefix. */
export function delayName({ failed, model, failures }: ModelChoice): string {
  return `retry:${failed}:m${model}f${failures}`;
}

/** Milliseconds before the next attempt; at once where another model takes over. What the provider asked for is honoured. */
export function delayMs(choice: ModelChoice, options: { retryAfterMs: number | undefined; random: number }): number {
  if (choice.failures === 0) return 0;
  return Math.max(options.retryAfterMs ?? 0, backoffMs(TURN_BACKOFF, choice.failures, options.random));
}

/** Mistakes in the set-up: no later attempt finds the key, the setting or the model. */
const NEVER_MENDED = [LoadAPIKeyError, LoadSettingError, NoSuchModelError, UnsupportedFunctionalityError];

/** False for what the provider will refuse again: the AI SDK says so on its errors. */
export function isRetryableFailure(error: unknown): boolean {
  const last = lastError(error);
  if (NEVER_MENDED.some((kind) => kind.isInstance(last))) return false;
  return !(typeof last === 'object' && last !== null && 'isRetryable' in last && last.isRetryable === false);
}

/** What the provider asked for in its headers: milliseconds, seconds or a date. */
export function retryAfterMs(error: unknown, now: number): number | undefined {
  const last = lastError(error);
  if (typeof last !== 'object' || last === null || !('responseHeaders' in last)) return undefined;
  const headers = (last.responseHeaders ?? {}) as Record<string, string | undefined>;
  const after = headers['retry-after'] ?? '';
  const candidates = [Number(headers['retry-after-ms'] ?? Number.NaN), Number(after) * 1_000, Date.parse(after) - now];
  return candidates.find((ms) => Number.isFinite(ms) && ms > 0);
}

/** The SDK wraps the last of its own attempts. */
function lastError(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'lastError' in error ? error.lastError : error;
}
