/** S14: what a commit checks, in this order. */

import assert from 'node:assert/strict';
import {
  bytes,
  claimOne,
  COMPLETED,
  describeOperation,
  emptyCommit,
  eventsOf,
  expectKind,
  getRun,
  newHook,
  only,
  texts,
} from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

/** Specs of what `commit` refuses. */
export const describeCommitRefusals: DescribeOperation = describeOperation('commit refusals', (spec) => {
  repeats(spec);
  fencing(spec);
  pending(spec);
  tokens(spec);
  streams(spec);
});

function repeats({ test }: Spec): void {
  test('a repeated commit is not applied twice and answers as of now', async (kit) => {
    const held = await kit.hold();
    const request = emptyCommit({
      run: held.id,
      token: held.token,
      expect: 0,
      id: 'c',
      events: [bytes('a')],
      chunks: [{ stream: 'out', chunks: [bytes('x')] }],
    });
    const first = expectKind(only(await kit.store.commit([request])), 'applied');
    await kit.store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }]);
    const again = expectKind(only(await kit.store.commit([request])), 'applied');
    assert.deepEqual([again.holder, again.head, again.tails, again.messages.length], [true, first.head, { out: 1 }, 1]);
    assert.deepEqual(await eventsOf(kit, held.id), ['a']);
  });

  test('a repeated commit says that the run went to another holder', async ({ store, hold }) => {
    const held = await hold();
    const request = emptyCommit({ run: held.id, token: held.token, expect: 0, id: 'c', then: { kind: 'yield' } });
    assert.equal(expectKind(only(await store.commit([request])), 'applied').holder, false);
    await claimOne(store, { nonce: 'next' });
    assert.equal(expectKind(only(await store.commit([request])), 'applied').holder, false);
  });

  test('more messages received than there are answers moved: the store has lost some', async (kit) => {
    const held = await kit.hold();
    await kit.store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }]);
    const answer = await held.commit({ received: 2, events: [bytes('x')] });
    assert.deepEqual(answer, { kind: 'moved', head: 0 });
    assert.equal((await held.commit({ received: 1, seen: 1, events: [bytes('x')] })).kind, 'applied');
    assert.deepEqual(await eventsOf(kit, held.id), ['x']);
  });

  test('a commit that comes late, after its repetition and the next one, is moved', async (kit) => {
    const held = await kit.hold();
    const flush = (number: number): ReturnType<typeof emptyCommit> =>
      emptyCommit({
        run: held.id,
        token: held.token,
        expect: 0,
        id: `flush ${number}`,
        number,
        chunks: [{ stream: 'out', chunks: [bytes(String(number))] }],
      });
    for (const number of [1, 2]) expectKind(only(await kit.store.commit([flush(number)])), 'applied');
    expectKind(only(await kit.store.commit([flush(1)])), 'moved');
    expectKind(only(await kit.store.commit([flush(2)])), 'applied');
    const page = await kit.store.read(held.id, 'out', { from: 0, maxBytes: 1_000 });
    assert.deepEqual(texts(page?.chunks ?? []), ['1', '2']);
    await held.apply({ then: { kind: 'yield' } });
    const claim = only((await claimOne(kit.store, { nonce: 'next' })).claims);
    expectKind(only(await kit.store.commit([{ ...flush(1), token: claim.token }])), 'applied');
  });

  test('a repeated end answers applied', async ({ store, hold }) => {
    const held = await hold();
    const request = emptyCommit({ run: held.id, token: held.token, expect: 0, id: 'c', then: COMPLETED });
    expectKind(only(await store.commit([request])), 'applied');
    assert.equal(expectKind(only(await store.commit([request])), 'applied').holder, false);
  });
}

function fencing({ test }: Spec): void {
  test('another epoch, another nonce, an unknown run and a run that is not running are fenced', async (kit) => {
    const held = await kit.hold();
    const events0 = [bytes('x')];
    assert.equal((await held.commit({ token: { ...held.token, epoch: 2 }, events: events0 })).kind, 'fenced');
    assert.equal((await held.commit({ token: { ...held.token, nonce: 'other' }, events: events0 })).kind, 'fenced');
    assert.equal((await held.commit({ run: 'nobody', events: events0 })).kind, 'fenced');
    await held.apply({ then: { kind: 'yield' } });
    assert.equal((await held.commit({ events: events0 })).kind, 'fenced');
    assert.deepEqual(await eventsOf(kit, held.id), []);
  });

  test('a token of the right epoch with a nonce of an earlier claim is fenced, so a store may forget and still be safe', async ({
    store,
    hold,
  }) => {
    const held = await hold();
    await held.apply({ then: { kind: 'yield' } });
    const claim = only((await claimOne(store, { nonce: 'second' })).claims);
    assert.equal((await held.commit({ token: { epoch: claim.token.epoch, nonce: held.token.nonce } })).kind, 'fenced');
  });

  test('another head than expected answers moved with the real one, and writes nothing', async (kit) => {
    const held = await kit.hold();
    await held.apply({ events: [bytes('a')] });
    for (const expect of [0, 2])
      assert.deepEqual(await held.commit({ expect, events: [bytes('x')] }), { kind: 'moved', head: 1 });
    assert.deepEqual(await eventsOf(kit, held.id), ['a']);
  });

  test('of many commits at one head one is applied', async (kit) => {
    const held = await kit.hold();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        kit.store.commit([
          emptyCommit({ run: held.id, token: held.token, expect: 0, id: `c${index}`, events: [bytes(`e${index}`)] }),
        ]),
      ),
    );
    assert.deepEqual(answers.map((answer) => only(answer).kind).toSorted(), [
      'applied',
      ...Array<string>(9).fill('moved'),
    ]);
    assert.equal((await eventsOf(kit, held.id)).length, 1);
  });

  test('an ended run never changes again', async (kit) => {
    const held = await kit.hold();
    await held.apply({ then: { ...COMPLETED, result: bytes('done') } });
    const ended = await getRun(kit.store, held.id);
    assert.equal((await held.commit({ events: [bytes('x')] })).kind, 'fenced');
    await kit.store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }]);
    for (const control of ['cancel', 'resume', 'terminate'] as const)
      assert.equal((await kit.store.control(held.id, control)).kind, 'refused');
    assert.deepEqual(await getRun(kit.store, held.id), ended);
  });
}

function pending({ test }: Spec): void {
  test('wait and end are refused while a message is not journaled, and bring it; nothing of the commit is applied', async (kit) => {
    const held = await kit.hold();
    await kit.store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }]);
    for (const then of [{ kind: 'wait', dueAt: null }, COMPLETED] as const) {
      const refusal = expectKind(await held.commit({ events: [bytes('x')], then }), 'pending');
      assert.deepEqual(
        refusal.messages.map(({ id }) => id),
        ['m'],
      );
    }
    assert.deepEqual(await eventsOf(kit, held.id), []);
    await held.apply({ seen: 1, events: [bytes('m')], then: { kind: 'wait', dueAt: null } });
  });

  test('run, yield and park go through with messages that are not journaled', async ({ store, hold }) => {
    const held = await hold();
    await store.deliver([{ to: { run: held.id }, id: 'm', payload: bytes('m') }]);
    await held.apply({ then: { kind: 'run' } });
    await held.apply({ then: { kind: 'park', code: 'divergence', details: bytes('d') } });
    assert.equal((await getRun(store, held.id)).status, 'parked');
  });

  test('closing a hook whose answer the run has not journaled is refused as pending', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ hooks: { create: [newHook()], close: [] } });
    await store.deliver([{ to: { hook: 'token_1' }, id: 'answer', payload: bytes('a') }]);
    const refusal = expectKind(await held.commit({ hooks: { create: [], close: ['token_1'] } }), 'pending');
    assert.deepEqual(
      refusal.messages.map(({ key }) => key),
      ['hook'],
    );
    await held.apply({ seen: 1, hooks: { create: [], close: ['token_1'] } });
    assert.equal((await store.hook('token_1'))?.status, 'resolved');
  });

  test('closing a hook that takes many while one of its messages is not journaled is refused as pending', async ({
    store,
    hold,
  }) => {
    const held = await hold();
    await held.apply({
      hooks: { create: [newHook({ once: false }), newHook({ tokenHash: 'token_2', key: 'other' })], close: [] },
    });
    const deliver = (hook: string, id: string): unknown => store.deliver([{ to: { hook }, id, payload: bytes(id) }]);
    await deliver('token_1', 'first');
    await deliver('token_1', 'second');
    const closing = { hooks: { create: [], close: ['token_1'] } };
    for (const seen of [0, 1]) assert.equal((await held.commit({ seen, ...closing })).kind, 'pending');
    await deliver('token_2', 'of another hook');
    await held.apply({ seen: 2, ...closing });
    assert.equal((await store.hook('token_1'))?.status, 'closed');
    assert.equal(
      only(await store.deliver([{ to: { hook: 'token_1' }, id: 'late', payload: bytes('l') }])).kind,
      'gone',
    );
  });
}

function streams({ test }: Spec): void {
  test('a write to a closed stream is refused, and nothing is applied', async (kit) => {
    const held = await kit.hold();
    await held.apply({ chunks: [{ stream: 'out', chunks: [bytes('a')], close: true }] });
    const write = { stream: 'out', chunks: [bytes('b')] };
    assert.deepEqual(
      await held.commit({ events: [bytes('x')], chunks: [{ stream: 'other', chunks: [bytes('o')] }, write] }),
      { kind: 'stream_closed', stream: 'out' },
    );
    assert.deepEqual(await eventsOf(kit, held.id), []);
    assert.equal((await kit.store.read(held.id, 'other', { from: 0, maxBytes: 1_000 }))?.tail, 0);
  });

  test('closing a closed stream again is no write', async ({ hold }) => {
    const held = await hold();
    await held.apply({ chunks: [{ stream: 'out', chunks: [], close: true }] });
    assert.deepEqual((await held.apply({ chunks: [{ stream: 'out', chunks: [], close: true }] })).tails, { out: 0 });
  });

  test('a stream that a commit closes takes no more of that commit', async ({ hold }) => {
    const held = await hold();
    const chunks = [
      { stream: 'out', chunks: [bytes('a')], close: true },
      { stream: 'out', chunks: [bytes('b')] },
    ];
    assert.equal((await held.commit({ chunks })).kind, 'stream_closed');
  });

  test('several writes to one stream in one commit follow each other', async ({ store, hold }) => {
    const held = await hold();
    const chunks = [
      { stream: 'out', chunks: [bytes('a')] },
      { stream: 'out', chunks: [bytes('b'), bytes('c')] },
    ];
    assert.deepEqual((await held.apply({ chunks })).tails, { out: 3 });
    assert.deepEqual(texts((await store.read(held.id, 'out', { from: 0, maxBytes: 1_000 }))?.chunks ?? []), [
      'a',
      'b',
      'c',
    ]);
  });
}

function tokens({ test }: Spec): void {
  test('a token of another run, or of another key of the run, is refused with its holder, and nothing is applied', async (kit) => {
    const one = await kit.hold({ id: 'one' });
    const two = await kit.hold({ id: 'two' });
    await one.apply({ hooks: { create: [newHook()], close: [] } });
    const taken = { kind: 'token_taken', tokenHash: 'token_1', holder: { run: 'one', key: 'hook' } };
    assert.deepEqual(
      await two.commit({
        events: [bytes('x')],
        hooks: { create: [newHook({ tokenHash: 'free' }), newHook()], close: [] },
      }),
      taken,
    );
    assert.deepEqual(await one.commit({ hooks: { create: [newHook({ key: 'other' })], close: [] } }), taken);
    assert.deepEqual([await eventsOf(kit, 'two'), await kit.store.hook('free')], [[], null]);
  });

  test('a token is free again when its hook was closed, and when its run has ended', async (kit) => {
    const one = await kit.hold({ id: 'one' });
    await one.apply({ hooks: { create: [newHook()], close: [] } });
    await one.apply({ hooks: { create: [], close: ['token_1'] } });
    await one.apply({ hooks: { create: [newHook({ key: 'again' })], close: [] } });
    assert.equal((await kit.store.hook('token_1'))?.key, 'again');
    await one.apply({ then: { kind: 'end', status: 'completed', result: null, error: null, errorCode: null } });
    const two = await kit.hold({ id: 'two' });
    await two.apply({ hooks: { create: [newHook()], close: [] } });
    assert.deepEqual(await kit.store.hook('token_1').then((hook) => [hook?.run, hook?.status]), ['two', 'open']);
  });

  test('one commit cannot create two hooks of one token', async ({ store, hold }) => {
    const held = await hold();
    const create = [newHook({ key: 'a' }), newHook({ key: 'b' })];
    assert.deepEqual(await held.commit({ hooks: { create, close: [] } }), {
      kind: 'token_taken',
      tokenHash: 'token_1',
      holder: { run: held.id, key: 'a' },
    });
    assert.equal(await store.hook('token_1'), null);
  });
}
