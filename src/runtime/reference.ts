/**
 * What stands in the place of a large value: a payload with a tag of its own that names the parts of the value, and the id that they were put
 * under. The head of the value stands in it: an event is known by its header, without its parts.
 *
 * Layout: tag, then the id and the head, each after its length, then size and SHA-256 of each part; numbers have 32 bits, little endian.
 */

import { TAG_REFERENCE } from './codec.ts';
import type { Payload } from './codec.ts';
import { DurableError } from './errors.ts';

/** Payloads from this length on stand out of line. */
export const LARGE_BYTES = 65_536;

const HASH_BYTES = 32;
const NUMBER_BYTES = 4;

export interface PartReference {
  /** Hex. */
  hash: string;
  size: number;
}

export interface Reference {
  /** The parts were put under this id. */
  home: string;
  /** How the payload begins. */
  head: Uint8Array;
  parts: readonly PartReference[];
}

export function isReference(payload: Payload): boolean {
  return payload[0] === TAG_REFERENCE;
}

/** It stands out of line, or has to before it is stored. */
export function isLarge(payload: Payload): boolean {
  return payload.length >= LARGE_BYTES && !isReference(payload);
}

export function encodeReference({ home, head, parts }: Reference): Payload {
  const id = new TextEncoder().encode(home);
  const size = 1 + 2 * NUMBER_BYTES + id.length + head.length + parts.length * (NUMBER_BYTES + HASH_BYTES);
  const payload = new Uint8Array(size);
  const view = new DataView(payload.buffer);
  payload[0] = TAG_REFERENCE;
  let at = 1;
  const number = (value: number): void => {
    view.setUint32(at, value, true);
    at += NUMBER_BYTES;
  };
  for (const bytes of [id, head]) {
    number(bytes.length);
    payload.set(bytes, at);
    at += bytes.length;
  }
  for (const part of parts) {
    number(part.size);
    for (let index = 0; index < HASH_BYTES; index += 1)
      payload[at + index] = Number.parseInt(part.hash.slice(2 * index, 2 * index + 2), 16);
    at += HASH_BYTES;
  }
  return payload;
}

/** Throws `value_corrupt`. */
export function decodeReference(payload: Payload): Reference {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  let at = 1;
  const take = (length: number): Uint8Array => {
    if (at + length > payload.length) throw brokenReference();
    at += length;
    return payload.subarray(at - length, at);
  };
  const number = (): number => {
    take(NUMBER_BYTES);
    return view.getUint32(at - NUMBER_BYTES, true);
  };
  const home = new TextDecoder().decode(take(number()));
  const head = take(number());
  const parts: PartReference[] = [];
  while (at < payload.length) parts.push({ size: number(), hash: toHex(take(HASH_BYTES)) });
  return { home, head, parts };
}

/** Bytes of the payload that it stands for. */
export function sizeOf(reference: Payload): number {
  const { head, parts } = decodeReference(reference);
  return parts.reduce((size, part) => size + part.size, head.length);
}

export function toHex(bytes: Uint8Array): string {
  let hex = '';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return hex;
}

function brokenReference(): DurableError {
  return new DurableError(
    'value_corrupt',
    'Cannot read a large value: what refers to its parts is cut off. Restore the store from a backup.',
  );
}
