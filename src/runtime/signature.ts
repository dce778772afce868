/** Hashes and signatures, synchronous, by @noble/hashes: hook tokens are made inside synchronous user calls. */

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';

export function sha256Hex(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)));
}

/** Hex HMAC-SHA256. */
export function signHex(secret: Uint8Array, text: string): string {
  return bytesToHex(hmac(sha256, secret, utf8ToBytes(text)));
}

/** The secret's bytes as the runtime keeps them, whatever its length. */
export function secretBytes(secret: string): Uint8Array {
  return sha256(utf8ToBytes(secret));
}

export { bytesToHex };
