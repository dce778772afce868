/** S22. */

import assert from 'node:assert/strict';
import { bytes, claimOne, describeOperation, expectKind, getRun, newRun, only, text } from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

const PARK = { kind: 'park', code: 'crash_loop', details: bytes('d') } as const;

/** Specs of `control`. */
export const describeControl: DescribeOperation = describeOperation('control', (spec) => {
  cancel(spec);
  resume(spec);
  terminate(spec);
});

function cancel({ test }: Spec): void {
  test('a run that is not there is not found', async ({ store }) => {
    for (const control of ['cancel', 'resume', 'terminate'] as const)
      assert.deepEqual(await store.control('nobody', control), { kind: 'not_found' });
  });

  test('cancel sets the flag of a running run and leaves the rest to its holder', async ({ store, hold }) => {
    const held = await hold();
    const { run } = expectKind(await store.control(held.id, 'cancel'), 'ok');
    assert.deepEqual([run.cancel, run.status], [true, 'running']);
    expectKind(await store.control(held.id, 'cancel'), 'ok');
    assert.equal((await held.apply()).cancel, true);
  });

  test('cancel wakes a waiting run', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ then: { kind: 'wait', dueAt: null } });
    await store.control(held.id, 'cancel');
    const claim = only((await claimOne(store, { nonce: 'n' })).claims);
    assert.deepEqual([claim.from, claim.run.cancel], ['wait', true]);
  });

  test('a run that was cancelled does not go to wait unless its holder knows', async ({ store, hold }) => {
    const held = await hold();
    await store.control(held.id, 'cancel');
    const refusal = expectKind(await held.commit({ then: { kind: 'wait', dueAt: null } }), 'pending');
    assert.deepEqual([refusal.cancel, refusal.messages], [true, []]);
    expectKind(await held.commit({ cancelSeen: true, then: { kind: 'wait', dueAt: null } }), 'applied');
  });

  test('cancel ends queued and parked runs at once, and their live children follow', async ({ store, hold }) => {
    const parked = await hold({ id: 'parked', thread: 't' });
    const running = await hold({ id: 'running', parent: { run: 'parked', key: 'a' } });
    await (await hold({ id: 'stuck', parent: { run: 'parked', key: 'b' } })).apply({ then: PARK });
    await hold({ id: 'deep', parent: { run: 'stuck', key: 'c' } });
    await parked.apply({ then: PARK });
    await store.start([newRun({ id: 'queued', thread: 't', whenBusy: 'queue' })]);
    expectKind(await store.control('queued', 'cancel'), 'ok');
    expectKind(await store.control('parked', 'cancel'), 'ok');
    const state = async (id: string) => {
      const run = await getRun(store, id);
      return [run.status, run.cancel, run.errorCode];
    };
    assert.deepEqual(await state('queued'), ['cancelled', true, 'cancelled']);
    assert.deepEqual(await state('parked'), ['cancelled', true, 'cancelled']);
    assert.deepEqual(await state('stuck'), ['cancelled', true, 'cancelled']);
    assert.deepEqual(await state('deep'), ['running', true, null]);
    assert.equal((await running.apply()).cancel, true);
  });

  test('cancelling a queued run leaves the active one of its thread alone', async ({ store, hold }) => {
    await hold({ id: 'active', thread: 't' });
    for (const id of ['q1', 'q2']) await store.start([newRun({ id, thread: 't', whenBusy: 'queue' })]);
    await store.control('q1', 'cancel');
    assert.deepEqual(
      [(await getRun(store, 'active')).status, (await getRun(store, 'q2')).status],
      ['running', 'queued'],
    );
  });
}

function resume({ test }: Spec): void {
  test('resume makes a parked run ready with no attempts, and keeps its messages', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ suspects: ['charge'], then: PARK });
    await store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }]);
    const { run } = expectKind(await store.control(held.id, 'resume'), 'ok');
    assert.deepEqual([run.status, run.attempts, run.parked, run.suspects], ['ready', 0, null, null]);
    assert.equal(only((await claimOne(store, { nonce: 'n' })).claims).run.attempts, 0);
    assert.equal((await store.load(held.id))?.messages.length, 1);
  });

  test('resume refuses what is not parked', async ({ store, hold }) => {
    const held = await hold();
    const refused = expectKind(await store.control(held.id, 'resume'), 'refused');
    assert.equal(refused.run.status, 'running');
    await held.apply({ events: [bytes('e')] });
  });
}

function terminate({ test }: Spec): void {
  test('terminate ends a run as failed whatever its holder does, and fences the holder', async ({ store, hold }) => {
    const held = await hold();
    const { run } = expectKind(await store.control(held.id, 'terminate'), 'ok');
    assert.deepEqual([run.status, run.errorCode, run.dueAt], ['failed', 'terminated', null]);
    assert.equal((await held.commit({ events: [bytes('x')] })).kind, 'fenced');
  });

  test('user messages that were not journaled become queued runs of the thread, the oldest ready', async ({
    store,
    hold,
  }) => {
    const held = await hold({ thread: 't', tenant: 'acme' });
    for (const id of ['m0', 'm1', 'm2']) {
      await store.start([
        newRun({ id, thread: 't', tenant: 'acme', whenBusy: 'steer', input: bytes(`say ${id}`), inputHash: `h_${id}` }),
      ]);
    }
    await store.deliver([{ to: { run: held.id }, id: 'w', kind: 'wake', payload: bytes('w') }]);
    await held.apply({ seen: 1 });
    await store.control(held.id, 'terminate');
    const one = await getRun(store, 'm1');
    assert.deepEqual(
      [one.status, one.inputHash, text(one.input), one.workflow, one.version, one.queue, one.thread, one.tenant],
      ['ready', 'h_m1', 'say m1', 'order', '1', 'order@1', 't', 'acme'],
    );
    assert.equal((await getRun(store, 'm2')).status, 'queued');
    assert.deepEqual([await store.get('m0'), await store.get('w')], [null, null]);
    expectKind(only(await store.start([newRun({ id: 'm1', thread: 't', inputHash: 'h_m1' })])), 'exists');
  });

  test('a queued run ends too, and the active one stays', async ({ store, hold }) => {
    await hold({ id: 'active', thread: 't' });
    await store.start([newRun({ id: 'queued', thread: 't', whenBusy: 'queue' })]);
    await store.control('queued', 'terminate');
    assert.deepEqual(
      [(await getRun(store, 'active')).status, (await getRun(store, 'queued')).status],
      ['running', 'failed'],
    );
  });
}
