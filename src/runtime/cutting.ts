/**
 * Where a large value is cut into parts: by its content, so that what stands in two values (an image in an input and in a message of the
 * journal) is cut alike in both, whatever stands around it, and is stored once. Pure.
 */

import { MAX_PART_BYTES } from './store.ts';

/** Smaller ones cost more to find than they save. */
const MIN_PART_BYTES = 32_768;
/** Of the 32 bits that the last 32 bytes make: a cut every 64 KB. */
const CUT_BITS = 16;
const WINDOW = 32;

/** The end of the part that begins at `from`. */
export function cutAfter(bytes: Uint8Array, from: number): number {
  const end = Math.min(bytes.length, from + MAX_PART_BYTES);
  let rolling = 0;
  const first = from + MIN_PART_BYTES;
  // Hot: each byte of a large value.
  for (let at = first - WINDOW; at < end; at += 1) {
    rolling = ((rolling << 1) + (WEIGHTS[bytes[at] ?? 0] ?? 0)) | 0;
    if (at >= first && rolling >>> (32 - CUT_BITS) === 0) return at;
  }
  return end;
}

/** A number for each byte, any that look random; others would cut elsewhere, and store anew what is stored. */
const WEIGHTS: Int32Array = weights();

function weights(): Int32Array {
  const all = new Int32Array(256);
  let state = 0x9e3779b9;
  for (let index = 0; index < all.length; index += 1) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6a09e667;
    all[index] = state ^ (state >>> 13);
  }
  return all;
}
