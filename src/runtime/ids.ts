/** Ids and randomness, the only place in `src` that reads them from the platform. Tests inject their own. */

import { monotonicFactory } from 'ulid';

export interface Ids {
  /** A new id that sorts by time: a ULID. */
  next(): string;
  /** A value that nobody can guess, for a claim or a commit. 26 characters. */
  nonce(): string;
  /** In [0, 1): jitter of retries. */
  random(): number;
}

/** Ids from the platform's random source. */
export function systemIds(): Ids {
  const next = monotonicFactory();
  return { next: () => next(), nonce: () => next(), random: () => Math.random() };
}

/** A generator with a seed (mulberry32, public domain), for values that must be the same on replay. Not for secrets. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A UUID of version 4 from 16 random values in [0, 1). */
export function uuidFrom(random: () => number): string {
  const bytes = Array.from({ length: 16 }, () => Math.floor(random() * 256));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Random bytes for a key. */
export function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}
