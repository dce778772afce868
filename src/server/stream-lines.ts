/** A run's stream for readers of lines and of server-sent events: each chunk with the offset after it, and an explicit end. Pure. */

import { decodeBytes, isBytes } from '../runtime/codec.ts';
import type { Payload } from '../runtime/codec.ts';
import type { StreamPage } from '../runtime/store.ts';
import { BYTES_EVENT, encodeOffset } from '../streams/wire.ts';
import { jsonText, toBase64 } from './chunk-text.ts';

/** One JSON object a line: `{"offset","chunk"}`, or `{"offset","base64"}` for bytes. */
export function encodeLines(page: StreamPage): Uint8Array {
  return encode(page, (payload, offset) => {
    const content = isBytes(payload) ? `"base64":"${toBase64(decodeBytes(payload))}"` : `"chunk":${jsonText(payload)}`;
    return `{"offset":"${offset}",${content}}\n`;
  });
}

/** The last line. `closed` is false if there may be more later: the reader did not want to wait for it. */
export function encodeLastLine(end: { offset: number; closed: boolean }): Uint8Array {
  return new TextEncoder().encode(`{"offset":"${encodeOffset(end.offset)}","closed":${end.closed}}\n`);
}

/** One event a chunk; bytes are named events, in base64. */
export function encodeEvents(page: StreamPage): Uint8Array {
  return encode(page, (payload, offset) =>
    isBytes(payload)
      ? `id: ${offset}\nevent: ${BYTES_EVENT}\ndata: ${toBase64(decodeBytes(payload))}\n\n`
      : `id: ${offset}\ndata: ${jsonText(payload)}\n\n`,
  );
}

function encode(page: StreamPage, toText: (payload: Payload, offset: string) => string): Uint8Array {
  const text = page.chunks.map((payload, index) => toText(payload, encodeOffset(page.from + index + 1))).join('');
  return new TextEncoder().encode(text);
}
