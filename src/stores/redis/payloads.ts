/** Payloads behind their mark (R3), and text. */

import type { Payload } from '../../runtime/store.ts';
import type { Bulk, Reply } from './script.ts';

const decoder = new TextDecoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

const RAW = 0x72;
const TEXT = 0x74;

/** For a client that sends bytes. */
export function toMarkedBytes(payload: Payload): Uint8Array {
  const marked = new Uint8Array(payload.length + 1);
  marked[0] = RAW;
  marked.set(payload, 1);
  return marked;
}

/** For a client that can only send text. */
export function toMarkedText(payload: Payload): string {
  try {
    return `t${strict.decode(payload)}`;
  } catch {
    return toMarkedBase64(payload);
  }
}

export function toMarkedBase64(payload: Payload): string {
  return `6${toBase64(payload)}`;
}

export function toPayload(reply: Reply): Payload {
  const bulk = reply as Bulk;
  if (typeof bulk === 'string') return bulk.startsWith('t') ? encoder.encode(bulk.slice(1)) : fromBase64(bulk.slice(1));
  const body = bulk.subarray(1);
  // A copy: a view would keep all that the socket brought with it.
  return bulk[0] === RAW || bulk[0] === TEXT ? new Uint8Array(body) : fromBase64(decoder.decode(body));
}

export function toPayloadOrNull(reply: Reply): Payload | null {
  return reply === null ? null : toPayload(reply);
}

export function toPayloads(reply: Reply): Payload[] {
  return (reply as Reply[]).map(toPayload);
}

export function toText(reply: Reply): string {
  if (reply instanceof Uint8Array) return decoder.decode(reply);
  return String(reply);
}

/** Spreading more at once would overflow the stack. */
const PART = 8_192;

function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (let at = 0; at < bytes.length; at += PART) binary += String.fromCharCode(...bytes.subarray(at, at + PART));
  return btoa(binary);
}

function fromBase64(text: string): Uint8Array {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes;
}
