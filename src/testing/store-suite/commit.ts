/** S15 to S17 and S19: what a commit writes and answers. `commit-refusals.ts` has what it checks, `ending.ts` what an end brings about. */

import assert from 'node:assert/strict';
import {
  bytes,
  claimOne,
  COMPLETED,
  describeOperation,
  emptyCommit,
  eventsOf,
  getRun,
  LEASE_MS,
  ledgerRow,
  newHook,
  newRun,
  only,
  texts,
} from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

/** Specs of what `commit` writes. */
export const describeCommit: DescribeOperation = describeOperation('commit', (spec) => {
  journal(spec);
  leases(spec);
  nextStates(spec);
  hooks(spec);
  others(spec);
  batches(spec);
});

function journal({ test, timed }: Spec): void {
  test('events are appended at head', async (kit) => {
    const held = await kit.hold();
    assert.equal((await held.apply({ events: [bytes('a')] })).head, 1);
    assert.equal((await held.apply({ events: [bytes('b'), bytes('c')] })).head, 3);
    assert.deepEqual(await eventsOf(kit, held.id), ['a', 'b', 'c']);
  });

  timed(
    'a commit with events ends the count of attempts and the suspects; chunks and heartbeats do not',
    async ({ store, hold, advance }) => {
      await hold();
      await advance(LEASE_MS);
      const claim = only((await claimOne(store, { nonce: 'again' })).claims);
      const request = { run: claim.run.id, token: claim.token, expect: 0, suspects: ['charge'] };
      await store.commit([emptyCommit({ ...request, id: 'c1' })]);
      await store.commit([
        emptyCommit({
          ...request,
          id: 'c2',
          suspects: ['charge', 'pay'],
          chunks: [{ stream: 'out', chunks: [bytes('x')] }],
        }),
      ]);
      const { suspects: _, ...plain } = request;
      await store.commit([emptyCommit({ ...plain, id: 'c3', then: { kind: 'run', heartbeat: true } })]);
      const before = await getRun(store, claim.run.id);
      assert.deepEqual([before.attempts, before.suspects], [2, ['charge', 'pay']]);
      await store.commit([emptyCommit({ ...plain, id: 'c4', events: [bytes('e')] })]);
      const after = await getRun(store, claim.run.id);
      assert.deepEqual([after.attempts, after.suspects], [0, null]);
    },
  );

  test('a commit with events may set suspects', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ events: [bytes('e')], suspects: ['next'] });
    assert.deepEqual((await getRun(store, held.id)).suspects, ['next']);
  });

  test('seen and checkpoint are kept', async ({ store, hold }) => {
    const held = await hold();
    await store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }]);
    await held.apply({ events: [bytes('a'), bytes('b')], seen: 1, checkpoint: 1 });
    await held.apply({ events: [bytes('c')] });
    const run = await getRun(store, held.id);
    assert.deepEqual([run.head, run.seen, run.checkpoint], [3, 1, 1]);
  });

  test('the answer has the messages that the holder lacks, and the cancel flag', async ({ store, hold }) => {
    const held = await hold();
    await store.deliver(['m0', 'm1'].map((id) => ({ to: { run: held.id }, id, payload: bytes(id) })));
    const first = await held.apply();
    assert.deepEqual([first.cancel, first.messages.map(({ id }) => id)], [false, ['m0', 'm1']]);
    await store.control(held.id, 'cancel');
    const second = await held.apply({ received: 1 });
    assert.deepEqual([second.cancel, second.messages.map(({ id, seq }) => [id, seq])], [true, [['m1', 1]]]);
    assert.deepEqual((await held.apply({ received: 2 })).messages, []);
  });
}

function leases({ timed }: Spec): void {
  timed(
    'a plain commit moves the lease only when less than two thirds of it are left',
    async ({ store, hold, advance }) => {
      const held = await hold();
      await advance(LEASE_MS / 3);
      assert.equal((await held.apply({ events: [bytes('a')] })).extended, false);
      await advance(1);
      const { extended, now } = await held.apply({ events: [bytes('b')] });
      assert.equal(extended, true);
      assert.equal((await getRun(store, held.id)).dueAt, now + LEASE_MS);
    },
  );

  timed('a heartbeat always moves it', async ({ store, hold, advance }) => {
    const held = await hold();
    await advance(1);
    const { extended, now } = await held.apply({ then: { kind: 'run', heartbeat: true } });
    assert.deepEqual([extended, (await getRun(store, held.id)).dueAt], [true, now + LEASE_MS]);
  });
}

function nextStates({ test, timed }: Spec): void {
  timed('a wait until later is waiting, a wait until now or earlier is ready at once', async ({ store, hold }) => {
    const later = await hold({ id: 'later' });
    const { now } = await later.apply();
    await later.apply({ then: { kind: 'wait', dueAt: now + 5 } });
    const past = await hold({ id: 'past' });
    await past.apply({ then: { kind: 'wait', dueAt: now } });
    const [one, two] = [await getRun(store, 'later'), await getRun(store, 'past')];
    assert.deepEqual([one.status, one.dueAt, two.status, two.dueAt], ['waiting', now + 5, 'ready', now]);
  });

  test('a wait until a fraction of a millisecond lasts until then', async ({ store, hold }) => {
    const held = await hold();
    const { now } = await held.apply();
    const until = Math.floor(now) + 100_000.25;
    await held.apply({ then: { kind: 'wait', dueAt: until } });
    const { status, dueAt } = await getRun(store, held.id);
    assert.deepEqual([status, dueAt === until || dueAt === Math.ceil(until)], ['waiting', true]);
  });

  test('park keeps code and details, and no claim gets the run', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ then: { kind: 'park', code: 'divergence', details: bytes('both sides') } });
    const run = await getRun(store, held.id);
    assert.deepEqual(
      [run.status, run.dueAt, run.parked?.code, texts([run.parked?.details ?? bytes('')])],
      ['parked', null, 'divergence', ['both sides']],
    );
    assert.deepEqual((await claimOne(store, { nonce: 'n' })).claims, []);
  });

  test('end keeps result, error and code', async ({ store, hold }) => {
    const good = await hold({ id: 'good' });
    await good.apply({ then: { ...COMPLETED, result: bytes('r') } });
    const bad = await hold({ id: 'bad' });
    await bad.apply({
      then: { kind: 'end', status: 'failed', result: null, error: bytes('e'), errorCode: 'step_failed' },
    });
    const [one, two] = [await getRun(store, 'good'), await getRun(store, 'bad')];
    assert.deepEqual(
      [one.status, texts([one.result ?? bytes('')]), one.error, one.errorCode, one.dueAt],
      ['completed', ['r'], null, null, null],
    );
    assert.deepEqual(
      [two.status, two.result, texts([two.error ?? bytes('')]), two.errorCode],
      ['failed', null, ['e'], 'step_failed'],
    );
    assert.ok(one.endedAt !== null && two.endedAt !== null);
  });
}

function hooks({ test }: Spec): void {
  test('a created hook is open and can be read; creating it once more changes nothing', async ({ store, hold }) => {
    const held = await hold({ thread: 't', tenant: 'acme' });
    await held.apply({ hooks: { create: [newHook({ kind: 'approval', needed: 2, tool: 'refund' })], close: [] } });
    await held.apply({ hooks: { create: [newHook({ kind: 'approval', needed: 5 })], close: [] } });
    const hook = await store.hook('token_1');
    assert.ok(hook !== null);
    const { kind, needed, tool, run, workflow, thread, tenant, status, responders, notes, resolvedAt } = hook;
    assert.deepEqual(
      { kind, needed, tool, run, workflow, thread, tenant, status, responders, notes, resolvedAt },
      {
        kind: 'approval',
        needed: 2,
        tool: 'refund',
        run: held.id,
        workflow: 'order',
        thread: 't',
        tenant: 'acme',
        status: 'open',
        responders: [],
        notes: [],
        resolvedAt: null,
      },
    );
  });

  test('a closed hook takes no more', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ hooks: { create: [newHook()], close: [] } });
    await held.apply({ hooks: { create: [], close: ['token_1', 'unknown'] } });
    assert.equal((await store.hook('token_1'))?.status, 'closed');
    assert.equal(
      only(await store.deliver([{ to: { hook: 'token_1' }, id: 'late', payload: bytes('x') }])).kind,
      'gone',
    );
  });

  test('a run cannot close a hook of another run', async ({ store, hold }) => {
    const one = await hold({ id: 'one' });
    const two = await hold({ id: 'two' });
    await one.apply({ hooks: { create: [newHook()], close: [] } });
    await two.apply({ hooks: { create: [], close: ['token_1'] } });
    assert.equal((await store.hook('token_1'))?.status, 'open');
  });
}

function others({ test }: Spec): void {
  test('starts are created with the commit; what exists is success, and a busy thread queues', async ({
    store,
    hold,
  }) => {
    const held = await hold({ thread: 't' });
    const child = newRun({ id: 'child', parent: { run: held.id, key: 'c' } });
    await held.apply({ starts: [child, newRun({ id: 'next', thread: 't' })] });
    await held.apply({ starts: [child] });
    assert.deepEqual(
      [(await getRun(store, 'child')).status, (await getRun(store, 'next')).status],
      ['ready', 'queued'],
    );
  });

  test('a commit may start a run whose id is a message of the thread: that is how one is handed on', async ({
    store,
    hold,
  }) => {
    const held = await hold({ thread: 't' });
    await store.start([newRun({ id: 'message', thread: 't', whenBusy: 'steer' })]);
    await held.apply({ seen: 1, starts: [newRun({ id: 'message', thread: 't' })], then: COMPLETED });
    assert.equal((await getRun(store, 'message')).status, 'ready');
  });

  test('cancels set the flag of other runs', async ({ hold }) => {
    const parent = await hold({ id: 'parent' });
    const child = await hold({ id: 'child', parent: { run: 'parent', key: 'c' } });
    await parent.apply({ cancels: ['child', 'unknown'] });
    assert.equal((await child.apply()).cancel, true);
  });

  test('a parent that waits for a child which its own commit cancelled is woken', async ({ store, hold }) => {
    const parent = await hold({ id: 'parent' });
    const child = await hold({ id: 'child', parent: { run: 'parent', key: 'c' } });
    await child.apply({ then: { kind: 'park', code: 'divergence', details: bytes('d') } });
    const { messages } = await parent.apply({ cancels: ['child'], then: { kind: 'wait', dueAt: null } });
    assert.deepEqual(
      messages.map(({ kind, id }) => [kind, id]),
      [['child', 'child']],
    );
    assert.equal((await getRun(store, 'parent')).status, 'ready');
  });

  test('ledger rows are kept once, by id', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ ledger: [ledgerRow({ id: 'a' }), ledgerRow({ id: 'b' })] });
    await held.apply({ ledger: [ledgerRow({ id: 'a', outcome: 'failed' })] });
    assert.deepEqual(
      (await store.ledger({})).items.map(({ id, outcome }) => [id, outcome]),
      [
        ['a', 'completed'],
        ['b', 'completed'],
      ],
    );
  });
}

function batches({ test }: Spec): void {
  test('commits of many runs are answered in order, and a refused one does not hinder the others', async (kit) => {
    const ids = Array.from({ length: 9 }, (_, index) => `run_${index}`);
    const held = await Promise.all(ids.map((id) => kit.hold({ id })));
    const answers = await kit.store.commit(
      held.map(({ id, token }, index) =>
        emptyCommit({ run: id, token, expect: index % 3 === 1 ? 7 : 0, id: `c_${id}`, events: [bytes(id)] }),
      ),
    );
    assert.deepEqual(
      answers.map(({ kind }) => kind),
      ids.map((_, index) => (index % 3 === 1 ? 'moved' : 'applied')),
    );
    for (const [index, id] of ids.entries()) assert.deepEqual(await eventsOf(kit, id), index % 3 === 1 ? [] : [id]);
  });

  test('an empty batch answers nothing', async ({ store }) => {
    assert.deepEqual([await store.commit([]), await store.deliver([]), await store.start([])], [[], [], []]);
  });
}
