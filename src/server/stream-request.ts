/** What a reader of a run's stream asks for: from where, in which form, and whether to wait for more. Pure. */

import { DurableError } from '../runtime/errors.ts';
import { decodeOffset } from '../streams/wire.ts';

/**
 * `once`: a page. `long-poll`: a page, when there is one. `durable-events`: the protocol's event stream. `events`: one event a chunk.
 * `lines`: one line a chunk.
 */
export type ReadMode = 'once' | 'long-poll' | 'durable-events' | 'events' | 'lines';

export interface StreamQuery {
  offset?: string | undefined;
  live?: 'long-poll' | 'sse' | undefined;
  cursor?: string | undefined;
  follow?: 'true' | 'false' | undefined;
}

export const LINES_TYPE = 'application/x-ndjson';
export const EVENTS_TYPE = 'text/event-stream';
const BYTES_TYPE = 'application/octet-stream';
const JSON_TYPE = 'application/json';

export function modeOf({ live }: StreamQuery, accept: string | null): ReadMode {
  if (live !== undefined) return live === 'sse' ? 'durable-events' : 'long-poll';
  const asked = acceptedTypes(accept);
  if (asked.includes(EVENTS_TYPE)) return 'events';
  return asked.includes(LINES_TYPE) ? 'lines' : 'once';
}

/** Whoever declares no type gets what can be said of any chunk. */
export function contentTypeOf(declared: string | undefined, accept: string | null): string {
  return declared ?? (acceptedTypes(accept).includes(BYTES_TYPE) ? BYTES_TYPE : JSON_TYPE);
}

/**
 * The offset to read from; `now` for the tail. Throws `invalid_offset`. Only who follows has a last event: a page is kept by its address
 * alone, whatever headers it was asked for with.
 */
export function startOf(
  { offset, live }: StreamQuery,
  { mode, lastEventId }: { mode: ReadMode; lastEventId: string | null },
): number | 'now' {
  if (lastEventId !== null && mode !== 'once' && mode !== 'long-poll') return parseOffset(lastEventId);
  if (offset === undefined && live !== undefined)
    throw invalidOffset('`live` needs an `offset`; -1 is the beginning', '');
  if (offset === undefined || offset === '-1') return 0;
  return offset === 'now' ? 'now' : parseOffset(offset);
}

export function beyondTail(offset: number, tail: number): DurableError {
  return invalidOffset(`the offset is ${offset}, and the stream has ${tail} chunks`, String(offset), { tail });
}

function parseOffset(text: string): number {
  const offset = decodeOffset(text);
  if (offset === undefined) throw invalidOffset(`${JSON.stringify(text)} is no offset`, text);
  return offset;
}

function invalidOffset(why: string, offset: string, details: Record<string, unknown> = {}): DurableError {
  return new DurableError(
    'invalid_offset',
    `Cannot read from there: ${why}. Take the offset of the last answer, or read from the beginning.`,
    { details: { offset, ...details } },
  );
}

function acceptedTypes(accept: string | null): string[] {
  return (accept ?? '').split(',').map((each) => each.split(';', 1)[0]?.trim().toLowerCase() ?? '');
}
