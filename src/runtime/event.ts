/**
 * Journal events: immutable facts of a run, past tense, in order. An event is a JSON header and an optional value, kept
 * apart so that loading a journal parses headers only; a value is decoded when replay asks for it.
 */

import {
  decodeText,
  encodeWithHeader,
  MAX_GATHERED_BYTES,
  MAX_VALUE_BYTES,
  parseValue,
  stringifyValue,
} from './codec.ts';
import type { Payload } from './codec.ts';
import { DurableError } from './errors.ts';

export const EVENT_TYPES = [
  'step_completed',
  'step_failed',
  'step_retrying',
  'timer_started',
  'timer_fired',
  'hook_created',
  'hook_conflict',
  'hook_closed',
  'child_started',
  'chunk_written',
  'stream_joined',
  'message_received',
  'cancel_requested',
  'run_recovered',
  'turn_completed',
  'turn_failed',
  'tool_started',
  'tool_completed',
  'tool_failed',
  'tool_retrying',
  'policy_decided',
  'segment_completed',
  'agent_completed',
  'agent_failed',
  'run_completed',
  'run_failed',
  'run_cancelled',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** Those that hold many values in one: a message may be the result of a child. */
const GATHERING: ReadonlySet<EventType> = new Set<EventType>(['segment_completed', 'message_received']);

export interface EventHeader {
  type: EventType;
  /** Scope path + name + occurrence; '' for events of the run itself. */
  key: string;
  /** Store time when it was written. */
  at: number;
  attempt?: number;
  /** When a timer or a delayed attempt falls due, on the store's clock. */
  dueAt?: number;
  /** Small facts for people and queries, JSON. */
  meta?: Record<string, unknown>;
}

export interface JournalEvent extends EventHeader {
  /** Decodes on first use; undefined if the event has none. */
  readonly value: unknown;
  readonly hasValue: boolean;
}

/** A new event, its value already in text form (so that encoding errors surface where the value was made). */
export interface EventDraft extends EventHeader {
  text?: string;
}

/** Puts a value into a draft. Throws as `stringifyValue` does. */
export function draftEvent(header: EventHeader, value: { value: unknown; what: string } | null): EventDraft {
  return value === null ? { ...header } : { ...header, text: stringifyValue(value.value, value.what) };
}

/** Header and value are separated by the first line feed; JSON has no raw ones. Throws `value_too_large`. */
export function encodeEvent(draft: EventDraft): Payload {
  const { text, ...header } = draft;
  return encodeWithHeader({
    header: JSON.stringify(header),
    text,
    what: `the event ${draft.type} of "${draft.key}"`,
    limit: GATHERING.has(draft.type) ? MAX_GATHERED_BYTES : MAX_VALUE_BYTES,
  });
}

/** `unreadable`: told when somebody asks for the value and it cannot be read; he gets the error too. */
export function decodeEvent(payload: Payload, unreadable?: (error: DurableError) => void): JournalEvent {
  const text = decodeText(payload);
  const cut = text.indexOf('\n');
  const header = parseHeader(cut < 0 ? text : text.slice(0, cut));
  return lazyEvent(header, { text: cut < 0 ? undefined : text.slice(cut + 1), unreadable });
}

/** What a draft will be when it is read back: its value is a copy, never the caller's object. */
export function readDraft(draft: EventDraft): JournalEvent {
  const { text, ...header } = draft;
  return lazyEvent(header, { text });
}

function lazyEvent(
  header: EventHeader,
  { text, unreadable }: { text: string | undefined; unreadable?: ((error: DurableError) => void) | undefined },
): JournalEvent {
  let decoded: { value: unknown } | undefined;
  return {
    ...header,
    hasValue: text !== undefined,
    get value(): unknown {
      if (text === undefined) return undefined;
      decoded ??= { value: readValue(header, { text, unreadable }) };
      return decoded.value;
    },
  };
}

function readValue(
  { type, key }: EventHeader,
  { text, unreadable }: { text: string; unreadable: ((error: DurableError) => void) | undefined },
): unknown {
  try {
    return parseValue(text);
  } catch (cause) {
    const error = new DurableError(
      'value_corrupt',
      `Cannot read the value of the event ${type}${key === '' ? '' : ` of "${key}"`}: its bytes are not what was written. Restore the store from a backup.`,
      { cause },
    );
    unreadable?.(error);
    throw error;
  }
}

function parseHeader(line: string): EventHeader {
  try {
    return JSON.parse(line) as EventHeader;
  } catch (error) {
    throw new DurableError(
      'value_corrupt',
      'Cannot read a journal event: its header is not JSON. Restore the store from a backup.',
      { cause: error },
    );
  }
}
