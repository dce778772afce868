/**
 * Chunks as server-sent events. A page is encoded once however many readers get it: readers at one offset share their pages
 * (streams/subscriptions.ts), and with them the bytes.
 */

import type { UIMessageChunk } from 'ai';
import { isBytes } from '../runtime/codec.ts';
import type { StreamPage } from '../runtime/store.ts';
import { decodeChunk } from '../runtime/chunk.ts';
import { mergeDeltas } from '../streams/fold.ts';
import { DONE, encodeOffset, encodePosition } from '../streams/wire.ts';
import { bytesChunk, escapeLines, jsonText } from './chunk-text.ts';

export interface Frames {
  /** The chunks of a page, each with the offset after it as its id. */
  page(page: StreamPage): Uint8Array;
  /** With neighbouring deltas merged, for a reader that does not count. */
  merged(page: StreamPage): Uint8Array;
  /** With positions in a thread as ids, deltas merged. */
  ofRun(page: StreamPage, run: string): Uint8Array;
}

const encoder = new TextEncoder();

/** Remembers what it encoded for as long as somebody has the page. */
export function createFrames(): Frames {
  const plain = new WeakMap<StreamPage, Uint8Array>();
  const merged = new WeakMap<StreamPage, Uint8Array>();
  const ofRuns = new WeakMap<StreamPage, Uint8Array>();
  return {
    page: (page) => once(plain, page, () => join(numbered(page), encodeOffset)),
    merged: (page) => once(merged, page, () => join(mergedChunks(page), encodeOffset)),
    ofRun: (page, run) =>
      once(ofRuns, page, () => join(mergedChunks(page), (offset) => encodePosition({ run, offset }))),
  };
}

/** A chunk that is not stored: it has no id, and a client that comes back gets it again. */
export function unstoredFrame(chunk: UIMessageChunk): string {
  return `data: ${escapeLines(JSON.stringify(chunk))}\n\n`;
}

export function eventFrame(event: string, data: unknown, id?: string): string {
  const line = escapeLines(JSON.stringify(data));
  return `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${line}\n\n`;
}

export const DONE_FRAME: string = `data: ${DONE}\n\n`;
export const OPENING: Uint8Array = encoder.encode(': open\n\n');
export const HEARTBEAT: Uint8Array = encoder.encode(': heartbeat\n\n');

export function toBytes(text: string): Uint8Array {
  return encoder.encode(text);
}

interface NumberedText {
  text: string;
  /** The offset after it. */
  after: number;
}

/** The bytes of a page, which readers of one place share. */
export function once(known: WeakMap<StreamPage, Uint8Array>, page: StreamPage, encode: () => Uint8Array): Uint8Array {
  let bytes = known.get(page);
  if (bytes === undefined) {
    bytes = encode();
    known.set(page, bytes);
  }
  return bytes;
}

function join(chunks: readonly NumberedText[], idOf: (offset: number) => string): Uint8Array {
  let text = '';
  for (const chunk of chunks) text += `id: ${idOf(chunk.after)}\ndata: ${chunk.text}\n\n`;
  return encoder.encode(text);
}

function numbered(page: StreamPage): NumberedText[] {
  return page.chunks.map((payload, index) => ({ text: jsonText(payload), after: page.from + index + 1 }));
}

function mergedChunks(page: StreamPage): NumberedText[] {
  if (page.chunks.length < 2) return numbered(page);
  const chunks = page.chunks.map((payload) => (isBytes(payload) ? bytesChunk(payload) : decodeChunk(payload)));
  const merged: NumberedText[] = [];
  let from = 0;
  while (from < chunks.length) {
    const run = sameDeltas(chunks, from);
    const [chunk] = mergeDeltas(chunks.slice(from, from + run) as UIMessageChunk[]);
    from += run;
    merged.push({ text: escapeLines(JSON.stringify(chunk)), after: page.from + from });
  }
  return merged;
}

/** How many chunks from here on are deltas of one part. */
function sameDeltas(chunks: readonly unknown[], from: number): number {
  const first = partOf(chunks[from]);
  if (first === undefined) return 1;
  let end = from + 1;
  while (end < chunks.length && partOf(chunks[end]) === first) end += 1;
  return end - from;
}

function partOf(chunk: unknown): string | undefined {
  const { type, id, toolCallId, providerMetadata } = chunk as Record<string, unknown>;
  if (providerMetadata !== undefined) return undefined;
  if (type === 'text-delta' || type === 'reasoning-delta') return `${type}:${String(id)}`;
  return type === 'tool-input-delta' ? `${type}:${String(toolCallId)}` : undefined;
}
