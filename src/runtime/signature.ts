/** Hashes and signatures, synchronous, by @noble/hashes: hook tokens are made inside synchronous user calls. */

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';

export function sha256Hex(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)));
}

/** Hex HMAC-SHA256. */
export function signHex(secret: Uint8Array, text: string): string {
  return bytesToHex(hmac(sha256, secret, utf8ToBytes(text)));
}

/** Whether `hex` is `signHex` of the text under the secret, in a time that does not tell how much of it is right. */
export function isSigned(text: string, { secret, hex }: { secret: string; hex: string }): boolean {
  const right = signHex(utf8ToBytes(secret), text);
  let difference = right.length ^ hex.length;
  for (let i = 0; i < right.length; i += 1) difference |= right.charCodeAt(i) ^ hex.charCodeAt(i);
  return difference === 0;
}

/** The secret's bytes as the runtime keeps them, whatever its length. */
export function secretBytes(secret: string): Uint8Array {
  return sha256(utf8ToBytes(secret));
}

export { bytesToHex, hexToBytes };
