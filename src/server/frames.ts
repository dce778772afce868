/** Chunks as server-sent events of a chat. Pure. */

import type { UIMessageChunk } from 'ai';
import { isBytes } from '../runtime/codec.ts';
import type { StreamPage } from '../runtime/store.ts';
import { decodeChunk } from '../runtime/chunk.ts';
import { mergeItems } from '../streams/fold.ts';
import { DONE, encodeOffset, encodePosition } from '../streams/wire.ts';
import { bytesChunk, escapeLines, jsonText } from './chunk-text.ts';

const encoder = new TextEncoder();

/** The chunks of a page, each with the offset after it as its id. */
export function encodeFrames(page: StreamPage): Uint8Array {
  return join(numbered(page), encodeOffset);
}

/** With neighbouring deltas merged, for a reader that does not count. */
export function encodeMergedFrames(page: StreamPage): Uint8Array {
  return join(mergedChunks(page), encodeOffset);
}

/** With positions in a thread as ids, deltas merged. */
export function encodeRunFrames(page: StreamPage, run: string): Uint8Array {
  return join(mergedChunks(page), (offset) => encodePosition({ run, offset }));
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
  const items = page.chunks.map((payload, index) => ({
    chunk: isBytes(payload) ? bytesChunk(payload) : decodeChunk(payload),
    after: page.from + index + 1,
  }));
  return mergeItems(items).map(({ chunk, after }) => ({ text: escapeLines(JSON.stringify(chunk)), after }));
}
