/** S20 and S21: messages to runs, to hooks and to approvals. */

import assert from 'node:assert/strict';
import { SUSPECT_ATTEMPTS } from '../../runtime/store.ts';
import type { Delivery, DeliverResult, NewHook, NewRun, Store } from '../../runtime/store.ts';
import {
  bytes,
  claimOne,
  describeOperation,
  expectKind,
  getRun,
  holder,
  LEASE_MS,
  newHook,
  newRun,
  only,
  QUEUE,
  startOne,
  text,
} from './kit.ts';
import type { DescribeOperation, Kit, Spec } from './kit.ts';

/** Specs of `deliver`. */
export const describeDeliver: DescribeOperation = describeOperation('deliver', (spec) => {
  toRuns(spec);
  statuses(spec);
  toHooks(spec);
  toOthers(spec);
  toApprovals(spec);
  toSharedApprovals(spec);
  claiming(spec);
  claimingNot(spec);
});

async function deliver(store: Store, delivery: Partial<Delivery> & Pick<Delivery, 'to'>): Promise<DeliverResult> {
  return only(await store.deliver([{ id: 'm', payload: bytes('m'), ...delivery }]));
}

function toRuns({ test }: Spec): void {
  test('messages are kept in order with all that they were given', async ({ store, hold }) => {
    const held = await hold();
    const deliveries: Delivery[] = [
      { to: { run: held.id }, id: 'a', kind: 'user', payload: bytes('1'), inputHash: 'h', by: 'ada' },
      { to: { run: held.id }, id: 'b', kind: 'wake', payload: bytes('2') },
    ];
    assert.deepEqual(
      await store.deliver(deliveries),
      [0, 1].map(() => ({ kind: 'ok', run: held.id, hook: null })),
    );
    const { messages, now } = await held.apply();
    assert.deepEqual(
      messages.map(({ payload, ...rest }) => ({ ...rest, payload: text(payload) })),
      [
        { seq: 0, id: 'a', kind: 'user', key: null, payload: '1', status: null, inputHash: 'h', by: 'ada', at: now },
        { seq: 1, id: 'b', kind: 'wake', key: null, payload: '2', status: null, inputHash: null, by: null, at: now },
      ],
    );
  });

  test('a message id is taken once by a run, however often and from how many sides it comes', async ({
    store,
    hold,
  }) => {
    const held = await hold();
    const answers = await Promise.all(Array.from({ length: 10 }, () => deliver(store, { to: { run: held.id } })));
    assert.deepEqual(answers.map(({ kind }) => kind).toSorted(), [...Array<string>(9).fill('duplicate'), 'ok']);
    assert.equal((await getRun(store, held.id)).inboxHead, 1);
  });

  test('two runs may take the same message id', async ({ store }) => {
    await store.start([newRun({ id: 'a' }), newRun({ id: 'b' })]);
    const answers = await store.deliver(['a', 'b'].map((run) => ({ to: { run }, id: 'm', payload: bytes('m') })));
    assert.deepEqual(
      answers.map(({ kind }) => kind),
      ['ok', 'ok'],
    );
  });

  test('many messages at once get dense positions', async ({ store, hold }) => {
    const held = await hold();
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => deliver(store, { to: { run: held.id }, id: `m${index}` })),
    );
    const { messages } = await held.apply();
    assert.deepEqual(
      messages.map(({ seq }) => seq),
      Array.from({ length: 20 }, (_, index) => index),
    );
  });

  test('a batch answers in its order, and a refused message does not hinder the others', async ({ store }) => {
    await startOne(store);
    const answers = await store.deliver(
      ['run_1', 'nobody', 'run_1'].map((run, index) => ({ to: { run }, id: `m${index}`, payload: bytes('m') })),
    );
    assert.deepEqual(
      answers.map(({ kind }) => kind),
      ['ok', 'not_found', 'ok'],
    );
  });
}

function statuses({ test }: Spec): void {
  test('a waiting run becomes ready and due now', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ then: { kind: 'wait', dueAt: null } });
    await deliver(store, { to: { run: held.id } });
    const claim = only((await claimOne(store, { nonce: 'n' })).claims);
    assert.deepEqual([claim.from, claim.run.inboxHead, claim.run.seen], ['wait', 1, 0]);
  });

  test('parked and queued runs keep the message and stay as they are', async ({ store, hold }) => {
    const parked = await hold({ id: 'parked', thread: 't' });
    await parked.apply({ then: { kind: 'park', code: 'divergence', details: bytes('d') } });
    await store.start([newRun({ id: 'queued', thread: 't', whenBusy: 'queue' })]);
    for (const id of ['parked', 'queued']) {
      assert.equal((await deliver(store, { to: { run: id } })).kind, 'ok');
      const run = await getRun(store, id);
      assert.deepEqual([run.status, run.dueAt, run.inboxHead], [id, null, 1]);
    }
    assert.equal((await store.load('parked'))?.messages.length, 1);
  });

  test('an ended run answers gone, but duplicate for what it took before', async ({ store, hold }) => {
    const held = await hold();
    await deliver(store, { to: { run: held.id }, id: 'early' });
    await held.apply({ seen: 1, then: { kind: 'end', status: 'failed', result: null, error: null, errorCode: null } });
    assert.deepEqual(await deliver(store, { to: { run: held.id }, id: 'late' }), {
      kind: 'gone',
      run: held.id,
      hook: null,
    });
    assert.equal((await deliver(store, { to: { run: held.id }, id: 'early' })).kind, 'duplicate');
  });
}

async function holdHook(kit: Kit, change: Partial<NewHook> = {}, run: Partial<NewRun> = {}) {
  const held = await kit.hold(run);
  await held.apply({ hooks: { create: [newHook(change)], close: [] } });
  return held;
}

function toHooks({ test }: Spec): void {
  test('an open hook takes a payload as a message with its key', async (kit) => {
    const held = await holdHook(kit);
    const answer = await deliver(kit.store, { to: { hook: 'token_1' }, payload: bytes('paid'), by: 'ada' });
    assert.ok(answer.kind === 'ok');
    assert.deepEqual([answer.run, answer.hook?.status, answer.hook?.resolvedAt !== null], [held.id, 'resolved', true]);
    const { messages, now } = await held.apply();
    assert.deepEqual(answer.hook?.responders, [{ by: 'ada', approved: true, at: now }]);
    const message = only(messages);
    assert.deepEqual([message.kind, message.key, text(message.payload), message.by], ['hook', 'hook', 'paid', 'ada']);
  });

  test('a hook that takes one payload is gone after it, and duplicate for the one that it took', async (kit) => {
    const held = await holdHook(kit);
    const answers = await Promise.all(['a', 'b', 'c'].map((id) => deliver(kit.store, { to: { hook: 'token_1' }, id })));
    assert.deepEqual(answers.map(({ kind }) => kind).toSorted(), ['gone', 'gone', 'ok']);
    const taken = only((await held.apply()).messages).id;
    assert.equal((await deliver(kit.store, { to: { hook: 'token_1' }, id: taken })).kind, 'duplicate');
  });

  test('a hook that its run creates again is open to the next one who answers', async (kit) => {
    const held = await holdHook(kit);
    await deliver(kit.store, { to: { hook: 'token_1' }, id: 'a', by: 'ada' });
    await held.apply();
    await held.apply({ hooks: { create: [newHook()], close: [] } });
    const open = await kit.store.hook('token_1');
    assert.deepEqual([open?.status, open?.responders, open?.resolvedAt], ['open', [], null]);
    const answer = await deliver(kit.store, { to: { hook: 'token_1' }, id: 'b', by: 'ben' });
    assert.deepEqual(answer.kind === 'ok' && answer.hook?.responders.map(({ by }) => by), ['ben']);
  });

  test('a hook that takes many stays open', async (kit) => {
    const held = await holdHook(kit, { once: false });
    for (const id of ['a', 'b', 'a']) await deliver(kit.store, { to: { hook: 'token_1' }, id });
    assert.deepEqual(
      (await held.apply()).messages.map(({ id }) => id),
      ['a', 'b'],
    );
    assert.equal((await kit.store.hook('token_1'))?.status, 'open');
  });

  test('a payload wakes a waiting run', async (kit) => {
    const held = await holdHook(kit);
    await held.apply({ then: { kind: 'wait', dueAt: null } });
    await deliver(kit.store, { to: { hook: 'token_1' } });
    assert.equal((await getRun(kit.store, held.id)).status, 'ready');
  });
}

function toOthers({ test }: Spec): void {
  test('an unknown token is not found', async (kit) => {
    await holdHook(kit);
    assert.equal((await deliver(kit.store, { to: { hook: 'unknown' } })).kind, 'not_found');
  });

  test('a hook takes nothing that is meant for one of another kind', async (kit) => {
    const decision = { approved: true };
    const deliveries = {
      hook: { to: { hook: 'token_1' } },
      question: { to: { hook: 'token_1', kind: 'question' } },
      webhook: { to: { hook: 'token_1', kind: 'webhook' } },
      approval: { to: { hook: 'token_1' }, decision },
    } as const;
    for (const kind of ['hook', 'question', 'webhook', 'approval'] as const) {
      const held = await holdHook(kit, { kind }, { id: kind });
      for (const [other, delivery] of Object.entries(deliveries)) {
        if (other === kind) continue;
        assert.equal((await deliver(kit.store, delivery)).kind, 'not_found', `${other} to ${kind}`);
      }
      assert.equal((await deliver(kit.store, deliveries[kind])).kind, 'ok');
      await held.apply({
        seen: 1,
        then: { kind: 'end', status: 'completed', result: null, error: null, errorCode: null },
      });
    }
  });
}

/** An answer to the approval of `holdHook`. Its id is the name of the responder. */
const answer = (kit: Kit, by: string, options: { approved: boolean; id?: string }) =>
  deliver(kit.store, {
    to: { hook: 'token_1' },
    id: options.id ?? by,
    by,
    payload: bytes(by),
    decision: { approved: options.approved },
  });

function toApprovals({ test }: Spec): void {
  test('one answer decides an approval that needs one, and says who and when', async (kit) => {
    const held = await holdHook(kit, { kind: 'approval' });
    const first = await answer(kit, 'ada', { approved: true });
    assert.ok(first.kind === 'ok' && first.hook !== null);
    assert.deepEqual(first.hook.responders, [{ by: 'ada', approved: true, at: first.hook.resolvedAt }]);
    const late = await answer(kit, 'bob', { approved: false });
    assert.ok(late.kind === 'gone');
    assert.deepEqual(late.hook?.responders, first.hook.responders);
    const message = only((await held.apply()).messages);
    assert.deepEqual(
      [message.kind, message.key, message.by, text(message.payload)],
      ['decision', 'hook', 'ada', 'ada'],
    );
  });

  test('of racing decisions one wins', async (kit) => {
    const held = await holdHook(kit, { kind: 'approval' });
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => answer(kit, `p${index}`, { approved: index % 2 === 0 })),
    );
    assert.equal(answers.filter(({ kind }) => kind === 'ok').length, 1);
    assert.equal((await held.apply()).messages.length, 1);
  });
}

function toSharedApprovals({ test }: Spec): void {
  test('an approval that needs two is decided by two people, not by one twice, with one message', async (kit) => {
    const held = await holdHook(kit, { kind: 'approval', needed: 2 });
    assert.equal((await answer(kit, 'ada', { approved: true })).kind, 'ok');
    assert.equal((await answer(kit, 'ada', { approved: true, id: 'again' })).kind, 'duplicate');
    assert.deepEqual((await held.apply()).messages, []);
    assert.equal((await kit.store.hook('token_1'))?.status, 'open');
    assert.equal((await answer(kit, 'bob', { approved: true })).kind, 'ok');
    assert.deepEqual(
      (await held.apply()).messages.map(({ id }) => id),
      ['bob'],
    );
    assert.deepEqual(
      (await kit.store.hook('token_1'))?.responders.map(({ by }) => by),
      ['ada', 'bob'],
    );
  });

  test('one denial decides', async (kit) => {
    const held = await holdHook(kit, { kind: 'approval', needed: 3 });
    await answer(kit, 'ada', { approved: true });
    await answer(kit, 'bob', { approved: false });
    assert.deepEqual(
      (await held.apply()).messages.map(({ id }) => id),
      ['bob'],
    );
    assert.equal((await answer(kit, 'eve', { approved: true })).kind, 'gone');
  });

  test('a repeated answer is a duplicate also after the decision, and when it was not the deciding one', async (kit) => {
    await holdHook(kit, { kind: 'approval', needed: 2 });
    await answer(kit, 'ada', { approved: true });
    await answer(kit, 'bob', { approved: true });
    assert.deepEqual(
      [(await answer(kit, 'ada', { approved: true })).kind, (await answer(kit, 'bob', { approved: true })).kind],
      ['duplicate', 'duplicate'],
    );
  });

  test('a payload without a decision does not answer an approval', async (kit) => {
    await holdHook(kit, { kind: 'approval' });
    assert.equal((await deliver(kit.store, { to: { hook: 'token_1' } })).kind, 'not_found');
  });
}

const claim = { nonce: 'mine', leaseMs: LEASE_MS, queues: [QUEUE] };

function message(run: string): Delivery {
  return { to: { run }, id: 'm', payload: bytes('m') };
}

function claiming({ test }: Spec): void {
  test('a message may claim the run that it wakes in the same transition', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ id: 'left', then: { kind: 'wait', dueAt: null } });
    const { claimed, ...answer } = expectKind(only(await store.deliver([message(held.id)], claim)), 'ok');
    assert.deepEqual(answer, { kind: 'ok', run: held.id, hook: null });
    assert.ok(claimed !== undefined);
    const { run, token, from } = claimed.claim;
    assert.deepEqual(token, { epoch: held.token.epoch + 1, nonce: 'mine' });
    assert.deepEqual(
      [from, run.status, run.inboxHead, run.attempts, run.dueAt, run.lastCommit],
      ['wait', 'running', 1, 1, claimed.now + LEASE_MS, 'left'],
    );
    assert.deepEqual((await claimOne(store, { nonce: 'other' })).claims, []);
    await holder(store, { run, token }).apply({ seen: 1, received: 1 });
  });

  test('the messages that a store answers beside such a claim are those that loading the run brings', async ({
    store,
    hold,
  }) => {
    const held = await hold();
    await store.deliver([{ to: { run: held.id }, id: 'before', payload: bytes('before') }]);
    await held.apply({ seen: 1, received: 1, then: { kind: 'wait', dueAt: null } });
    const [{ claimed } = { claimed: undefined }] = (await store.deliver([message(held.id)], claim)).map((answer) =>
      expectKind(answer, 'ok'),
    );
    const loaded = (await store.load(held.id))?.messages;
    assert.deepEqual(
      loaded?.map(({ seq, id }) => [seq, id]),
      [[1, 'm']],
    );
    assert.deepEqual(claimed?.claim.messages ?? loaded, loaded);
  });

  test('a claim that came with a message is answered again to its nonce', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ then: { kind: 'wait', dueAt: null } });
    const { claimed } = expectKind(only(await store.deliver([message(held.id)], claim)), 'ok');
    const { claims } = await claimOne(store, { nonce: 'mine' });
    assert.deepEqual(only(claims).token, claimed?.claim.token);
  });

  test('the run of a hook is claimed with the payload, that of an approval with the answer that decides', async (kit) => {
    const held = await holdHook(kit, { kind: 'approval', needed: 2 });
    await held.apply({ then: { kind: 'wait', dueAt: null } });
    const answers = [];
    for (const by of ['ada', 'bob']) {
      const decision = { to: { hook: 'token_1' }, id: by, by, payload: bytes(by), decision: { approved: true } };
      answers.push(expectKind(only(await kit.store.deliver([decision], claim)), 'ok'));
    }
    assert.deepEqual(
      answers.map(({ claimed, hook }) => [claimed?.claim.run.id, hook?.status]),
      [
        [undefined, 'open'],
        [held.id, 'resolved'],
      ],
    );
  });
}

function claimingNot({ test, timed }: Spec): void {
  test('it claims no run that is held, parked or of another queue, nor with a message that is refused', async ({
    store,
    hold,
  }) => {
    const waiting = async (id: string): Promise<void> => {
      await (await hold({ id })).apply({ then: { kind: 'wait', dueAt: null } });
    };
    await hold({ id: 'held' });
    await (await hold({ id: 'parked' })).apply({ then: { kind: 'park', code: 'divergence', details: bytes('d') } });
    await waiting('elsewhere');
    await waiting('twice');
    await store.deliver([message('twice')]);
    const unclaimed = async (id: string, change: Partial<typeof claim> = {}): Promise<void> => {
      const answer = only(await store.deliver([message(id)], { ...claim, ...change }));
      assert.ok(!('claimed' in answer), `"${id}" was claimed`);
    };
    await unclaimed('held');
    await unclaimed('parked');
    await unclaimed('elsewhere', { queues: ['other@1'] });
    await unclaimed('twice');
  });

  timed('it claims no suspect', async ({ store, hold, advance }) => {
    const held = await hold();
    await advance(LEASE_MS);
    await claimOne(store, { nonce: 'second' });
    await advance(LEASE_MS);
    const { run, token } = only((await claimOne(store, { nonce: 'third' })).claims);
    assert.equal(run.attempts, SUSPECT_ATTEMPTS);
    await holder(store, { run, token }).apply({ then: { kind: 'wait', dueAt: null } });
    assert.ok(!('claimed' in only(await store.deliver([message(held.id)], claim))));
  });
}
