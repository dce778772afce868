/**
 * A stored chunk as text or bytes. It is stored as the text that `JSON.stringify` made, which has no raw line breaks; what else a parser
 * of lines could take for one is escaped here. So no content can end a line or a frame.
 */

import { decodeBytes, decodeText, isBytes } from '../runtime/codec.ts';
import type { Payload } from '../runtime/codec.ts';

/** JSON on one line. */
export function jsonText(payload: Payload): string {
  return escapeLines(isBytes(payload) ? JSON.stringify(bytesChunk(payload)) : decodeText(payload));
}

/** Bytes that user code wrote, where only JSON can be said: the part that the AI SDK has for data. */
export function bytesChunk(payload: Payload): unknown {
  return { type: 'data-bytes', data: toBase64(decodeBytes(payload)), transient: true };
}

/** Bytes as they were written, a text as UTF-8, and of anything else its JSON. */
export function rawBytes(payload: Payload): Uint8Array {
  if (isBytes(payload)) return decodeBytes(payload);
  const json = decodeText(payload);
  return new TextEncoder().encode(json.startsWith('"') ? (JSON.parse(json) as string) : json);
}

/** Without the stack's limit on arguments, and in few strings. */
export function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (let from = 0; from < bytes.length; from += BASE64_STRIDE) {
    binary += String.fromCharCode(...bytes.subarray(from, from + BASE64_STRIDE));
  }
  return btoa(binary);
}

const BASE64_STRIDE = 8_192;

const LINE_BREAKS = /[\r\n\u2028\u2029]/;
const EACH_LINE_BREAK = /[\r\n\u2028\u2029]/g;

export function escapeLines(json: string): string {
  if (!LINE_BREAKS.test(json)) return json;
  return json.replaceAll(EACH_LINE_BREAK, (found) => `\\u${(found.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`);
}
