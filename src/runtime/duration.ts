/** Durations as users write them. */

import ms from 'ms';
import { DurableError } from './errors.ts';

/** Milliseconds, or text such as "30s", "5 minutes", "2 days". */
export type Duration = number | string;

/** Milliseconds of a duration. Throws `invalid_duration`, saying what to write. */
export function durationMs(duration: Duration, where: string): number {
  const value = typeof duration === 'number' ? duration : parseText(duration);
  if (value === undefined || !Number.isFinite(value) || value < 0) throw invalid(duration, where);
  return value;
}

/** `ms` throws for an empty text. */
function parseText(text: unknown): number | undefined {
  if (typeof text !== 'string' || text === '') return undefined;
  return ms(text as ms.StringValue);
}

const MONTHS = /(?<![a-z])mo(nths?)?\b/i;

function invalid(duration: unknown, where: string): DurableError {
  const given = typeof duration === 'string' ? JSON.stringify(duration) : String(duration);
  const advice = MONTHS.test(given)
    ? 'A month has no fixed length: write days ("30 days"), or pass the Date at which to go on.'
    : 'Write milliseconds, or a number with a unit: "500ms", "30s", "5m", "2h", "3 days", "1 week".';
  return new DurableError('invalid_duration', `Cannot use ${given} as the duration of ${where}. ${advice}`, {
    details: { duration: typeof duration === 'string' ? duration : given },
  });
}

/** The moment at which a sleep ends: a Date as it is, a duration from `now`. */
export function momentOf(until: Duration | Date, options: { now: number; where: string }): number {
  if (!(until instanceof Date)) return options.now + durationMs(until, options.where);
  const time = until.getTime();
  if (Number.isNaN(time)) throw invalid('Invalid Date', options.where);
  return time;
}
