/**
 * The encodings of a stream's pages. A page is encoded once however many readers get it: readers at one offset share their pages
 * (streams/subscriptions.ts), and with them the bytes.
 */

import type { StreamPage } from '../runtime/store.ts';
import { encodeDataEvent } from './durable-streams.ts';
import type { ContentForm } from './durable-streams.ts';
import { encodeFrames, encodeMergedFrames, encodeRunFrames } from './frames.ts';
import { encodeEvents, encodeLines } from './stream-lines.ts';

export type EncodePage = (page: StreamPage) => Uint8Array;

export interface Encoders {
  frames: EncodePage;
  mergedFrames: EncodePage;
  /** A page is of one run. */
  runFrames: (page: StreamPage, run: string) => Uint8Array;
  lines: EncodePage;
  events: EncodePage;
  /** Of the Durable Streams protocol. */
  dataEvents: Record<ContentForm, EncodePage>;
}

/** Remembers what it encoded for as long as somebody has the page. */
export function createEncoders(): Encoders {
  return {
    frames: shared(encodeFrames),
    mergedFrames: shared(encodeMergedFrames),
    runFrames: shared(encodeRunFrames),
    lines: shared(encodeLines),
    events: shared(encodeEvents),
    dataEvents: {
      json: shared((page) => encodeDataEvent(page, 'json')),
      text: shared((page) => encodeDataEvent(page, 'text')),
      bytes: shared((page) => encodeDataEvent(page, 'bytes')),
    },
  };
}

function shared<MORE extends unknown[]>(
  encode: (page: StreamPage, ...more: MORE) => Uint8Array,
): (page: StreamPage, ...more: MORE) => Uint8Array {
  const known = new WeakMap<StreamPage, Uint8Array>();
  return (page, ...more) => {
    let bytes = known.get(page);
    if (bytes === undefined) {
      bytes = encode(page, ...more);
      known.set(page, bytes);
    }
    return bytes;
  };
}
