/**
 * Large values, out of line: cut into parts, stored before what refers to them, and put together when somebody needs them.
 *
 *  L1 A reference is made when all parts are acknowledged, so whoever reads it finds them.
 *  L2 A part is one request, or several parts are one within the store's limit; between two the event loop is free.
 *  L3 What is not there, or has another size, is `value_corrupt`, which says how much of the value is missing.
 */

import type { Clock } from './clock.ts';
import type { Payload } from './codec.ts';
import { cutAfter } from './cutting.ts';
import { DurableError } from './errors.ts';
import { decodeReference, encodeReference, isReference, toHex } from './reference.ts';
import type { PartReference, Reference } from './reference.ts';
import type { Part, Store } from './store.ts';

/** How the store is asked: with a time-out, or again while it is worth it. */
export type AskStore = <T>(call: (store: Store) => Promise<T>) => Promise<T>;

export interface PutOptions {
  /** Bytes that the reference keeps: the tag at least. */
  head?: number;
  /** Hashes of parts that are under the id for certain; those that were put come to `put`. */
  known?: { has: (hash: string) => boolean; put: (hash: string) => void };
}

export class LargeValues {
  readonly #ask: AskStore;
  readonly #clock: Pick<Clock, 'settle'>;
  readonly #maxRequestBytes: number;

  constructor(store: Pick<Store, 'capabilities'>, { ask, clock }: { ask: AskStore; clock: Pick<Clock, 'settle'> }) {
    this.#ask = ask;
    this.#clock = clock;
    this.#maxRequestBytes = store.capabilities.maxRequestBytes;
  }

  /** Stores the parts of a payload under an id and answers what refers to them (L1). */
  async put(home: string, payload: Payload, { head = 1, known }: PutOptions = {}): Promise<Payload> {
    const parts: PartReference[] = [];
    let request: Part[] = [];
    let requested = 0;
    const send = async (): Promise<void> => {
      const sent = request;
      request = [];
      requested = 0;
      if (sent.length > 0) await this.#ask((store) => store.putParts(home, sent));
      for (const { hash } of sent) known?.put(hash);
    };
    for (let from = head; from < payload.length;) {
      const end = cutAfter(payload, from);
      const bytes = payload.subarray(from, end);
      const hash = await hashOf(bytes);
      parts.push({ hash, size: bytes.length });
      if (requested + bytes.length > this.#maxRequestBytes) await send(); // L2
      if (known?.has(hash) !== true && !request.some((part) => part.hash === hash)) {
        request.push({ hash, bytes });
        requested += bytes.length;
      }
      from = end;
    }
    await send();
    return encodeReference({ home, head: payload.subarray(0, head), parts });
  }

  /** The payload that a reference stands for; any other payload as it is. Throws `value_corrupt` (L3). */
  async expand(payload: Payload): Promise<Payload> {
    if (!isReference(payload)) return payload;
    const reference = decodeReference(payload);
    const { head, parts } = reference;
    const whole = new Uint8Array(parts.reduce((size, part) => size + part.size, head.length));
    whole.set(head);
    let at = head.length;
    for (const group of groupsOf(parts, this.#maxRequestBytes)) {
      await this.#clock.settle(); // L2
      const found = await this.#ask((store) =>
        store.getParts(
          reference.home,
          group.map(({ hash }) => hash),
        ),
      );
      for (const [index, { size }] of group.entries()) {
        const bytes = found[index];
        if (bytes?.length !== size) throw missingParts(reference);
        whole.set(bytes, at);
        at += size;
      }
    }
    return whole;
  }
}

async function hashOf(bytes: Uint8Array): Promise<string> {
  // A view of a shared buffer would be refused; parts are never that.
  return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)));
}

/** Neighbours that one request may ask for. */
function groupsOf(parts: readonly PartReference[], maxBytes: number): PartReference[][] {
  const groups: PartReference[][] = [];
  let bytes = Infinity;
  for (const part of parts) {
    bytes += part.size;
    if (bytes > maxBytes) {
      groups.push([]);
      bytes = part.size;
    }
    groups.at(-1)?.push(part);
  }
  return groups;
}

function missingParts({ home, parts }: Reference): DurableError {
  const bytes = parts.reduce((size, part) => size + part.size, 0);
  return new DurableError(
    'value_corrupt',
    `Cannot read a large value of "${home}" (${bytes} bytes in ${parts.length} parts): a part is missing in the store, or is not what was written. Restore the store from a backup.`,
    { details: { id: home, bytes, parts: parts.length } },
  );
}
