/** What stands behind options, read and checked: misuse is known before a store is opened. */

import { InvalidArgumentError } from 'commander';
import { durationMs } from '../runtime/duration.ts';
import { DurableError, reasonOf } from '../runtime/errors.ts';
import type { RunStatus } from '../runtime/store.ts';
import { RUN_STATUSES } from './run-words.ts';

/** `--input '{"amount":20}'`. Boxed: null is a value. */
export function readJson(text: string): { value: unknown } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    throw new InvalidArgumentError(`It is not JSON (${reasonOf(error)}). Quote it for the shell: '{"amount":20}'.`);
  }
}

/** `--status waiting,parked`, and again. */
export function readStatuses(text: string, before: RunStatus[] = []): RunStatus[] {
  const statuses = text.split(',').map((word) => {
    const status = RUN_STATUSES.find((each) => each === word.trim());
    if (status === undefined) throw new InvalidArgumentError(`Statuses are ${RUN_STATUSES.join(', ')}.`);
    return status;
  });
  return [...before, ...statuses];
}

/** `--attribute plan=pro`, and again. */
export function readAttribute(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Write name=value.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** `--limit 20` */
export function readLimit(text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > 500)
    throw new InvalidArgumentError('Write a number from 1 to 500.');
  return limit;
}

/** Cursors are what a page before gave out: digits in every store. */
export function readCursor(text: string): string {
  if (!/^\d{1,16}$/.test(text)) throw new InvalidArgumentError('Pass the cursor that the page before names.');
  return text;
}

/** A moment: a date, or how long ago. */
export interface Since {
  date?: number;
  ago?: number;
}

/** `--since 2h`, `--since 2026-11-20`, `--since 2026-11-20T14:00` */
export function readSince(text: string): Since {
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    // Without this a date alone would be read as midnight in Greenwich.
    const date = new Date(text.length === 10 ? `${text}T00:00` : text).getTime();
    if (!Number.isNaN(date)) return { date };
  }
  try {
    return { ago: durationMs(text, '--since') };
  } catch (error) {
    if (!DurableError.is(error, 'invalid_duration')) throw error;
    throw new InvalidArgumentError(
      'Write how long ago ("30m", "2h", "3 days"), or a date (2026-11-20, 2026-11-20T14:00).',
    );
  }
}
