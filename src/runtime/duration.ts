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

function parseText(text: string): number | undefined {
  if (/\b(months?|mo)\b/i.test(text)) return undefined;
  return ms(text as ms.StringValue);
}

function invalid(duration: Duration, where: string): DurableError {
  const calendar = /\bmo(nths?)?\b/i.test(String(duration));
  const advice = calendar
    ? 'A month has no fixed length: write days ("30 days"), or pass the Date at which to go on.'
    : 'Write milliseconds, or a number with a unit: "500ms", "30s", "5m", "2h", "3 days", "1 week".';
  return new DurableError(
    'invalid_duration',
    `Cannot use ${JSON.stringify(duration)} as the duration of ${where}. ${advice}`,
    {
      details: { duration },
    },
  );
}

/** The moment at which a sleep ends: a Date as it is, a duration from `now`. */
export function momentOf(until: Duration | Date, options: { now: number; where: string }): number {
  if (!(until instanceof Date)) return options.now + durationMs(until, options.where);
  const time = until.getTime();
  if (Number.isNaN(time)) throw invalid('Invalid Date', options.where);
  return time;
}
