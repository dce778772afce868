/** Lua scripts, and what goes into them. */

import { sha1 } from '@noble/hashes/legacy.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { Payload } from '../../runtime/store.ts';
import { PRELUDE } from './prelude.ts';

export interface Script {
  name: string;
  source: string;
  sha: string;
}

/** A script of parts, in the order in which they need each other. */
export function toScript(name: string, parts: readonly string[]): Script {
  const source = [PRELUDE, ...parts].join('\n');
  return { name, source, sha: bytesToHex(sha1(utf8ToBytes(source))) };
}

/** A bulk string: bytes over TCP, text over REST. */
export type Bulk = Uint8Array | string;
export type Reply = null | number | Bulk | Reply[];

/** Payloads stand beside the text of a request, which says at which place. */
export type PlaceOf = (payload: Payload) => number;

/** A request: text with the places of its payloads. */
export interface Request {
  text: string;
  payloads: Payload[];
}

/** ARGV[1] is the environment, ARGV[2] the request, and payloads follow. */
const FIRST_PAYLOAD = 3;

/** Makes the text of a request. What is null or undefined is left out, so that Lua finds nil. */
export function toRequest(describe: (place: PlaceOf) => unknown): Request {
  const payloads: Payload[] = [];
  const described = describe((payload) => payloads.push(payload) - 1 + FIRST_PAYLOAD);
  const text = JSON.stringify(described, (_, value: unknown) => (value === null ? undefined : value));
  return { text: wellFormed(text), payloads };
}

/** JSON within the text of a request. */
export function toJson(value: unknown): string {
  return wellFormed(JSON.stringify(value));
}

/** Half of a surrogate pair, of a text that was cut, would make Lua refuse the whole request; no UTF-8 has it anyway. */
function wellFormed(json: string): string {
  if (!json.includes('\\ud')) return json;
  return json.replace(/\\\\|\\ud[89a-f][0-9a-f]{2}/g, (found) => (found === '\\\\' ? found : '\ufffd'));
}
