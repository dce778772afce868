/** S10 to S13, and S3 and S5 as far as a start sets times. */

import assert from 'node:assert/strict';
import {
  bytes,
  claimOne,
  describeOperation,
  expectKind,
  getRun,
  LEASE_MS,
  newRun,
  only,
  QUEUE,
  startOne,
  text,
} from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

/** Specs of `start`. */
export const describeStart: DescribeOperation = describeOperation('start', (spec) => {
  identity(spec);
  batches(spec);
  threads(spec);
  steering(spec);
  interrupts(spec);
  claiming(spec);
});

function identity({ test }: Spec): void {
  test('a new run is ready and due at the moment of its creation, with all that it was given', async ({ store }) => {
    const given = newRun({
      tenant: 'acme',
      thread: 't',
      attributes: { plan: 'pro', '"odd.name': 'x' },
      parent: { run: 'p', key: 'child' },
      supersedes: 'older',
    });
    const result = expectKind(only(await store.start([given])), 'created');
    assert.equal(result.token, null);
    const { whenBusy: _, ...columns } = given;
    const { input, ...rest } = await getRun(store, given.id);
    assert.equal(text(input), 'input');
    assert.deepEqual({ ...rest, input: given.input }, { ...columns, ...freshColumns(result.now), input: given.input });
  });

  test('the same id, workflow and input hash answers exists, however often, and changes nothing', async ({ store }) => {
    const created = await startOne(store);
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => store.start([newRun({ attributes: { other: 'x' } })])),
    );
    for (const answer of answers) assert.deepEqual(expectKind(only(answer), 'exists').run, created);
    assert.equal((await store.list({})).items.length, 1);
  });

  test('the same id with another workflow or input hash answers conflict with the run that has it', async ({
    store,
  }) => {
    const created = await startOne(store);
    assert.deepEqual(expectKind(only(await store.start([newRun({ inputHash: 'other' })])), 'conflict').run, created);
    assert.deepEqual(expectKind(only(await store.start([newRun({ workflow: 'other' })])), 'conflict').run, created);
  });

  test('many starts of one id at once create one run', async ({ store }) => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => store.start([newRun()])));
    assert.equal(answers.filter((answer) => only(answer).kind === 'created').length, 1);
    assert.equal(answers.filter((answer) => only(answer).kind === 'exists').length, 19);
  });

  test('payloads are opaque: any bytes come back as they were, none at all too', async ({ store }) => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    await startOne(store, { id: 'all', input: all });
    await startOne(store, { id: 'none', input: new Uint8Array(0) });
    assert.deepEqual([...(await getRun(store, 'all')).input], [...all]);
    assert.equal((await getRun(store, 'none')).input.length, 0);
  });
}

function freshColumns(now: number) {
  return {
    status: 'ready',
    dueAt: now,
    epoch: 0,
    nonce: null,
    lastCommit: null,
    head: 0,
    checkpoint: 0,
    inboxHead: 0,
    seen: 0,
    cancel: false,
    attempts: 0,
    suspects: null,
    result: null,
    error: null,
    errorCode: null,
    parked: null,
    createdAt: now,
    updatedAt: now,
    endedAt: null,
  };
}

function batches({ test }: Spec): void {
  test('a batch answers in its order, and a refused start does not hinder the others', async ({ store }) => {
    await startOne(store, { id: 'taken' });
    const answers = await store.start([
      newRun({ id: 'a' }),
      newRun({ id: 'taken', inputHash: 'other' }),
      newRun({ id: 'b' }),
    ]);
    assert.deepEqual(
      answers.map((answer) => answer.kind),
      ['created', 'conflict', 'created'],
    );
    assert.equal((await getRun(store, 'b')).status, 'ready');
  });

  test('a batch that has an id twice makes one run of it, and the second is answered as if it came later', async ({
    store,
  }) => {
    const answers = await store.start([
      newRun({ id: 'b', input: bytes('first') }),
      newRun({ id: 'a' }),
      newRun({ id: 'b', input: bytes('second') }),
      newRun({ id: 'b', inputHash: 'other' }),
    ]);
    assert.deepEqual(
      answers.map((answer) => answer.kind),
      ['created', 'created', 'exists', 'conflict'],
    );
    for (const answer of answers.slice(2))
      assert.deepEqual('run' in answer && answer.run, expectKind(answers[0], 'created').run);
    assert.equal(text((await getRun(store, 'b')).input), 'first');
  });

  test('runs of a batch are claimed and listed in its order, whatever their ids', async ({ store }) => {
    const ids = ['b', 'd', 'a', 'c'];
    await store.start(ids.map((id) => newRun({ id })));
    const listed = (await store.list({})).items.map((run) => run.id);
    assert.deepEqual(listed.toReversed(), ids);
    const { claims } = await store.claim({ queues: [QUEUE], limit: 4, suspects: 1, nonce: 'n', leaseMs: LEASE_MS });
    assert.deepEqual(
      claims.map(({ run }) => run.id),
      ids,
    );
  });

  test('a batch that claims gets what is new and has no limits', async ({ store }) => {
    await startOne(store, { id: 'known' });
    const news = [newRun({ id: 'z' }), newRun({ id: 'limited', limits: [{ key: 'k', most: 1 }] })];
    const answers = await store.start([...news, newRun({ id: 'known' }), newRun({ id: 'a' })], {
      nonce: 'n',
      leaseMs: LEASE_MS,
    });
    assert.deepEqual(
      answers.map((answer) => (answer.kind === 'created' ? [answer.run.status, answer.token?.epoch] : answer.kind)),
      [['running', 1], ['ready', undefined], 'exists', ['running', 1]],
    );
    assert.equal((await getRun(store, 'known')).status, 'ready');
  });
}

function threads({ test }: Spec): void {
  test('a thread with an active run refuses another one by default, and names the active one', async ({ store }) => {
    await startOne(store, { id: 'first', thread: 't' });
    const busy = expectKind(only(await store.start([newRun({ id: 'second', thread: 't' })])), 'busy');
    assert.equal(busy.active.id, 'first');
    assert.equal(await store.get('second'), null);
  });

  test('runs of other threads, and runs without one, are not in the way', async ({ store }) => {
    await startOne(store, { id: 'a', thread: 't' });
    await startOne(store, { id: 'b', thread: 'u' });
    await startOne(store, { id: 'c' });
    await startOne(store, { id: 'd' });
  });

  test('of many starts in one thread at once one becomes active', async ({ store }) => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => store.start([newRun({ id: `run_${index}`, thread: 't' })])),
    );
    assert.deepEqual(answers.map((answer) => only(answer).kind).toSorted(), [
      ...Array<string>(9).fill('busy'),
      'created',
    ]);
  });

  test('a queued run is not due, and becomes ready when the active one ends, oldest first', async ({ store, hold }) => {
    const active = await hold({ id: 'active', thread: 't' });
    for (const id of ['second', 'third']) {
      const { run, token } = expectKind(
        only(await store.start([newRun({ id, thread: 't', whenBusy: 'queue' })])),
        'created',
      );
      assert.deepEqual([run.status, run.dueAt, token], ['queued', null, null]);
    }
    assert.deepEqual((await claimOne(store, { nonce: 'none' })).claims, []);
    await active.end();
    assert.deepEqual(
      [(await getRun(store, 'second')).status, (await getRun(store, 'third')).status],
      ['ready', 'queued'],
    );
    const { claims } = await claimOne(store, { nonce: 'n' });
    assert.deepEqual([only(claims).run.id, only(claims).from], ['second', 'start']);
  });

  test('a parked or waiting run keeps its thread busy, an ended one does not', async ({ store, hold }) => {
    const parked = await hold({ id: 'parked', thread: 'p' });
    await parked.apply({ then: { kind: 'park', code: 'divergence', details: bytes('d') } });
    const waiting = await hold({ id: 'waiting', thread: 'w' });
    await waiting.apply({ then: { kind: 'wait', dueAt: null } });
    const ended = await hold({ id: 'ended', thread: 'e' });
    await ended.end();
    const answers = await store.start(['p', 'w', 'e'].map((thread) => newRun({ id: `next_${thread}`, thread })));
    assert.deepEqual(
      answers.map((answer) => answer.kind),
      ['busy', 'busy', 'created'],
    );
  });
}

function steering({ test }: Spec): void {
  test('a steering start becomes a user message of the active run, and no run', async ({ store, hold }) => {
    const active = await hold({ id: 'active', thread: 't' });
    const start = newRun({ id: 'message', thread: 't', whenBusy: 'steer', input: bytes('also this'), inputHash: 'h2' });
    const steered = expectKind(only(await store.start([start])), 'steered');
    assert.deepEqual([steered.active.id, steered.active.inboxHead], ['active', 1]);
    assert.equal(await store.get('message'), null);
    const { id, kind, key, payload, inputHash, seq } = only((await active.apply()).messages);
    assert.deepEqual([id, kind, key, text(payload), inputHash, seq], ['message', 'user', null, 'also this', 'h2', 0]);
  });

  test('a steering start wakes a waiting run', async ({ store, hold }) => {
    const active = await hold({ id: 'active', thread: 't' });
    await active.apply({ then: { kind: 'wait', dueAt: null } });
    await store.start([newRun({ id: 'message', thread: 't', whenBusy: 'steer' })]);
    assert.equal(only((await claimOne(store, { nonce: 'n' })).claims).from, 'wait');
  });

  test('a start that was accepted as a message answers steered again, even when that run has ended', async ({
    store,
    hold,
  }) => {
    const active = await hold({ id: 'active', thread: 't' });
    const start = newRun({ id: 'message', thread: 't', whenBusy: 'steer' });
    await store.start([start]);
    expectKind(only(await store.start([start])), 'steered');
    assert.equal((await getRun(store, 'active')).inboxHead, 1);
    await active.apply({
      seen: 1,
      then: { kind: 'end', status: 'completed', result: null, error: null, errorCode: null },
    });
    assert.equal(expectKind(only(await store.start([start])), 'steered').active.id, 'active');
    assert.equal(await store.get('message'), null);
  });

  test('a steering start whose id is that of another kind of message is a conflict', async ({ store, hold }) => {
    const active = await hold({ id: 'active', thread: 't' });
    await store.deliver([{ to: { run: active.id }, id: 'message', kind: 'wake', payload: bytes('w') }]);
    const conflict = expectKind(
      only(await store.start([newRun({ id: 'message', thread: 't', whenBusy: 'steer' })])),
      'conflict',
    );
    assert.deepEqual([conflict.run.id, conflict.run.inboxHead], ['active', 1]);
  });

  test('an id that another thread took as a message is free', async ({ store, hold }) => {
    await hold({ id: 'active', thread: 't' });
    await store.start([newRun({ id: 'message', thread: 't', whenBusy: 'steer' })]);
    expectKind(only(await store.start([newRun({ id: 'message', thread: 'u' })])), 'created');
  });
}

function interrupts({ test }: Spec): void {
  test('an interrupting start cancels the active run and waits behind it', async ({ store, hold }) => {
    const active = await hold({ id: 'active', thread: 't' });
    const next = expectKind(
      only(await store.start([newRun({ id: 'next', thread: 't', whenBusy: 'interrupt' })])),
      'created',
    );
    assert.equal(next.run.status, 'queued');
    assert.equal((await active.apply()).cancel, true);
    await active.end();
    assert.equal((await getRun(store, 'next')).status, 'ready');
  });

  test('if cancelling ends the active run, the new one is ready', async ({ store, hold }) => {
    const active = await hold({ id: 'active', thread: 't' });
    await active.apply({ then: { kind: 'park', code: 'crash_loop', details: bytes('d') } });
    const next = expectKind(
      only(await store.start([newRun({ id: 'next', thread: 't', whenBusy: 'interrupt' })])),
      'created',
    );
    assert.equal(next.run.status, 'ready');
    assert.equal((await getRun(store, 'active')).status, 'cancelled');
  });

  test('runs that were queued before go before an interrupting one', async ({ store, hold }) => {
    const active = await hold({ id: 'active', thread: 't' });
    await store.start([newRun({ id: 'queued', thread: 't', whenBusy: 'queue' })]);
    await active.apply({ then: { kind: 'park', code: 'crash_loop', details: bytes('d') } });
    const next = expectKind(
      only(await store.start([newRun({ id: 'next', thread: 't', whenBusy: 'interrupt' })])),
      'created',
    );
    assert.deepEqual([(await getRun(store, 'queued')).status, next.run.status], ['ready', 'queued']);
  });
}

function claiming({ test }: Spec): void {
  test('a start may claim in the same transition: running, first epoch, first attempt, leased', async ({ store }) => {
    const { run, token, now } = expectKind(
      only(await store.start([newRun()], { nonce: 'n', leaseMs: LEASE_MS })),
      'created',
    );
    assert.deepEqual(token, { epoch: 1, nonce: 'n' });
    assert.deepEqual(
      [run.status, run.epoch, run.nonce, run.attempts, run.dueAt],
      ['running', 1, 'n', 1, now + LEASE_MS],
    );
    assert.deepEqual((await claimOne(store, { nonce: 'other' })).claims, []);
  });

  test('a start that claims does not claim a run that exists or is queued', async ({ store }) => {
    await startOne(store, { thread: 't' });
    const claim = { nonce: 'n', leaseMs: LEASE_MS };
    const answers = await store.start(
      [newRun({ thread: 't' }), newRun({ id: 'next', thread: 't', whenBusy: 'queue' })],
      claim,
    );
    assert.equal(expectKind(answers[0], 'exists').run.status, 'ready');
    assert.equal(expectKind(answers[1], 'created').token, null);
  });
}
