/** S1, S4 and S26: what is kept, who is told, and what a closed store says. */

import assert from 'node:assert/strict';
import { systemClock } from '../../runtime/clock.ts';
import { DurableError } from '../../runtime/errors.ts';
import type { Hint, Store } from '../../runtime/store.ts';
import {
  bytes,
  claimOne,
  COMPLETED,
  describeOperation,
  expectKind,
  getRun,
  holder,
  newHook,
  newRun,
  only,
  startOne,
  text,
  texts,
} from './kit.ts';
import type { DescribeOperation, Holder, Spec } from './kit.ts';

/** Specs of `watch` and `close`, and of what a store keeps. */
export const describeLifecycle: DescribeOperation = describeOperation('lifecycle', (spec) => {
  keeping(spec);
  hints(spec);
  closing(spec);
});

function keeping({ test, durable }: Spec): void {
  test('what a caller does to an answer does not reach the store', async ({ store }) => {
    const run = await startOne(store, { attributes: { plan: 'pro' } });
    run.status = 'failed';
    run.attributes['plan'] = 'free';
    const again = await getRun(store, run.id);
    assert.deepEqual([again.status, again.attributes], ['ready', { plan: 'pro' }]);
  });

  durable('what was acknowledged is there when the store is opened again', async ({ store, hold, reopen }) => {
    const held = await hold({ thread: 't' });
    await held.apply({
      events: [bytes('e')],
      chunks: [{ stream: 'out', chunks: [bytes('c')] }],
      hooks: { create: [newHook()], close: [] },
    });
    await store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }]);
    const secret = text(await store.secret(bytes('s')));
    const before = await getRun(store, held.id);
    const after = await reopen();
    assert.deepEqual(await getRun(after, held.id), before);
    assert.deepEqual(texts((await after.load(held.id))?.events ?? []), ['e']);
    assert.deepEqual(texts((await after.read(held.id, 'out', { from: 0, maxBytes: 10 }))?.chunks ?? []), ['c']);
    assert.deepEqual(
      [(await after.hook('token_1'))?.status, text(await after.secret(bytes('other')))],
      ['open', secret],
    );
  });

  durable('a holder goes on with its token after the store was opened again', async ({ hold, reopen }) => {
    const held = await hold();
    const after = await reopen();
    const again = holder(after, { run: await getRun(after, held.id), token: held.token });
    assert.equal((await again.apply({ id: 'after', events: [bytes('e')] })).head, 1);
  });
}

async function heard(store: Store, change: () => Promise<unknown>): Promise<Hint[]> {
  const got: Hint[] = [];
  const stop = store.watch?.((hint) => got.push(hint));
  await change();
  // At the latest with the next macrotasks of this process; only a hint from elsewhere may be lost.
  for (let turn = 0; turn < 3; turn += 1) await systemClock().settle();
  stop?.();
  return got;
}

function includes(got: Hint[], hint: Hint): void {
  assert.ok(
    got.some((one) => one.kind === 'any' || JSON.stringify(one) === JSON.stringify(hint)),
    `${JSON.stringify(hint)} is not in ${JSON.stringify(got)}`,
  );
}

function hints({ test }: Spec): void {
  test('a store that can be watched tells of due runs, of messages, of chunks and of ends', async ({ store, hold }) => {
    if (store.watch === undefined) return;
    includes(await heard(store, () => startOne(store, { id: 'new' })), { kind: 'due' });
    const held = await hold();
    includes(await heard(store, () => store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }])), {
      kind: 'run',
      run: held.id,
    });
    includes(await heard(store, () => held.apply({ chunks: [{ stream: 'out', chunks: [bytes('c')] }] })), {
      kind: 'stream',
      run: held.id,
      stream: 'out',
    });
    includes(await heard(store, () => store.control(held.id, 'cancel')), { kind: 'run', run: held.id });
    const end = await heard(store, () => held.apply({ seen: 1, then: COMPLETED }));
    includes(end, { kind: 'run', run: held.id });
    includes(end, { kind: 'stream', run: held.id, stream: 'out' });
  });

  test('a store that can be watched tells of what happens in a thread', async ({ store, hold }) => {
    if (store.watch === undefined) return;
    const hint: Hint = { kind: 'thread', thread: 't', tenant: 'acme', run: 'r' };
    let held: Holder | undefined;
    includes(await heard(store, async () => void (held = await hold({ id: 'r', thread: 't', tenant: 'acme' }))), hint);
    includes(await heard(store, async () => held?.apply({ then: { kind: 'wait', dueAt: null } })), hint);
    const message = { to: { run: held?.id ?? '' }, id: 'm', payload: bytes('m') };
    includes(await heard(store, () => store.deliver([message])), hint);
  });

  test('a hint comes when what it tells of can be read', async ({ store }) => {
    const { watch } = store;
    if (watch === undefined) return;
    const found = new Promise<boolean>((resolve) => {
      watch((hint) => {
        if (hint.kind !== 'stream')
          void claimOne(store, { nonce: 'n' }).then(({ claims }) => resolve(claims.length === 1));
      });
    });
    await startOne(store);
    assert.equal(await found, true);
  });

  test('a watcher that stopped hears nothing more, the others do', async ({ store }) => {
    if (store.watch === undefined) return;
    let stopped = 0;
    let going = 0;
    store.watch(() => (stopped += 1))();
    store.watch(() => (going += 1));
    await startOne(store);
    for (let turn = 0; turn < 3; turn += 1) await systemClock().settle();
    assert.deepEqual([stopped, going > 0], [0, true]);
  });
}

function closing({ test }: Spec): void {
  test('a closed store refuses every call, and may be closed again', async ({ store }) => {
    await startOne(store);
    await store.close();
    await store.close();
    const calls: Array<() => Promise<unknown>> = [
      () => store.start([newRun()]),
      () => claimOne(store, { nonce: 'n' }),
      () => store.load('run_1'),
      () => store.commit([]),
      () => store.deliver([]),
      () => store.control('run_1', 'cancel'),
      () => store.get('run_1'),
      () => store.list({}),
      () => store.gc({ olderThanMs: 0, limit: 1 }),
    ];
    for (const call of calls) await assert.rejects(call, (error) => DurableError.is(error, 'store_unavailable'));
  });

  test('what was asked for before the close is done', async ({ store }) => {
    const started = store.start([newRun()]);
    const closed = store.close();
    expectKind(only(await started), 'created');
    await closed;
  });
}
