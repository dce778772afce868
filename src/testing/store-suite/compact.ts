/** S28. */

import assert from 'node:assert/strict';
import type { Store } from '../../runtime/store.ts';
import { bytes, describeOperation, texts } from './kit.ts';
import type { DescribeOperation, Holder, Spec } from './kit.ts';

/** Specs of `compact`. */
export const describeCompact: DescribeOperation = describeOperation('compact', (spec) => {
  answers(spec);
  goingOn(spec);
});

/** Compacts until there is nothing to do. Answers after how many calls. */
async function compactAll(store: Store, run: string): Promise<number> {
  for (let calls = 1; ; calls += 1) {
    assert.ok(calls < 1_000, 'It never says that it is done.');
    if (!(await store.compact(run, 'out'))) return calls;
  }
}

/** Many small flushes, and a large one here and there. */
async function write(held: Holder, from: number): Promise<string[]> {
  const written: string[] = [];
  for (let flush = 0; flush < 60; flush += 1) {
    const texted = Array.from({ length: flush % 7 === 0 ? 40 : 1 }, (_, index) => {
      const filler = (flush + index) % 11 === 0 ? 'y'.repeat(700) : ' word';
      return `{"type":"text-delta","id":"part-${Math.floor(flush / 20)}","delta":"${from}.${flush}.${index}${filler}"}`;
    });
    written.push(...texted);
    await held.apply({ chunks: [{ stream: 'out', chunks: texted.map(bytes) }] });
  }
  return written;
}

async function readAll(store: Store, run: string, from: number): Promise<Array<string | null>> {
  const found: Array<string | null> = [];
  for (;;) {
    const page = await store.read(run, 'out', { from: from + found.length, maxBytes: 5_000 });
    if (page === null || page.chunks.length === 0) return found;
    found.push(...texts(page.chunks));
  }
}

function answers({ test, durable }: Spec): void {
  test('every offset reads the same before, between and after', async ({ store, hold }) => {
    const held = await hold();
    const whole = await write(held, 0);
    await held.end();
    const compare = async (): Promise<void> => {
      for (let from = 0; from <= whole.length; from += 13)
        assert.deepEqual(await readAll(store, held.id, from), whole.slice(from));
    };
    await compare();
    for (let calls = 0; await store.compact(held.id, 'out'); calls += 1) {
      assert.ok(calls < 1_000, 'It never says that it is done.');
      await compare();
    }
    await compare();
    assert.equal(await store.compact(held.id, 'out'), false);
    const page = await store.read(held.id, 'out', { from: whole.length, maxBytes: 1 });
    assert.deepEqual(page, { chunks: [], from: whole.length, tail: whole.length, closed: true });
  });

  test('there is nothing to do where there is nothing', async ({ store, hold }) => {
    assert.equal(await store.compact('nobody', 'out'), false);
    const held = await hold();
    assert.equal(await store.compact(held.id, 'out'), false);
  });

  durable('what was packed is read from the reopened store', async (kit) => {
    const held = await kit.hold();
    const whole = await write(held, 0);
    await compactAll(kit.store, held.id);
    assert.deepEqual(await readAll(await kit.reopen(), held.id, 0), whole);
  });
}

function goingOn({ test }: Spec): void {
  test('a stream that is compacted while it is written goes on at its tail', async ({ store, hold }) => {
    const held = await hold();
    const whole: string[] = [];
    for (let turn = 0; turn < 4; turn += 1) {
      whole.push(...(await write(held, turn)));
      await compactAll(store, held.id);
      assert.deepEqual(await readAll(store, held.id, 0), whole);
    }
    await held.end();
    await compactAll(store, held.id);
    assert.deepEqual(await readAll(store, held.id, 0), whole);
  });

  test('what trim has removed does not come back', async ({ store, hold }) => {
    const held = await hold();
    const whole = await write(held, 0);
    await store.trim({ keep: 50, spare: [], limit: 10 });
    await compactAll(store, held.id);
    await held.end();
    await compactAll(store, held.id);
    assert.deepEqual(await readAll(store, held.id, whole.length - 50), whole.slice(-50));
    const page = await store.read(held.id, 'out', { from: 0, maxBytes: 1 });
    assert.deepEqual(page?.expired, { before: whole.length - 50, reason: 'count' });
  });
}
