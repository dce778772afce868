/**
 * The one place where values become bytes. A payload is opaque to stores: a format tag, then the body. Encryption can
 * be added as another tag without touching a store.
 *
 *  C1 decode(encode(value)) equals value for whatever devalue keeps (plain objects, arrays, Date, Map, Set, URL, bigint,
 *     typed arrays, undefined, cycles) and for errors, which come back with name, message, stack, cause and own fields, and
 *     with the brands (`Symbol.for` markers) by which the AI SDK recognizes its errors.
 *  C2 What cannot be kept is an error that names the path inside the value.
 */

import { DevalueError, parse, stringify } from 'devalue';
import { DurableError, FatalError, RetryableError } from './errors.ts';

/** Encoded value: one byte of format tag, then the body. */
export type Payload = Uint8Array;

const TAG_TEXT = 1;
const TAG_BYTES = 2;
/** Largest encoded value, until large values go out of line. */
export const MAX_VALUE_BYTES = 1_048_576;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Encodes a value. `what` names it in errors, e.g. `the result of step "charge"`.
 * Throws `value_not_serializable` (details.path) and `value_too_large` (details.bytes).
 */
export function encodeValue(value: unknown, what: string): Payload {
  return encodeText(stringifyValue(value, what), what);
}

export function decodeValue(payload: Payload): unknown {
  return parseValue(decodeText(payload));
}

/** The text form inside a payload. Callers that compose several parts (journal events) use these. */
export function stringifyValue(value: unknown, what: string): string {
  try {
    return stringify(value, REDUCERS);
  } catch (error) {
    const path = error instanceof DevalueError ? error.path : '';
    const reason = error instanceof Error ? error.message : String(error);
    throw new DurableError(
      'value_not_serializable',
      `Cannot store ${what}: the value at "${path === '' ? '(root)' : path}" cannot be serialized (${reason}). Return plain data ` +
        '(objects, arrays, strings, numbers, Date, Map, Set, URL, bytes), or keep the object outside and return its id.',
      { cause: error, details: { path } },
    );
  }
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

export function encodeText(text: string, what: string): Payload {
  return tagged(TAG_TEXT, encoder.encode(text), what);
}

/** Bytes as they are, for streams of bytes. Throws `value_too_large`. */
export function encodeBytes(bytes: Uint8Array, what: string): Payload {
  return tagged(TAG_BYTES, bytes, what);
}

export function isBytes(payload: Payload): boolean {
  return payload[0] === TAG_BYTES;
}

export function decodeBytes(payload: Payload): Uint8Array {
  return payload.subarray(1);
}

function tagged(tag: number, body: Uint8Array, what: string): Payload {
  if (body.length > MAX_VALUE_BYTES) {
    throw new DurableError(
      'value_too_large',
      `Cannot store ${what}: it takes ${body.length} bytes and the limit is ${MAX_VALUE_BYTES}. Store the data elsewhere and return a reference to it.`,
      { details: { bytes: body.length, limit: MAX_VALUE_BYTES } },
    );
  }
  const payload = new Uint8Array(body.length + 1);
  payload[0] = tag;
  payload.set(body, 1);
  return payload;
}

export function decodeText(payload: Payload): string {
  if (payload[0] !== TAG_TEXT) {
    throw new DurableError(
      'value_corrupt',
      `Cannot read a stored value: its format tag is ${payload[0]}, and this release knows ${TAG_TEXT}. Was it written by a newer release?`,
    );
  }
  return decoder.decode(payload.subarray(1));
}

const REDUCERS = {
  Error: (value: unknown) => (value instanceof Error ? errorFields(value) : false),
};

const REVIVERS = {
  Error: (fields: ErrorFields) => reviveError(fields),
};

interface ErrorFields {
  name: string;
  message: string;
  stack: string | undefined;
  cause: unknown;
  brands: string[];
  own: Record<string, unknown>;
}

function errorFields(error: Error): ErrorFields {
  const own: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(error)) {
    if (key !== 'name' && key !== 'message' && key !== 'stack' && key !== 'cause' && isKeepable(value))
      own[key] = value;
  }
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    cause: isKeepable(error.cause) ? error.cause : undefined,
    brands: brandsOf(error),
    own,
  };
}

/** Fields of foreign errors may hold anything (sockets, requests): those that cannot be kept are left out, not fatal. */
function isKeepable(value: unknown): boolean {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol'))
    return true;
  try {
    stringify(value, REDUCERS);
    return true;
  } catch {
    return false;
  }
}

function brandsOf(error: Error): string[] {
  return Object.getOwnPropertySymbols(error)
    .map((symbol) => Symbol.keyFor(symbol))
    .filter((key): key is string => key !== undefined);
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
