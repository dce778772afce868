/**
 * Neighbouring chunks of a stream in few bytes, for stores that keep several in one row. Most chunks of an answer differ from
 * the one before in a word; so a chunk is kept as what it does not share with a base: so many bytes of the base's beginning, its own
 * middle, so many bytes of the base's end. It knows nothing of what the bytes mean.
 *
 *  K1 Unpacking gives the bytes that were packed, chunk by chunk, whatever they are.
 *  K2 A pack stands alone: its first chunk is whole. More chunks are added to its end without touching what is there.
 *  K3 Chunks from the n-th on are read without making those before.
 *
 * A pack is a sequence of entries of varints (7 bits a byte, low ones first) and bytes: `0, length, bytes` is a whole chunk, the base
 * of those after it; `1 + shared beginning, shared end, length, bytes` is a chunk that shares with the base.
 */

import type { Payload } from '../runtime/store.ts';

/** Longer chunks are no base: comparing with them would cost more than it saves. */
const MAX_BASE_BYTES = 512;
/** A chunk with less of its own than this is not worth a new base. */
const OWN_BYTES = 16;
/** Nor is one that shares this part of its bytes. */
const SHARED_PART = 0.75;
/** Nor is one that shares hardly more with the chunk before it. */
const WORTH_BYTES = 8;
/** Three varints of 32 bits. */
const MAX_HEADER_BYTES = 15;

export interface Pack {
  /** How many chunks were packed. */
  count: number;
  bytes: Uint8Array;
  /** What further chunks share with; null if they begin with a whole one. */
  base: Payload | null;
}

export interface PackOptions {
  /** Index of the first chunk to pack. */
  start: number;
  /** Of the pack that this goes to the end of; null for a new one. */
  base: Payload | null;
  /** Packs no chunk beyond so many bytes. A new pack takes one chunk whatever it takes. */
  maxBytes: number;
  /** This goes to the end of a pack. */
  appends: boolean;
}

/** Packs chunks. One per store: it keeps the space that it works in. */
export class ChunkPacker {
  #buffer = new Uint8Array(4_096);
  #size = 0;

  pack(chunks: readonly Payload[], { start, base, maxBytes, appends }: PackOptions): Pack {
    this.#size = 0;
    let next = base;
    let count = 0;
    for (let index = start; index < chunks.length; index += 1) {
      const chunk = chunks[index] as Payload;
      const before = this.#size;
      const after = this.#add(chunk, { base: next, previous: index > start ? chunks[index - 1] : undefined });
      if (this.#size > maxBytes && (appends || count > 0)) {
        this.#size = before;
        break;
      }
      next = after;
      count += 1;
    }
    return { count, bytes: this.#buffer.slice(0, this.#size), base: next };
  }

  /** Hot: each chunk of each stream (bench `stream`). Answers the base of the chunk after it. */
  #add(chunk: Payload, { base, previous }: { base: Payload | null; previous: Payload | undefined }): Payload | null {
    this.#reserve(chunk.length + MAX_HEADER_BYTES);
    if (base !== null) {
      const head = sharedHead(chunk, base);
      const tail = sharedTail(chunk, { base, head });
      const own = chunk.length - head - tail;
      if (own <= OWN_BYTES || isGood(chunk, { shared: head + tail, previous })) {
        this.#number(head + 1);
        this.#number(tail);
        this.#bytes(chunk, head, own);
        return base;
      }
    }
    this.#number(0);
    this.#bytes(chunk, 0, chunk.length);
    return chunk.length <= MAX_BASE_BYTES ? chunk : null;
  }

  #number(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#size++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[this.#size++] = rest;
  }

  #bytes(chunk: Payload, from: number, length: number): void {
    this.#number(length);
    copy({ from: chunk, at: from, length }, this.#buffer, this.#size);
    this.#size += length;
  }

  #reserve(bytes: number): void {
    const needed = this.#size + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#buffer.length));
    larger.set(this.#buffer.subarray(0, this.#size));
    this.#buffer = larger;
  }
}

/** The chunks of a pack from the n-th on (K3), as many as `take` wants: it is told the size of each, and false ends it. */
export function unpackChunks(
  pack: Uint8Array,
  { from, take = () => true }: { from: number; take?: (bytes: number) => boolean },
): Payload[] {
  const chunks: Payload[] = [];
  const entries = new Entries(pack);
  let space = EMPTY;
  let used = 0;
  for (let index = 0; entries.next(); index += 1) {
    if (index < from) continue;
    const { length, whole } = entries;
    if (!take(length)) break;
    if (whole !== null) {
      chunks.push(whole);
      continue;
    }
    if (used + length > space.length) {
      space = new Uint8Array(entries.isLast ? length : Math.max(length, SPACE_BYTES));
      used = 0;
    }
    entries.read(space, used);
    chunks.push(space.subarray(used, used + length));
    used += length;
  }
  return chunks;
}

/** Chunks share it: making an array for each takes longer than filling it. */
const SPACE_BYTES = 4_096;
const EMPTY = new Uint8Array(0);

/** Goes through a pack entry by entry. */
class Entries {
  readonly #pack: Uint8Array;
  #at = 0;
  #head = 0;
  #tail = 0;
  #own = 0;
  #ownAt = 0;
  /** What the chunks that come share with. */
  base: Uint8Array;

  constructor(pack: Uint8Array) {
    this.#pack = pack;
    this.base = pack.subarray(0, 0);
  }

  /** Of the chunk. */
  get length(): number {
    return this.#head + this.#own + this.#tail;
  }

  next(): boolean {
    if (this.#at >= this.#pack.length) return false;
    const first = this.#number();
    this.#head = first === 0 ? 0 : first - 1;
    this.#tail = first === 0 ? 0 : this.#number();
    this.#own = this.#number();
    this.#ownAt = this.#at;
    this.#at += this.#own;
    if (first === 0) this.base = this.#pack.subarray(this.#ownAt, this.#at);
    return true;
  }

  /** The chunk, if it stands there as it is. */
  get whole(): Payload | null {
    return this.#head + this.#tail === 0 ? this.#pack.subarray(this.#ownAt, this.#at) : null;
  }

  get isLast(): boolean {
    return this.#at >= this.#pack.length;
  }

  /** Writes the chunk. */
  read(into: Uint8Array, at: number): void {
    const { base } = this;
    copy({ from: base, at: 0, length: this.#head }, into, at);
    copy({ from: this.#pack, at: this.#ownAt, length: this.#own }, into, at + this.#head);
    copy({ from: base, at: base.length - this.#tail, length: this.#tail }, into, at + this.#head + this.#own);
  }

  #number(): number {
    let value = 0;
    let shift = 0;
    for (;;) {
      const byte = this.#pack[this.#at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte <= 0x7f) return value;
      shift += 7;
    }
  }
}

function sharedHead(chunk: Payload, base: Payload): number {
  const most = Math.min(chunk.length, base.length);
  let shared = 0;
  while (shared < most && chunk[shared] === base[shared]) shared += 1;
  return shared;
}

/** Whether the base is as good as a new one would be: what the next chunks are like is seen by the one before. */
function isGood(chunk: Payload, { shared, previous }: { shared: number; previous: Payload | undefined }): boolean {
  if (previous === undefined) return shared >= chunk.length * SHARED_PART;
  const head = sharedHead(chunk, previous);
  return shared + WORTH_BYTES > head + sharedTail(chunk, { base: previous, head });
}

/** Of what is left behind the shared beginning. */
function sharedTail(chunk: Payload, { base, head }: { base: Payload; head: number }): number {
  const most = Math.min(chunk.length, base.length) - head;
  let shared = 0;
  while (shared < most && chunk[chunk.length - 1 - shared] === base[base.length - 1 - shared]) shared += 1;
  return shared;
}

/** Entering `set` takes longer than to copy a few bytes. */
const FEW_BYTES = 64;

function copy(
  { from, at, length }: { from: Uint8Array; at: number; length: number },
  to: Uint8Array,
  into: number,
): void {
  if (length > FEW_BYTES) {
    to.set(from.subarray(at, at + length), into);
    return;
  }
  for (let index = 0; index < length; index += 1) to[into + index] = from[at + index] as number;
}
