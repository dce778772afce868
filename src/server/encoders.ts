/** The encodings of a stream's pages. Readers of one place share a page, and with it the bytes: each is encoded once. */

import type { StreamPage } from '../runtime/store.ts';
import { encodeDataEvent } from './durable-streams.ts';
import type { ContentForm } from './durable-streams.ts';
import { once } from './frames.ts';
import { encodeEvents, encodeLines } from './stream-lines.ts';

export type EncodePage = (page: StreamPage) => Uint8Array;

export interface Encoders {
  lines: EncodePage;
  events: EncodePage;
  /** Of the Durable Streams protocol. */
  dataEvents: Record<ContentForm, EncodePage>;
}

/** Remembers what it encoded for as long as somebody has the page. */
export function createEncoders(): Encoders {
  const shared = (encode: EncodePage): EncodePage => {
    const known = new WeakMap<StreamPage, Uint8Array>();
    return (page) => once(known, page, () => encode(page));
  };
  return {
    lines: shared(encodeLines),
    events: shared(encodeEvents),
    dataEvents: {
      json: shared((page) => encodeDataEvent(page, 'json')),
      text: shared((page) => encodeDataEvent(page, 'text')),
      bytes: shared((page) => encodeDataEvent(page, 'bytes')),
    },
  };
}
