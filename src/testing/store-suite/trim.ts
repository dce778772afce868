/** S27, and S24 as far as it tells what was removed. */

import assert from 'node:assert/strict';
import type { Store, TrimRequest } from '../../runtime/store.ts';
import { bytes, describeOperation, texts } from './kit.ts';
import type { DescribeOperation, Holder, Spec } from './kit.ts';

const HOUR_MS = 3_600_000;

/** Specs of `trim`. */
export const describeTrim: DescribeOperation = describeOperation('trim', (spec) => {
  byCount(spec);
  byAge(spec);
  choice(spec);
  turns(spec);
});

async function trimAll(store: Store, change: Partial<TrimRequest>): Promise<number> {
  let removed = 0;
  for (let cursor: string | null | undefined; cursor !== null;) {
    const answer = await store.trim({
      spare: [],
      limit: 100,
      ...change,
      ...(cursor === undefined ? {} : { cursor }),
    });
    removed += answer.removed;
    cursor = answer.cursor;
  }
  return removed;
}

function numbered(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `c${from + index}`);
}

async function write(held: Holder, texted: string[]): Promise<void> {
  for (const text of texted) await held.apply({ chunks: [{ stream: 'out', chunks: [bytes(text)] }] });
}

async function read(store: Store, from: number, run = 'run_1') {
  const page = await store.read(run, 'out', { from, maxBytes: 1_000_000 });
  return page?.expired ?? { chunks: texts(page?.chunks ?? []), tail: page?.tail, closed: page?.closed };
}

function byCount({ test, durable }: Spec): void {
  test('all but the newest chunks are removed, and offsets stay', async ({ store, hold }) => {
    const held = await hold();
    await write(held, numbered(0, 30));
    assert.equal(await trimAll(store, { keep: 10 }), 20);
    assert.deepEqual(await read(store, 20), { chunks: numbered(20, 10), tail: 30, closed: false });
    assert.deepEqual(await read(store, 25), { chunks: numbered(25, 5), tail: 30, closed: false });
    await write(held, numbered(30, 3));
    assert.deepEqual(await read(store, 29), { chunks: numbered(29, 4), tail: 33, closed: false });
  });

  test('a read below what is kept says from where on it may read, and why', async ({ store, hold }) => {
    const held = await hold();
    await write(held, numbered(0, 5));
    await held.end();
    await trimAll(store, { keep: 2 });
    for (const from of [0, 2])
      assert.deepEqual(await store.read(held.id, 'out', { from, maxBytes: 100 }), {
        chunks: [],
        from,
        tail: 5,
        closed: false,
        expired: { before: 3, reason: 'count' },
      });
    assert.deepEqual(await read(store, 3), { chunks: ['c3', 'c4'], tail: 5, closed: true });
    assert.equal(await trimAll(store, { keep: 2 }), 0);
  });

  test('a stream may lose all that it has, and go on', async ({ store, hold }) => {
    const held = await hold();
    await write(held, numbered(0, 4));
    assert.equal(await trimAll(store, { keep: 0 }), 4);
    assert.deepEqual(await read(store, 4), { chunks: [], tail: 4, closed: false });
    await write(held, ['c4']);
    assert.deepEqual(await read(store, 4), { chunks: ['c4'], tail: 5, closed: false });
    assert.deepEqual(await read(store, 3), { before: 4, reason: 'count' });
  });

  durable('what was removed stays removed when the store is opened again', async (kit) => {
    await write(await kit.hold(), numbered(0, 5));
    await trimAll(kit.store, { keep: 1 });
    const store = await kit.reopen();
    assert.deepEqual(await read(store, 0), { before: 4, reason: 'count' });
    assert.deepEqual(await read(store, 4), { chunks: ['c4'], tail: 5, closed: false });
  });
}

function byAge({ timed }: Spec): void {
  timed('what is older is removed, at the latest an hour later; what is younger stays', async (kit) => {
    const { store } = kit;
    const held = await kit.hold();
    await write(held, numbered(0, 3));
    await kit.advance(2 * HOUR_MS);
    await write(held, numbered(3, 3));
    assert.equal(await trimAll(store, { olderThanMs: 3 * HOUR_MS }), 0);
    await kit.advance(2 * HOUR_MS);
    assert.equal(await trimAll(store, { olderThanMs: 150 * 60_000 }), 3);
    assert.deepEqual(await read(store, 0), { before: 3, reason: 'age' });
    assert.deepEqual(await read(store, 3), { chunks: numbered(3, 3), tail: 6, closed: false });
    await kit.advance(3 * HOUR_MS);
    assert.equal(await trimAll(store, { olderThanMs: 60_000 }), 3);
    assert.deepEqual(await read(store, 6), { chunks: [], tail: 6, closed: false });
  });
}

function choice({ test }: Spec): void {
  test('streams to spare are left alone until their run has ended', async ({ store, hold }) => {
    const held = await hold();
    const chunks = numbered(0, 3).map(bytes);
    await held.apply({
      chunks: [
        { stream: 'out', chunks },
        { stream: 'log', chunks },
      ],
    });
    assert.equal(await trimAll(store, { keep: 1, spare: ['out'] }), 2);
    assert.deepEqual(await read(store, 0), { chunks: numbered(0, 3), tail: 3, closed: false });
    await held.end();
    assert.equal(await trimAll(store, { keep: 1, spare: ['out'] }), 2);
    assert.deepEqual(await read(store, 0), { before: 2, reason: 'count' });
  });

  test('a name to spare that ends in a colon stands for all that begin so', async ({ store, hold }) => {
    const held = await hold();
    const chunks = numbered(0, 3).map(bytes);
    await held.apply({ chunks: ['step:a', 'step', 'out', 'a/step:a'].map((stream) => ({ stream, chunks })) });
    assert.equal(await trimAll(store, { keep: 1, spare: ['step:'] }), 6);
    const page = await store.read(held.id, 'step:a', { from: 0, maxBytes: 100 });
    assert.equal(page?.chunks.length, 3);
    await held.end();
    assert.equal(await trimAll(store, { keep: 1, spare: ['step:'] }), 2);
  });
}

function turns({ test }: Spec): void {
  test('pages of streams come in turn, each stream once', async ({ store, hold }) => {
    for (const id of ['a', 'b', 'c', 'd', 'e']) await write(await hold({ id }), numbered(0, 4));
    let passes = 0;
    let cursor: string | null = null;
    let removed = 0;
    do {
      const answer: Awaited<ReturnType<Store['trim']>> = await store.trim({
        keep: 1,
        spare: [],
        limit: 2,
        ...(cursor === null ? {} : { cursor }),
      });
      passes += 1;
      removed += answer.removed;
      assert.ok(answer.removed <= 6);
      cursor = answer.cursor;
    } while (cursor !== null);
    assert.equal(removed, 15);
    assert.ok(passes >= 3);
    assert.deepEqual(await read(store, 3, 'e'), { chunks: ['c3'], tail: 4, closed: false });
  });

  test('a long stream is trimmed however often the cursor has to come by', async ({ store, hold }) => {
    const held = await hold();
    const large = 'x'.repeat(3_000);
    for (let index = 0; index < 30; index += 1) {
      const chunks = numbered(index * 20, 20).map((name) => bytes(name + large));
      await held.apply({ chunks: [{ stream: 'out', chunks }] });
    }
    let removed = 0;
    for (let sweep = 0; sweep < 5; sweep += 1) removed += await trimAll(store, { keep: 7 });
    assert.equal(removed, 593);
    const page = await store.read(held.id, 'out', { from: 593, maxBytes: 1_000_000 });
    assert.equal(page?.chunks.length, 7);
  });
}
