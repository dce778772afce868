/**
 * Journal events: immutable facts of a run, past tense, in order. An event is a JSON header and an optional value, kept
 * apart so that loading a journal parses headers only; a value is decoded when replay asks for it.
 */

import {
  decodeText,
  encodeText,
  encodeWithHeader,
  GATHERED,
  MAX_VALUE_BYTES,
  parseValue,
  stringifyValue,
} from './codec.ts';
import type { Payload } from './codec.ts';
import { DurableError } from './errors.ts';
import { decodeReference, encodeReference, isReference } from './reference.ts';

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
  /** Decodes on first use; undefined if the event has none. Throws `value_corrupt`, and `value_not_loaded` if it is large and not in memory. */
  readonly value: unknown;
  readonly hasValue: boolean;
  /** Of a value that stands out of line. */
  readonly large?: LargeBody;
}

/** A new event, its value already in text form (so that encoding errors surface where the value was made). */
export interface EventDraft extends EventHeader {
  text?: string;
  /** In the place of `text`: a payload out of line whose text is the value. */
  reference?: Payload;
}

/** Puts a value into a draft. Throws as `stringifyValue` does. */
export function draftEvent(header: EventHeader, value: { value: unknown; what: string } | null): EventDraft {
  return value === null ? { ...header } : { ...header, text: stringifyValue(value.value, value.what) };
}

/** Header and value are separated by the first line feed; JSON has no raw ones. Throws `value_too_large`. */
export function encodeEvent(draft: EventDraft, maxBytes: number = MAX_VALUE_BYTES): Payload {
  const { text, reference, ...header } = draft;
  if (reference !== undefined) return encodeReferring(header, reference);
  return encodeWithHeader({
    header: JSON.stringify(header),
    text,
    what: `the event ${draft.type} of "${draft.key}"`,
    limit: GATHERING.has(draft.type) ? GATHERED * maxBytes : maxBytes,
  });
}

/** The parts are those of the value: only the head is the event's own. */
function encodeReferring(header: EventHeader, reference: Payload): Payload {
  return encodeReference({
    ...decodeReference(reference),
    head: encodeText(`${JSON.stringify(header)}\n`, 'a header'),
  });
}

/** Bytes of an event before its value: they stay in line (`reference.ts`). */
export function headLength(payload: Payload): number {
  return payload.indexOf(LINE_FEED) + 1;
}

const LINE_FEED = 10;

export interface ReadEventOptions {
  /** Told when somebody asks for the value and it cannot be read; he gets the error too. */
  unreadable?: ((error: DurableError) => void) | undefined;
  /** Loads what stands out of line. Without it such a value is `value_not_loaded`. */
  expand?: Expand | undefined;
}

export function decodeEvent(payload: Payload, options: ReadEventOptions = {}): JournalEvent {
  const head = isReference(payload) ? decodeReference(payload).head : payload;
  const text = decodeText(head);
  const cut = text.indexOf('\n');
  const header = parseHeader(cut < 0 ? text : text.slice(0, cut));
  if (head !== payload) return largeEvent(header, new LargeBody({ header, reference: payload, ...options }));
  return lazyEvent(header, { text: cut < 0 ? undefined : text.slice(cut + 1), unreadable: options.unreadable });
}

/** What a draft will be when it is read back: its value is a copy, never the caller's object. */
export function readDraft(draft: EventDraft, { isLarge = false }: { isLarge?: boolean } = {}): JournalEvent {
  const { text, reference, ...header } = draft;
  if (isLarge || reference !== undefined) return largeEvent(header, new LargeBody({ header, text }));
  return lazyEvent(header, { text });
}

/** A payload that stands out of line as it was handed in. */
export type Expand = (payload: Payload) => Promise<Payload>;

/** The value of an event that stands out of line, or will: in memory only while somebody needs it. */
export class LargeBody {
  readonly #header: EventHeader;
  readonly #unreadable: ((error: DurableError) => void) | undefined;
  #text: string | undefined;
  #decoded: { value: unknown } | undefined;
  #reference: Payload | undefined;
  #expand: Expand | undefined;

  constructor({ header, text, reference, expand, unreadable }: LargeBodyOptions) {
    this.#header = header;
    this.#text = text;
    this.#reference = reference;
    this.#expand = expand;
    this.#unreadable = unreadable;
  }

  get isLoaded(): boolean {
    return this.#text !== undefined || this.#decoded !== undefined;
  }

  get value(): unknown {
    if (this.#decoded !== undefined) return this.#decoded.value;
    if (this.#text === undefined) throw notLoaded(this.#header);
    const { value } = (this.#decoded = {
      value: readValue(this.#header, { text: this.#text, unreadable: this.#unreadable }),
    });
    // It can be had again.
    if (this.#reference !== undefined) this.#text = undefined;
    return value;
  }

  /** It is stored. */
  stored(reference: Payload, expand: Expand): void {
    this.#reference = reference;
    this.#expand = expand;
  }

  /** Throws `value_corrupt` if parts are missing, and what the store throws. */
  async load(): Promise<void> {
    if (this.isLoaded) return;
    if (this.#reference === undefined || this.#expand === undefined) throw notLoaded(this.#header);
    const payload = await this.#expand(this.#reference);
    const { head } = decodeReference(this.#reference);
    this.#text = decodeText(payload, head.length);
  }

  /** Nobody needs it now. */
  unload(): void {
    if (this.#reference === undefined) return;
    this.#text = undefined;
    this.#decoded = undefined;
  }
}

interface LargeBodyOptions extends ReadEventOptions {
  header: EventHeader;
  text?: string | undefined;
  reference?: Payload;
}

function largeEvent(header: EventHeader, large: LargeBody): JournalEvent {
  return {
    ...header,
    hasValue: true,
    large,
    get value(): unknown {
      return large.value;
    },
  };
}

function notLoaded({ type, key }: EventHeader): DurableError {
  return new DurableError(
    'value_not_loaded',
    `Cannot read the value of the event ${type}${key === '' ? '' : ` of "${key}"`}: it is large and was not loaded. Call await event.large.load() before.`,
    { details: { type, key } },
  );
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

/** Loads the value of an event that stands out of line; undefined if it is in memory. */
export function loadLarge({ large }: JournalEvent): Promise<void> | undefined {
  return large === undefined || large.isLoaded ? undefined : large.load();
}

/** One after the other. */
export async function loadAll(events: readonly JournalEvent[]): Promise<void> {
  for (const event of events) await loadLarge(event);
}
