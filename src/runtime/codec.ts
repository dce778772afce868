/**
 * The one place where values become bytes. A payload is opaque to stores: a format tag, then the body. Encryption can
 * be added as another tag without touching a store.
 *
 *  C1 decode(encode(value)) equals value for whatever devalue keeps (plain objects, arrays, Date, Map, Set, URL, bigint,
 *     typed arrays, undefined, cycles). Errors come back with name, message, stack, cause, own fields and the brands (`Symbol.for`
 *     markers) by which the AI SDK recognizes its errors, cut to a size that can always be stored (`error-text.ts`).
 *  C2 What cannot be kept is an error that names the path inside the value.
 */

import { DevalueError, parse, stringify } from 'devalue';
import { CauseAt, errorFields, flatFields, messageOfThrown } from './error-text.ts';
import type { ErrorFields } from './error-text.ts';
import { DurableError, FatalError, reasonOf, RetryableError } from './errors.ts';

/** Encoded value: one byte of format tag, then the body. */
export type Payload = Uint8Array;

const TAG_TEXT = 1;
const TAG_BYTES = 2;
/** Of what stands in the place of a large value (`reference.ts`). */
export const TAG_REFERENCE = 3;
/** Largest encoded value. */
export const MAX_VALUE_BYTES: number = 64 * 1_048_576;
/** What gathers many values may be so much larger: the result of a run, and what a segment of an agent has added. */
export const GATHERED = 4;
/** Of what somebody threw: it can always be stored. */
export const MAX_THROWN_BYTES = 1_048_576;
/** Beside its value, what an event may say of itself. */
const MAX_HEADER_BYTES = 65_536;
/** UTF-8, from UTF-16. */
const MAX_BYTES_PER_CHAR = 3;

const SHORT_CHARS = 256;
const LAST_ASCII = 0x7f;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Encodes a value. `what` names it in errors, e.g. `the result of step "charge"`.
 * Throws `value_not_serializable` (details.path) and `value_too_large` (details.bytes).
 */
export function encodeValue(value: unknown, what: string): Payload {
  return encodeText(stringifyValue(value, what), what);
}

/** `encodeValue` for what gathers many values. `maxBytes`: of one value. */
export function encodeGathered(value: unknown, { what, maxBytes }: { what: string; maxBytes: number }): Payload {
  return encodeLimited(stringifyValue(value, what), { what, limit: GATHERED * maxBytes });
}

export function decodeValue(payload: Payload): unknown {
  return parseValue(decodeText(payload));
}

/** The text form inside a payload. Callers that compose several parts (journal events) use these. */
export function stringifyValue(value: unknown, what: string): string {
  try {
    return stringify(value, REDUCERS);
  } catch (error) {
    const { path, value: flaw }: { path: string; value?: unknown } =
      error instanceof DevalueError ? error : { path: '' };
    throw new DurableError(
      'value_not_serializable',
      `Cannot store ${what}: the value at "${path === '' ? '(root)' : path}" cannot be serialized (${reasonOf(error)}). ${adviceOn(flaw)}`,
      { cause: error, details: { path } },
    );
  }
}

function adviceOn(flaw: unknown): string {
  if (flaw instanceof ReadableStream)
    return (
      'Let a step write it to a stream of the run, `await readable.pipeTo(getWritable({ namespace }))`, and return the namespace: ' +
      'run.stream({ namespace }) reads it. Only a step may have a ReadableStream itself as its result.'
    );
  if (flaw instanceof WritableStream)
    return 'Return its namespace, and call getWritable({ namespace }) where you write.';
  return 'Return plain data (objects, arrays, strings, numbers, Date, Map, Set, URL, bytes), or keep the object outside and return its id.';
}

export function parseValue(text: string): unknown {
  try {
    return parse(text, REVIVERS);
  } catch (error) {
    throw new DurableError(
      'value_corrupt',
      'Cannot read a stored value: its bytes are not what was written. Restore the store from a backup.',
      {
        cause: error,
      },
    );
  }
}

/** The text form of what somebody threw. Never throws: what cannot be stored is kept as its message. */
export function stringifyThrown(thrown: unknown): string {
  try {
    const text = stringifyValue(thrown, 'an error');
    if (text.length * MAX_BYTES_PER_CHAR <= MAX_THROWN_BYTES) return text;
  } catch (reason) {
    return stringifyValue(new Error(messageOfThrown(thrown), { cause: reason }), 'an error');
  }
  return stringifyValue(new Error(messageOfThrown(thrown)), 'an error');
}

/** `stringifyThrown` as a payload. */
export function encodeThrown(thrown: unknown): Payload {
  return encodeText(stringifyThrown(thrown), 'an error');
}

export function encodeText(text: string, what: string): Payload {
  return encodeLimited(text, { what, limit: MAX_VALUE_BYTES });
}

interface Limits {
  what: string;
  limit: number;
}

function encodeLimited(text: string, limits: Limits): Payload {
  const short = text.length <= SHORT_CHARS ? encodeShort(text) : undefined;
  return short ?? tagged(TAG_TEXT, encoder.encode(text), limits);
}

/** Hot: each chunk of a stream (bench `agent`). To enter the encoder takes longer than to copy a short text. Undefined beyond ASCII. */
function encodeShort(text: string): Payload | undefined {
  const payload = new Uint8Array(text.length + 1);
  payload[0] = TAG_TEXT;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit > LAST_ASCII) return undefined;
    payload[i + 1] = unit;
  }
  return payload;
}

export interface EncodedWithHeader {
  header: string;
  /** Of the value, if there is one. */
  text: string | undefined;
  what: string;
  /** Of the value. */
  limit: number;
}

/** A text that carries a value, with a header before it. Throws `value_too_large` if either is. */
export function encodeWithHeader({ header, text, what, limit }: EncodedWithHeader): Payload {
  const whole = encoder.encode(text === undefined ? header : `${header}\n${text}`);
  const payload = tagged(TAG_TEXT, whole, { what, limit: limit + MAX_HEADER_BYTES });
  // Rare, so the value is measured by itself only now.
  if (text !== undefined && whole.length > limit) encodeLimited(text, { what, limit });
  return payload;
}

/** Bytes as they are, for streams of bytes. Throws `value_too_large`. */
export function encodeBytes(bytes: Uint8Array, what: string): Payload {
  return tagged(TAG_BYTES, bytes, { what, limit: MAX_VALUE_BYTES });
}

export function isBytes(payload: Payload): boolean {
  return payload[0] === TAG_BYTES;
}

export function decodeBytes(payload: Payload): Uint8Array {
  return payload.subarray(1);
}

function tagged(tag: number, body: Uint8Array, { what, limit }: Limits): Payload {
  if (body.length > limit) {
    throw new DurableError(
      'value_too_large',
      `Cannot store ${what}: it takes ${body.length} bytes and the limit is ${limit}. Store the data elsewhere and return a reference to it.`,
      { details: { bytes: body.length, limit } },
    );
  }
  const payload = new Uint8Array(body.length + 1);
  payload[0] = tag;
  payload.set(body, 1);
  return payload;
}

/** `from`: where the text begins. */
export function decodeText(payload: Payload, from = 1): string {
  if (payload[0] === TAG_REFERENCE) {
    throw new DurableError(
      'value_corrupt',
      'Cannot read a large value: it was not loaded, or its parts are missing in the store. Read it by getRun(id).info(); if that fails too, restore the store from a backup.',
    );
  }
  if (payload[0] !== TAG_TEXT) {
    throw new DurableError(
      'value_corrupt',
      `Cannot read a stored value: its format tag is ${payload[0]}, and this release knows ${TAG_TEXT}. Was it written by a newer release?`,
    );
  }
  return decoder.decode(payload.subarray(from));
}

const REDUCERS = {
  Error: (value: unknown) => {
    if (value instanceof Error) return errorFields(value, { depth: 0, keep: keepSmall });
    return value instanceof CauseAt ? errorFields(value.error, { depth: value.depth, keep: keepSmall }) : false;
  },
};

/** Errors inside a field of an error. */
const FLAT_REDUCERS = {
  Error: (value: unknown) => (value instanceof Error ? flatFields(value) : false),
};

const REVIVERS = {
  Error: (fields: ErrorFields) => reviveError(fields),
};

/** Fields of foreign errors may hold anything (sockets, requests): those that cannot be kept are left out, not fatal. */
function keepSmall(value: unknown, maxChars: number): { value: unknown; chars: number } | undefined {
  try {
    const text = stringify(value, FLAT_REDUCERS);
    return text.length > maxChars ? undefined : { value: parse(text, REVIVERS) as unknown, chars: text.length };
  } catch {
    return undefined;
  }
}

function reviveError(fields: ErrorFields): Error {
  const options = fields.cause === undefined ? undefined : { cause: fields.cause };
  const error = new (errorClass(fields.name))(fields.message, options);
  if (error.name !== fields.name) Object.defineProperty(error, 'name', { value: fields.name, configurable: true });
  Object.assign(error, fields.own);
  for (const brand of fields.brands) Object.defineProperty(error, Symbol.for(brand), { value: true });
  if (fields.stack !== undefined) error.stack = fields.stack;
  return error;
}

type ErrorClass = new (message: string, options?: { cause?: unknown }) => Error;

/** A DurableError is rebuilt without its constructor's suffix, which the message has already. */
class RevivedDurableError extends DurableError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('run_failed', '', options);
    this.message = message;
  }
}

function errorClass(name: string): ErrorClass {
  const known: Record<string, ErrorClass> = {
    TypeError,
    RangeError,
    SyntaxError,
    ReferenceError,
    URIError,
    EvalError,
    FatalError,
    RetryableError,
    DurableError: RevivedDurableError,
  };
  return known[name] ?? Error;
}
