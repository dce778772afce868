/** S23. */

import assert from 'node:assert/strict';
import { bytes, describeOperation, texts } from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

/** Specs of `load`. */
export const describeLoad: DescribeOperation = describeOperation('load', (spec) => {
  positions(spec);
  views(spec);
});

function positions({ test }: Spec): void {
  test('a run that is not there is null', async ({ store }) => {
    assert.equal(await store.load('nobody'), null);
  });

  test('events come from the given position on, in order, up to head', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ events: ['e0', 'e1'].map(bytes) });
    await held.apply({ events: ['e2', 'e3'].map(bytes) });
    for (const [from, expected] of [
      [0, ['e0', 'e1', 'e2', 'e3']],
      [1, ['e1', 'e2', 'e3']],
      [3, ['e3']],
      [4, []],
    ] as const) {
      const loaded = await store.load(held.id, from);
      assert.deepEqual(texts(loaded?.events ?? []), expected);
      assert.equal(loaded?.run.head, 4);
    }
  });

  test('without a position loading starts at the checkpoint', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ events: ['e0', 'e1', 'e2'].map(bytes), checkpoint: 2 });
    const loaded = await store.load(held.id);
    assert.deepEqual([texts(loaded?.events ?? []), loaded?.checkpoints], [['e2'], []]);
  });

  test('the events at former checkpoints come beside those from the last one on', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ events: ['e0', 'e1'].map(bytes), checkpoint: 1 });
    await held.apply({ events: [bytes('e2')] });
    await held.apply({ events: ['e3', 'e4'].map(bytes), checkpoint: 3 });
    await held.apply({ events: [bytes('e5')], checkpoint: 5 });
    await held.apply({ events: [bytes('e6')] });
    const loaded = await store.load(held.id);
    assert.deepEqual(texts(loaded?.checkpoints ?? []), ['e1', 'e3']);
    assert.deepEqual(texts(loaded?.events ?? []), ['e5', 'e6']);
    for (const from of [0, 4]) assert.deepEqual((await store.load(held.id, from))?.checkpoints, []);
  });
}

function views({ test }: Spec): void {
  test('messages come from the first that is not journaled', async ({ store, hold }) => {
    const held = await hold();
    await store.deliver(['m0', 'm1', 'm2'].map((id) => ({ to: { run: held.id }, id, payload: bytes(id) })));
    await held.apply({ seen: 1 });
    const loaded = await store.load(held.id);
    assert.deepEqual(
      loaded?.messages.map(({ seq, id }) => [seq, id]),
      [
        [1, 'm1'],
        [2, 'm2'],
      ],
    );
    assert.deepEqual([loaded.run.seen, loaded.run.inboxHead], [1, 3]);
  });

  test('while a run is written to, each load is one consistent view', async ({ store, hold }) => {
    const held = await hold();
    const write = async (): Promise<void> => {
      for (let step = 0; step < 30; step += 1) {
        await store.deliver([{ to: { run: held.id }, id: `m${step}`, payload: bytes('m') }]);
        await held.apply({ events: [bytes(`e${step}`)], seen: step });
      }
    };
    const check = async (): Promise<void> => {
      for (let turn = 0; turn < 30; turn += 1) {
        const loaded = await store.load(held.id, 0);
        assert.equal(loaded?.events.length, loaded?.run.head);
        assert.equal(loaded?.messages.length, (loaded?.run.inboxHead ?? 0) - (loaded?.run.seen ?? 0));
      }
    };
    await Promise.all([write(), check()]);
  });
}
