import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkPacker, unpackChunks } from '../../src/stores/packing.ts';
import type { PackOptions } from '../../src/stores/packing.ts';

const NEW: PackOptions = { start: 0, base: null, maxBytes: Infinity, appends: false };
const encoder = new TextEncoder();

function delta(id: string, text: string): Uint8Array {
  return encoder.encode(`\u0001${JSON.stringify({ type: 'text-delta', id, delta: text })}`);
}

const chunk: fc.Arbitrary<Uint8Array> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.constantFrom('a', 'b', 'part-1', 'part-2'), fc.string())
      .map(([id, text]) => delta(id, text)),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.nat(2_000).map((length) => new Uint8Array(length).fill(7)) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme' }).map((text) => delta('é', text)) },
);
const chunks = fc.array(chunk, { maxLength: 60, size: 'max' });

describe('packed chunks', () => {
  it('are what was packed, from every one of them on', () => {
    fc.assert(
      fc.property(chunks, (given) => {
        const pack = new ChunkPacker().pack(given, NEW);
        expect(pack.count).toBe(given.length);
        for (let from = 0; from <= given.length; from += 1)
          expect(unpackChunks(pack.bytes, { from })).toEqual(given.slice(from));
      }),
      { numRuns: 60 },
    );
  });

  it('are the same however they are cut into flushes and packs', () => {
    fc.assert(
      fc.property(fc.array(chunks, { maxLength: 8 }), fc.integer({ min: 1, max: 600 }), (flushes, maxBytes) => {
        const packer = new ChunkPacker();
        const packs: Uint8Array[] = [];
        let base: Uint8Array | null = null;
        for (const flush of flushes) {
          let start = 0;
          const last = packs.at(-1);
          if (last !== undefined) {
            const grown = packer.pack(flush, { start, base, maxBytes: maxBytes - last.length, appends: true });
            packs[packs.length - 1] = Uint8Array.of(...last, ...grown.bytes);
            base = grown.base;
            start = grown.count;
          }
          while (start < flush.length) {
            const pack = packer.pack(flush, { start, base: null, maxBytes, appends: false });
            expect(pack.count).toBeGreaterThan(0);
            packs.push(pack.bytes);
            base = pack.base;
            start += pack.count;
          }
        }
        expect(packs.flatMap((pack) => unpackChunks(pack, { from: 0 }))).toEqual(flushes.flat());
      }),
      { numRuns: 60 },
    );
  });

  it('take few bytes more than their own text', () => {
    const words = Array.from({ length: 1_000 }, (_, index) => ` word${index % 100}`);
    const pack = new ChunkPacker().pack(
      words.map((word) => delta('msg_0123456789abcdef', word)),
      NEW,
    );
    expect(pack.bytes.length / words.length).toBeLessThan(10);
  });

  it('are taken as long as there is room for them', () => {
    const given = Array.from({ length: 10 }, (_, index) => delta('a', `word ${index}`));
    const pack = new ChunkPacker().pack(given, NEW);
    let left = 3;
    expect(unpackChunks(pack.bytes, { from: 4, take: () => left-- > 0 })).toEqual(given.slice(4, 7));
  });
});
