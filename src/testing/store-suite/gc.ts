/** S25. */

import assert from 'node:assert/strict';
import { bytes, COMPLETED, describeOperation, newHook, startOne } from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

/** Specs of `gc`. */
export const describeGc: DescribeOperation = describeOperation('gc', (spec) => {
  choice(spec);
  extent(spec);
  reuse(spec);
});

function choice({ timed }: Spec): void {
  timed(
    'only runs that ended longer ago are removed, oldest first, up to the limit',
    async ({ store, hold, advance }) => {
      for (const id of ['a', 'b', 'c']) {
        await (await hold({ id })).end();
        await advance(100);
      }
      await startOne(store, { id: 'ready' });
      await hold({ id: 'running' });
      await (await hold({ id: 'waiting' })).apply({ then: { kind: 'wait', dueAt: null } });
      assert.equal(await store.gc({ olderThanMs: 300, limit: 10 }), 0);
      assert.equal(await store.gc({ olderThanMs: 150, limit: 1 }), 1);
      assert.equal(await store.get('a'), null);
      assert.equal(await store.gc({ olderThanMs: 0, limit: 10 }), 2);
      assert.deepEqual(
        (await store.list({})).items.map(({ id }) => id),
        ['waiting', 'running', 'ready'],
      );
    },
  );
}

function extent({ timed }: Spec): void {
  timed('all that belongs to a run goes with it, but for its ledger rows', async ({ store, hold, advance }) => {
    const ledger = [
      {
        id: 'l',
        run: 'run_1',
        thread: null,
        tenant: null,
        key: 't',
        attempt: 1,
        provider: 'p',
        model: 'm',
        outcome: 'completed',
        inputTokens: 1,
        outputTokens: 1,
        toolCalls: 0,
        nanoUsd: null,
        details: null,
        at: 1,
      } as const,
    ];
    const held = await hold({ thread: 't' });
    await held.apply({
      events: [bytes('e')],
      chunks: [{ stream: 'out', chunks: [bytes('c')] }],
      hooks: { create: [newHook()], close: [] },
      ledger,
    });
    await store.note('token_1', bytes('n'));
    await store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }]);
    await held.apply({ seen: 1, then: COMPLETED });
    await advance(10);
    assert.equal(await store.gc({ olderThanMs: 0, limit: 10 }), 1);
    assert.deepEqual(
      [await store.get(held.id), await store.load(held.id), await store.hook('token_1')],
      [null, null, null],
    );
    assert.equal(await store.read(held.id, 'out', { from: 0, maxBytes: 10 }), null);
    assert.deepEqual([await store.thread('t'), (await store.listHooks({})).items], [[], []]);
    assert.equal((await store.ledger({ run: held.id })).items.length, 1);
  });
}

function reuse({ timed }: Spec): void {
  timed('an id that was removed is free, and begins anew', async ({ store, hold, advance }) => {
    const held = await hold({ thread: 't' });
    await held.apply({
      events: ['old', 'older'].map(bytes),
      checkpoint: 1,
      chunks: [{ stream: 'out', chunks: [bytes('c')] }],
    });
    await held.end();
    await advance(10);
    await store.gc({ olderThanMs: 0, limit: 10 });
    const again = await hold({ thread: 't', inputHash: 'other' });
    assert.deepEqual(
      [
        again.head,
        (await store.load(again.id, 0))?.events,
        (await store.read(again.id, 'out', { from: 0, maxBytes: 10 }))?.tail,
      ],
      [0, [], 0],
    );
    await again.apply({ events: ['a', 'b', 'c'].map(bytes), checkpoint: 2 });
    assert.deepEqual((await store.load(again.id))?.checkpoints, []);
  });
}
