/** Ids and randomness, the only place in `src` that reads them from the platform. Tests inject their own. */

import { monotonicFactory } from 'ulid';

export interface Ids {
  /** A new id that sorts by time: a ULID. */
  next(): string;
  /** A value that nobody can guess, for a claim or a commit: 128 random bits in hex. */
  nonce(): string;
  /** In [0, 1): jitter of retries. */
  random(): number;
}

/** Ids from the platform's random source. */
export function systemIds(): Ids {
  const next = monotonicFactory();
  return { next: () => next(), nonce: () => hexOf(randomBytes(16)), random: () => Math.random() };
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

/** A UUID of version 4 (RFC 9562, 5.4) from 32 hex digits or more. */
export function uuidFrom(hex: string): string {
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    variant + hex.slice(17, 20),
    hex.slice(20, 32),
  ];
  return parts.join('-');
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Random bytes for a key. */
export function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}
