/** How values cross the wire: payloads as one value of bytes, all else as JSON whose strings and numbers Postgres can hold. */

import type { Payload } from '../../runtime/store.ts';

/** Payloads of one call, one behind the other. */
export class Blobs {
  readonly #parts: Payload[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Where it stands: its beginning and its length. */
  add(payload: Payload): [at: number, length: number] {
    const at = this.#size;
    this.#parts.push(payload);
    this.#size += payload.length;
    return [at, payload.length];
  }

  addOrNull(payload: Payload | null): [at: number, length: number] | null {
    return payload === null ? null : this.add(payload);
  }

  bytes(): Uint8Array {
    return this.#parts.length === 1 ? (this.#parts[0] as Payload) : Buffer.concat(this.#parts, this.#size);
  }
}

const MOST_INTEGER = 2 ** 31 - 1;

/** An offset or a position; none that is stored is greater. */
export function toInteger(value: number): number {
  return Math.min(value, MOST_INTEGER);
}

/** A time, or a length of time, for a `bigint`: no earlier than it is given. */
export function toMillis(value: number): number {
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER));
}

/**
 * Postgres holds neither the character 0 nor half a surrogate pair; ids and names may have them. They are written as the escape
 * character and four hex digits, and so is the escape character itself. In JSON these are the escapes that `JSON.stringify` makes.
 */
const ESCAPES = /\\(?:u(0000|001b|d[89a-f][0-9a-f]{2})|.)/gs;
const ESCAPED = /\\(?:u001b(0000|001b|d[89a-f][0-9a-f]{2})|.)/gs;

export function toJson(value: unknown): string {
  const json = JSON.stringify(value);
  return json.includes('\\u')
    ? json.replace(ESCAPES, (whole, code: string | undefined) => (code === undefined ? whole : `\\u001b${code}`))
    : json;
}

export function fromJson(json: string): unknown {
  const text = json.includes('\\u001b')
    ? json.replace(ESCAPED, (whole, code: string | undefined) => (code === undefined ? whole : `\\u${code}`))
    : json;
  return JSON.parse(text) as unknown;
}

/** The same for a string that goes alone. */
export function toText(text: string): string {
  return JSON.parse(toJson(text)) as string;
}

/** The same for an array of strings, as a value of Postgres. */
export function toTextArray(texts: readonly string[]): string {
  const quoted = texts.map((text) => `"${toText(text).replaceAll(/["\\]/g, (character) => `\\${character}`)}"`);
  return `{${quoted.join(',')}}`;
}
