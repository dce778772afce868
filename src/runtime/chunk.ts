/**
 * Chunks of a stream as bytes: JSON text under the codec's text tag, or bytes as they are. The text is what
 * `JSON.stringify` makes, so an encoder for HTTP can pass it on without parsing it.
 */

import { decodeBytes, decodeText, encodeBytes, encodeText, isBytes } from './codec.ts';
import type { Payload } from './codec.ts';
import { DurableError } from './errors.ts';

/**
 * Encodes a chunk as `JSON.stringify` would: undefined properties are left out, `toJSON` is called.
 * Throws `value_not_serializable` (details.path) for what has no JSON text (bigint, cycles, functions) and `value_too_large`.
 */
export function encodeChunk(value: unknown): Payload {
  if (value instanceof Uint8Array) return encodeBytes(value, 'a chunk of bytes');
  return encodeText(jsonText(value), 'a chunk');
}

/** The JSON value, or the bytes, of a chunk. Throws `value_corrupt`. */
export function decodeChunk(payload: Payload): unknown {
  if (isBytes(payload)) return decodeBytes(payload);
  const text = decodeText(payload);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new DurableError(
      'value_corrupt',
      'Cannot read a stream chunk: its text is not JSON. Restore the store from a backup.',
      {
        cause: error,
      },
    );
  }
}

/**
 * Throws `value_not_serializable` if reading the chunk back would silently give another value (Map, NaN, a function in an
 * object), beyond what `encodeChunk` refuses. For values that users write; chunks that the AI SDK made need no check.
 */
export function assertJson(value: unknown): void {
  const flaw = findFlaw(value, { path: '', strict: true, seen: [] });
  if (flaw !== undefined) throw notSerializable(flaw);
}

function jsonText(value: unknown): string {
  try {
    const text = JSON.stringify(value) as string | undefined;
    if (text !== undefined) return text;
  } catch (error) {
    throw notSerializable(
      findFlaw(value, { path: '', strict: false, seen: [] }) ?? { path: '', reason: String(error) },
      error,
    );
  }
  throw notSerializable({ path: '', reason: `it is ${typeof value}` });
}

interface Flaw {
  path: string;
  reason: string;
}

interface Walk {
  path: string;
  strict: boolean;
  /** The objects on the way here. */
  seen: object[];
}

function findFlaw(value: unknown, walk: Walk): Flaw | undefined {
  if (typeof value !== 'object' || value === null) {
    const reason = primitiveFlaw(value, walk.strict);
    return reason === undefined ? undefined : { path: walk.path, reason };
  }
  if (walk.seen.includes(value)) return { path: walk.path, reason: 'it contains itself' };
  if ('toJSON' in value && typeof value.toJSON === 'function') return undefined;
  if (walk.strict && !isPlain(value)) return { path: walk.path, reason: `it is a ${value.constructor.name}` };
  return findFlawInside(value, { ...walk, seen: [...walk.seen, value] });
}

function primitiveFlaw(value: unknown, strict: boolean): string | undefined {
  if (typeof value === 'bigint') return 'it is a bigint';
  if (!strict) return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `it is ${value}`;
  return value === null || typeof value === 'string' || typeof value === 'boolean'
    ? undefined
    : `it is ${typeof value}`;
}

function findFlawInside(value: object, walk: Walk): Flaw | undefined {
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined && !Array.isArray(value)) continue;
    const path = Array.isArray(value) ? `${walk.path}[${key}]` : `${walk.path}.${key}`;
    const found = findFlaw(item, { ...walk, path });
    if (found !== undefined) return found;
  }
  return undefined;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Array.isArray(value);
}

function notSerializable(flaw: Flaw, cause?: unknown): DurableError {
  const path = flaw.path === '' ? '(root)' : flaw.path;
  return new DurableError(
    'value_not_serializable',
    `Cannot write a chunk: the value at "${path}" is not JSON (${flaw.reason}). Write plain objects, arrays, strings, finite numbers, ` +
      'booleans and null, or a Uint8Array.',
    { details: { path: flaw.path }, ...(cause === undefined ? {} : { cause }) },
  );
}
