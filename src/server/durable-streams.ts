/**
 * The read side of the Durable Streams protocol (https://github.com/durable-streams/durable-streams, PROTOCOL.md) over a page of a run's
 * stream: its headers, bodies and events. Pure.
 */

import type { Payload } from '../runtime/codec.ts';
import type { StreamPage } from '../runtime/store.ts';
import { encodeOffset, NEXT_OFFSET_HEADER } from '../streams/wire.ts';
import { jsonText, rawBytes, toBase64 } from './chunk-text.ts';

const UP_TO_DATE_HEADER = 'stream-up-to-date';
const CLOSED_HEADER = 'stream-closed';
export const CURSOR_HEADER = 'stream-cursor';
export const DATA_ENCODING_HEADER = 'stream-sse-data-encoding';

/** A stream's content type decides how its chunks become a body. */
export type ContentForm = 'json' | 'text' | 'bytes';

export function formOf(contentType: string): ContentForm {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type === 'application/json') return 'json';
  return type.startsWith('text/') ? 'text' : 'bytes';
}

export function endOf(page: StreamPage): number {
  return page.from + page.chunks.length;
}

/** What there is of the stream has been read at the end of this page. */
export function isUpToDate(page: StreamPage): boolean {
  return endOf(page) >= page.tail;
}

/** Where a reader of this page stands: protocol, 5.6. */
export function positionHeaders(page: StreamPage): Record<string, string> {
  return {
    [NEXT_OFFSET_HEADER]: encodeOffset(endOf(page)),
    ...(isUpToDate(page) ? { [UP_TO_DATE_HEADER]: 'true' } : {}),
    ...(page.closed ? { [CLOSED_HEADER]: 'true' } : {}),
  };
}

/** Chunks never change, so a range of them names their bytes; that nothing follows them is news, though. */
export function entityTag(page: StreamPage, form: ContentForm): string {
  return `"${form}:${page.from}:${endOf(page)}${page.closed ? ':closed' : ''}"`;
}

/** RFC 9110, 13.1.2: any of a list; proxies that compress make tags weak. */
export function matchesTag(ifNoneMatch: string | null, tag: string): boolean {
  if (ifNoneMatch === null) return false;
  return ifNoneMatch.split(',').some((each) => ['*', tag].includes(each.trim().replace(/^W\//, '')));
}

/** The chunks of a page as a body: an array of messages, or their bytes one after the other. */
export function encodeBody(page: StreamPage, form: ContentForm): Uint8Array<ArrayBuffer> {
  return form === 'json' ? new TextEncoder().encode(jsonArray(page)) : concat(page.chunks.map(rawBytes));
}

/** The chunks of a page as a `data` event. */
export function encodeDataEvent(page: StreamPage, form: ContentForm): Uint8Array {
  return new TextEncoder().encode(`event: data\n${dataLines(page, form)}\n`);
}

/**
 * How many chunks of a page come before the one in which a character begins that is not whole, nor a line break of two: an event is
 * a text of its own, and what follows would not complete it.
 */
export function countWhole({ chunks }: StreamPage): number {
  let seen = 0;
  for (let index = chunks.length - 1; index >= 0; index -= 1) {
    const bytes = rawBytes(chunks[index] as Payload);
    for (let at = bytes.length - 1; at >= 0; at -= 1) {
      const byte = bytes[at] ?? 0;
      seen += 1;
      const isContinuation = byte >= 0x80 && byte < 0xc0;
      if (!isContinuation || seen === LONGEST_CHARACTER) return seen < lengthFrom(byte) ? index : chunks.length;
    }
  }
  return chunks.length;
}

const LONGEST_CHARACTER = 4;

/** Of a character in UTF-8, by its first byte; of the two of a line break. */
function lengthFrom(byte: number): number {
  if (byte === 0x0d) return 2;
  if (byte < 0xc2 || byte > 0xf4) return 1;
  if (byte < 0xe0) return 2;
  return byte < 0xf0 ? 3 : 4;
}

export interface ControlEvent {
  page: StreamPage;
  cursor: string;
}

/** What follows each `data` event. Its id makes an `EventSource` resume, which knows nothing of offsets. */
export function encodeControlEvent({ page, cursor }: ControlEvent): Uint8Array {
  const offset = encodeOffset(endOf(page));
  const control = {
    streamNextOffset: offset,
    // Nobody comes back to a closed stream.
    ...(page.closed ? {} : { streamCursor: cursor }),
    ...(isUpToDate(page) ? { upToDate: true } : {}),
    ...(page.closed ? { streamClosed: true } : {}),
  };
  return new TextEncoder().encode(`id: ${offset}\nevent: control\ndata:${JSON.stringify(control)}\n\n`);
}

const CURSOR_EPOCH = Date.UTC(2024, 9, 9);
const CURSOR_INTERVAL_MS = 20_000;
const MOST_JITTER = 180;

/**
 * The number of an interval of time, and always later than the one that the reader brought (with jitter): so a cache never gives a
 * reader the same answer twice. Protocol, 10.1.
 */
export function nextCursor(brought: string | undefined, { now, random }: { now: number; random: number }): string {
  const current = Math.floor((now - CURSOR_EPOCH) / CURSOR_INTERVAL_MS);
  const last = /^\d{1,15}$/.test(brought ?? '') ? Number(brought) : -1;
  return String(last < current ? current : last + 1 + Math.floor(random * MOST_JITTER));
}

function jsonArray(page: StreamPage): string {
  return `[${page.chunks.map(jsonText).join(',')}]`;
}

function dataLines(page: StreamPage, form: ContentForm): string {
  if (form === 'json') return `data:${jsonArray(page)}\n`;
  const bytes = concat(page.chunks.map(rawBytes));
  if (form === 'bytes') return `data:${toBase64(bytes)}\n`;
  const lines = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes).split(/\r\n|[\r\n]/);
  return lines.map((line) => `data:${line}\n`).join('');
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
