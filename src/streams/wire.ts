/** How stream positions look on the wire. Imports nothing, so that browsers can load it. */

/** The stream that agents write to and that `getWritable()` means. */
export const DEFAULT_STREAM = 'default';

const OFFSET_DIGITS = 16;

/**
 * An offset as 16 zero-padded decimal digits: it sorts as text, and serves as SSE `id:`, Durable Streams `offset` and
 * `startIndex` alike. It is the number of chunks before the position.
 */
export function encodeOffset(offset: number): string {
  return String(offset).padStart(OFFSET_DIGITS, '0');
}

/** Takes unpadded digits too. Undefined for anything else, and for numbers that JavaScript does not hold exactly. */
export function decodeOffset(text: string): number | undefined {
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const offset = Number(text);
  return Number.isSafeInteger(offset) ? offset : undefined;
}
