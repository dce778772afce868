/** S18: what the end of a run brings about, by whomever it was ended. */

import assert from 'node:assert/strict';
import { bytes, COMPLETED, describeOperation, getRun, newHook, newRun, text } from './kit.ts';
import type { DescribeOperation, Kit, Spec } from './kit.ts';

/** Specs of the end of a run. */
export const describeEnding: DescribeOperation = describeOperation('the end of a run', (spec) => {
  leftovers(spec);
  parents(spec);
});

type End = (kit: Kit, id: string) => Promise<unknown>;

/** Each takes a held run to its end in another way. */
const ENDS: Record<string, End> = {
  'a commit': async (kit, id) =>
    (await kit.hold({ id, thread: 't', parent: { run: 'parent', key: 'child' } })).apply({ then: COMPLETED }),
  'a terminate': async (kit, id) => {
    await kit.hold({ id, thread: 't', parent: { run: 'parent', key: 'child' } });
    return kit.store.control(id, 'terminate');
  },
  'a cancel while parked': async (kit, id) => {
    const held = await kit.hold({ id, thread: 't', parent: { run: 'parent', key: 'child' } });
    await held.apply({ then: { kind: 'park', code: 'divergence', details: bytes('d') } });
    return kit.store.control(id, 'cancel');
  },
};

const STATUS: Record<string, string> = {
  'a commit': 'completed',
  'a terminate': 'failed',
  'a cancel while parked': 'cancelled',
};

function leftovers({ test }: Spec): void {
  test('open hooks are closed, resolved ones stay resolved', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ hooks: { create: [newHook(), newHook({ tokenHash: 'token_2', key: 'other' })], close: [] } });
    await store.deliver([{ to: { hook: 'token_2' }, id: 'a', payload: bytes('a') }]);
    await held.apply({ seen: 1, then: COMPLETED });
    assert.deepEqual(
      [(await store.hook('token_1'))?.status, (await store.hook('token_2'))?.status],
      ['closed', 'resolved'],
    );
  });

  test('the details of parking go with the end', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ then: { kind: 'park', code: 'divergence', details: bytes('d') } });
    await store.control(held.id, 'terminate');
    assert.equal((await getRun(store, held.id)).parked, null);
  });
}

function parents({ test }: Spec): void {
  for (const [how, end] of Object.entries(ENDS)) {
    test(`${how} tells the parent once, wakes it, and makes the thread's oldest queued run ready`, async (kit) => {
      const parent = await kit.hold({ id: 'parent' });
      await parent.apply({ then: { kind: 'wait', dueAt: null } });
      const queue = kit.store.start.bind(kit.store);
      await end({ ...kit, hold: async (change) => holdAndQueue(kit, { change: change ?? {}, queue }) }, 'child');
      const run = await getRun(kit.store, 'parent');
      assert.deepEqual([run.status, run.inboxHead], ['ready', 1]);
      const message = (await kit.store.load('parent'))?.messages[0];
      assert.deepEqual(
        [message?.id, message?.kind, message?.key, message?.status],
        ['child', 'child', 'child', STATUS[how]],
      );
      assert.equal((await getRun(kit.store, 'queued')).status, 'ready');
    });
  }

  test('the message of a child has its result, or its error', async ({ store, hold }) => {
    await hold({ id: 'parent' });
    const good = await hold({ id: 'good', parent: { run: 'parent', key: 'g' } });
    await good.apply({ then: { ...COMPLETED, result: bytes('r') } });
    const bad = await hold({ id: 'bad', parent: { run: 'parent', key: 'b' } });
    await bad.apply({ then: { kind: 'end', status: 'failed', result: null, error: bytes('e'), errorCode: 'x' } });
    const messages = (await store.load('parent'))?.messages ?? [];
    assert.deepEqual(
      messages.map(({ key, status, payload }) => [key, status, text(payload)]),
      [
        ['g', 'completed', 'r'],
        ['b', 'failed', 'e'],
      ],
    );
  });

  test('a parent that has ended or is not there is not told', async ({ store, hold }) => {
    const parent = await hold({ id: 'parent' });
    await parent.end();
    await (await hold({ id: 'a', parent: { run: 'parent', key: 'a' } })).end();
    await (await hold({ id: 'b', parent: { run: 'nobody', key: 'b' } })).end();
    assert.equal((await getRun(store, 'parent')).inboxHead, 0);
  });
}

async function holdAndQueue(
  kit: Kit,
  held: { change: Parameters<Kit['hold']>[0] & object; queue: Kit['store']['start'] },
) {
  const holder = await kit.hold(held.change);
  await held.queue([newRun({ id: 'queued', thread: 't', whenBusy: 'queue' })]);
  return holder;
}
