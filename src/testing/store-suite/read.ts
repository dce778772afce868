/** S24, and S18 as far as it closes streams. */

import assert from 'node:assert/strict';
import { bytes, COMPLETED, describeOperation, texts } from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

const ALL = { from: 0, maxBytes: 1_000_000 };

/** Specs of `read`, the stream reader. */
export const describeRead: DescribeOperation = describeOperation('read', (spec) => {
  pages(spec);
  ends(spec);
});

function pages({ test }: Spec): void {
  test('a run that is not there is null, a stream that was never written to is empty', async ({ store, hold }) => {
    const held = await hold();
    assert.equal(await store.read('nobody', 'out', ALL), null);
    assert.deepEqual(await store.read(held.id, 'out', ALL), { chunks: [], from: 0, tail: 0, closed: false });
  });

  test('chunks stand at dense offsets whatever the flushes were, and each offset reads on from there', async ({
    store,
    hold,
  }) => {
    const held = await hold();
    const sizes = [1, 3, 2, 5, 1];
    let next = 0;
    for (const size of sizes) {
      const chunks = Array.from({ length: size }, () => bytes(`c${next++}`));
      assert.deepEqual((await held.apply({ chunks: [{ stream: 'out', chunks }] })).tails, { out: next });
    }
    const whole = Array.from({ length: next }, (_, index) => `c${index}`);
    for (let from = 0; from <= next; from += 1) {
      const page = await store.read(held.id, 'out', { ...ALL, from });
      assert.deepEqual([texts(page?.chunks ?? []), page?.from, page?.tail], [whole.slice(from), from, next]);
    }
  });

  test('an offset beyond the tail, however far, is an empty page that tells the tail', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ chunks: [{ stream: 'out', chunks: [bytes('a'), bytes('b')] }] });
    for (const from of [3, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      const page = await store.read(held.id, 'out', { ...ALL, from });
      assert.deepEqual(page, { chunks: [], from, tail: 2, closed: false });
    }
  });

  test('a page holds whole chunks up to its bytes, and at least one', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ chunks: [{ stream: 'out', chunks: ['aaaa', 'bbbb', 'cccc'].map(bytes) }] });
    await held.apply({ chunks: [{ stream: 'out', chunks: ['dddd'].map(bytes) }] });
    const page = async (from: number, maxBytes: number) =>
      texts((await store.read(held.id, 'out', { from, maxBytes }))?.chunks ?? []);
    assert.deepEqual(await page(0, 1), ['aaaa']);
    assert.deepEqual(await page(0, 8), ['aaaa', 'bbbb']);
    assert.deepEqual(await page(0, 11), ['aaaa', 'bbbb']);
    assert.deepEqual(await page(1, 12), ['bbbb', 'cccc', 'dddd']);
    assert.deepEqual(await page(3, 1), ['dddd']);
  });

  test('a stream of many small flushes is read as a whole', async ({ store, hold }) => {
    const held = await hold();
    const whole = Array.from({ length: 200 }, (_, index) => `c${index}`);
    for (const chunk of whole) await held.apply({ chunks: [{ stream: 'out', chunks: [bytes(chunk)] }] });
    assert.deepEqual(texts((await store.read(held.id, 'out', ALL))?.chunks ?? []), whole);
    assert.deepEqual(texts((await store.read(held.id, 'out', { ...ALL, from: 37 }))?.chunks ?? []), whole.slice(37));
  });

  test('an empty chunk is a chunk', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ chunks: [{ stream: 'out', chunks: [new Uint8Array(0), bytes('x')] }] });
    assert.deepEqual(texts((await store.read(held.id, 'out', ALL))?.chunks ?? []), ['', 'x']);
  });
}

function ends({ test }: Spec): void {
  test('a page is closed only if it reaches the end of a closed stream', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ chunks: [{ stream: 'out', chunks: ['aa', 'bb'].map(bytes), close: true }] });
    const closed = async (from: number, maxBytes: number) =>
      (await store.read(held.id, 'out', { from, maxBytes }))?.closed;
    assert.deepEqual(
      [await closed(0, 1), await closed(0, 100), await closed(1, 1), await closed(2, 1)],
      [false, true, true, true],
    );
  });

  test('the end of a run closes all its streams, also those that were never written to', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ chunks: [{ stream: 'out', chunks: [bytes('a')] }] });
    assert.equal((await store.read(held.id, 'out', ALL))?.closed, false);
    await held.apply({ chunks: [{ stream: 'out', chunks: [bytes('b')] }], then: COMPLETED });
    const page = await store.read(held.id, 'out', ALL);
    assert.deepEqual([texts(page?.chunks ?? []), page?.closed], [['a', 'b'], true]);
    assert.equal((await store.read(held.id, 'never', ALL))?.closed, true);
  });

  test('streams of one run, and of two runs, are apart', async ({ store, hold }) => {
    const one = await hold({ id: 'one' });
    const two = await hold({ id: 'two' });
    await one.apply({
      chunks: [
        { stream: 'a', chunks: [bytes('1a')] },
        { stream: 'b', chunks: [bytes('1b')] },
      ],
    });
    await two.apply({ chunks: [{ stream: 'a', chunks: [bytes('2a')] }] });
    const read = async (run: string, stream: string) => texts((await store.read(run, stream, ALL))?.chunks ?? []);
    assert.deepEqual(
      [await read('one', 'a'), await read('one', 'b'), await read('two', 'a'), await read('two', 'b')],
      [['1a'], ['1b'], ['2a'], []],
    );
  });
}
