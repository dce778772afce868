/** Runs and events as JSON has them, over HTTP and on the command line. */

import type { JournalEvent } from '../runtime/event.ts';
import { readEventValue } from './run-info.ts';
import type { RunInfo } from './run-info.ts';

/** They are not even decoded where nobody asks for them. */
const LEFT_OUT: ReadonlySet<string> = new Set(['input', 'result', 'error']);

/** A row of a list: without input and result, and of the error what may be shown to anybody. */
export function runToJson(run: RunInfo): Record<string, unknown> {
  const keys = Object.keys(run).filter((key) => !LEFT_OUT.has(key));
  const row = Object.fromEntries(keys.map((key) => [key, run[key as keyof RunInfo]]));
  return { ...row, error: run.error === null ? null : { code: run.error.code, message: run.error.message } };
}

export function eventToJson(
  event: JournalEvent,
  { seq, withValue }: { seq: number; withValue: boolean },
): Record<string, unknown> {
  const { type, key, at, attempt, dueAt, meta } = event;
  const value = withValue && event.hasValue ? { value: readEventValue(event) } : {};
  return { seq, type, key, at, attempt, dueAt, meta, ...value };
}
