/** S5 to S9. */

import assert from 'node:assert/strict';
import type { Store } from '../../runtime/store.ts';
import { bytes, claimOne, describeOperation, getRun, holder, LEASE_MS, newRun, only, QUEUE, startOne } from './kit.ts';
import type { DescribeOperation, Kit, Spec } from './kit.ts';

/** Specs of `claim`. */
export const describeClaim: DescribeOperation = describeOperation('claim', (spec) => {
  tokens(spec);
  order(spec);
  attempts(spec);
  suspects(spec);
  nextDue(spec);
  repeats(spec);
});

function tokens({ test, timed }: Spec): void {
  test('a claim sets running, adds one to the epoch, and leases the run to its nonce', async ({ store }) => {
    await startOne(store);
    const { claims, now } = await claimOne(store, { nonce: 'n' });
    const { run, token, from } = only(claims);
    assert.deepEqual(token, { epoch: 1, nonce: 'n' });
    assert.deepEqual(
      [from, run.status, run.epoch, run.nonce, run.attempts, run.dueAt],
      ['start', 'running', 1, 'n', 1, now + LEASE_MS],
    );
    assert.deepEqual(await getRun(store, run.id), run);
  });

  test('a claim says which commit was applied last', async ({ store, hold }) => {
    const held = await hold();
    assert.equal((await getRun(store, held.id)).lastCommit, null);
    await held.apply({ id: 'first' });
    await held.apply({ id: 'second', then: { kind: 'yield' } });
    const { claims } = await claimOne(store, { nonce: 'next' });
    assert.equal(only(claims).run.lastCommit, 'second');
  });

  test('of many claims at once one gets the run', async ({ store }) => {
    await startOne(store);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => claimOne(store, { nonce: `n${index}` })),
    );
    assert.equal(answers.flatMap(({ claims }) => claims).length, 1);
  });

  test('many claims at once share out many runs, none twice', async ({ store }) => {
    await store.start(Array.from({ length: 50 }, (_, index) => newRun({ id: `run_${index}` })));
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        store.claim({ queues: [QUEUE], limit: 7, suspects: 1, leaseMs: LEASE_MS, nonce: `n${index}` }),
      ),
    );
    const ids = answers.flatMap(({ claims }) => claims.map(({ run }) => run.id));
    assert.deepEqual([ids.length, new Set(ids).size], [50, 50]);
  });

  timed(
    'a run whose lease expired goes to the next claim, and its earlier holder is fenced',
    async ({ store, advance, hold }) => {
      const earlier = await hold();
      await advance(LEASE_MS - 1);
      assert.deepEqual((await claimOne(store, { nonce: 'early' })).claims, []);
      await advance(1);
      const claim = only((await claimOne(store, { nonce: 'late' })).claims);
      assert.deepEqual([claim.from, claim.token], ['lease', { epoch: 2, nonce: 'late' }]);
      assert.equal((await earlier.commit()).kind, 'fenced');
    },
  );

  timed('a holder whose lease expired may go on as long as nobody has claimed the run', async ({ advance, hold }) => {
    const slow = await hold();
    await advance(LEASE_MS * 3);
    assert.equal((await slow.apply({ events: [bytes('e')] })).extended, true);
  });
}

function order({ test, timed }: Spec): void {
  timed('the earliest due goes first, over all queues asked for', async ({ store, advance }) => {
    for (const [id, queue] of [
      ['a', 'x'],
      ['b', 'y'],
      ['c', 'x'],
    ] as const) {
      await startOne(store, { id, queue });
      await advance(1);
    }
    const { claims } = await store.claim({ queues: ['y', 'x'], limit: 2, suspects: 0, leaseMs: LEASE_MS, nonce: 'n' });
    assert.deepEqual(
      claims.map(({ run }) => run.id),
      ['a', 'b'],
    );
  });

  test('runs of queues that were not asked for are left alone', async ({ store }) => {
    await startOne(store, { id: 'a', queue: 'other' });
    const answer = await claimOne(store, { nonce: 'n' });
    assert.deepEqual([answer.claims, answer.nextDueInMs], [[], null]);
  });

  timed(
    'a waiting run is claimable from its wake time on, one without a time never by itself',
    async ({ store, advance, hold }) => {
      const sleeper = await hold({ id: 'sleeper' });
      const forever = await hold({ id: 'forever' });
      const { now } = await sleeper.apply();
      await sleeper.apply({ then: { kind: 'wait', dueAt: now + 1_000 } });
      await forever.apply({ then: { kind: 'wait', dueAt: null } });
      await advance(999);
      assert.deepEqual((await claimOne(store, { nonce: 'early' })).claims, []);
      await advance(1);
      assert.deepEqual(
        [only((await claimOne(store, { nonce: 'late' })).claims)].map(({ run, from }) => [run.id, from]),
        [['sleeper', 'wait']],
      );
      await advance(LEASE_MS - 1);
      assert.deepEqual((await claimOne(store, { nonce: 'later' })).claims, []);
    },
  );
}

function attempts({ test, timed }: Spec): void {
  timed('claims of a first start and of expired leases count as attempts', async ({ store, advance, hold }) => {
    await hold();
    for (const expected of [2, 3, 4]) {
      await advance(LEASE_MS);
      assert.equal(only((await claimOne(store, { nonce: `n${expected}` })).claims).run.attempts, expected);
    }
  });

  test('claims after a wait, a yield and a resume do not count', async ({ store, hold }) => {
    let held = await hold();
    for (const then of [
      { kind: 'yield' },
      { kind: 'wait', dueAt: 0 },
      { kind: 'park', code: 'divergence', details: bytes('d') },
    ] as const) {
      await held.apply({ then });
      if (then.kind === 'park') await store.control(held.id, 'resume');
      const claim = only((await claimOne(store, { nonce: then.kind })).claims);
      assert.deepEqual(
        [claim.run.attempts, claim.from],
        [then.kind === 'park' ? 0 : 1, then.kind === 'wait' ? 'wait' : 'yield'],
      );
      held = holder(store, claim);
    }
  });
}

/** Runs that were claimed twice and not heard of again; their leases have expired. */
async function loseHolders({ store, advance }: Kit, ids: string[]): Promise<void> {
  for (const id of ids) await store.start([newRun({ id, queue: 'poison' })], { nonce: `lost_${id}`, leaseMs: 0 });
  await advance(1);
  await store.claim({ queues: ['poison'], limit: ids.length, suspects: 0, leaseMs: 0, nonce: 'lost_again' });
  await advance(1);
}

function suspects({ timed }: Spec): void {
  timed('a claim returns no more suspects than asked for, and healthy runs behind them nonetheless', async (kit) => {
    await loseHolders(kit, ['s1', 's2', 's3']);
    await startOne(kit.store, { id: 'healthy', queue: 'poison' });
    const claim = (nonce: string, suspected: number) =>
      kit.store.claim({ queues: ['poison'], limit: 10, suspects: suspected, leaseMs: LEASE_MS, nonce });
    const none = await claim('a', 0);
    assert.deepEqual(
      none.claims.map(({ run }) => run.id),
      ['healthy'],
    );
    const some = await claim('b', 2);
    assert.deepEqual(
      some.claims.map(({ run }) => [run.id, run.attempts]),
      [
        ['s1', 3],
        ['s2', 3],
      ],
    );
    assert.equal((await claim('c', 1)).claims.length, 1);
  });

  timed('suspects beyond the limit do not make more due now', async (kit) => {
    await loseHolders(kit, ['s1', 's2']);
    const answer = await kit.store.claim({ queues: ['poison'], limit: 10, suspects: 1, leaseMs: LEASE_MS, nonce: 'n' });
    assert.deepEqual([answer.claims.length, answer.nextDueInMs], [1, null]);
  });
}

function nextDue({ test, timed }: Spec): void {
  test('no run, no next due time', async ({ store }) => {
    assert.equal((await claimOne(store, { nonce: 'n' })).nextDueInMs, null);
  });

  test('more due than the limit is due now; what the claim returned does not count', async ({ store }) => {
    await store.start([newRun({ id: 'a' }), newRun({ id: 'b' })]);
    assert.equal((await claimOne(store, { nonce: 'n1' })).nextDueInMs, 0);
    assert.equal((await claimOne(store, { nonce: 'n2' })).nextDueInMs, LEASE_MS);
  });

  timed('the next due time is the earliest wake time or lease expiry', async ({ store, advance, hold }) => {
    const sleeper = await hold({ id: 'sleeper' });
    const { now } = await sleeper.apply();
    await sleeper.apply({ then: { kind: 'wait', dueAt: now + 700 } });
    await hold({ id: 'running' });
    assert.equal((await claimOne(store, { nonce: 'a' })).nextDueInMs, 700);
    await advance(200);
    assert.equal((await claimOne(store, { nonce: 'b' })).nextDueInMs, 500);
  });
}

function repeats({ test, timed }: Spec): void {
  const claimAll = (store: Store, nonce: string) =>
    store.claim({ queues: [QUEUE], limit: 10, suspects: 1, leaseMs: LEASE_MS, nonce });

  timed('a claim repeated with its nonce answers the same runs and takes no others', async ({ store, advance }) => {
    await store.start([newRun({ id: 'a' }), newRun({ id: 'b' })]);
    const first = await claimAll(store, 'n');
    await startOne(store, { id: 'c' });
    await advance(10);
    const again = await claimAll(store, 'n');
    assert.deepEqual(again.claims, first.claims);
    assert.equal(again.nextDueInMs, 0);
    assert.equal((await getRun(store, 'c')).status, 'ready');
  });

  test('the messages that a store answers with a claim, and with its repetition, are those that loading the run brings', async ({
    store,
    hold,
  }) => {
    const held = await hold();
    await store.deliver([{ to: { run: held.id }, id: 'before', payload: bytes('before') }]);
    await held.apply({ seen: 1, received: 1, then: { kind: 'wait', dueAt: null } });
    for (const id of ['first', 'second']) await store.deliver([{ to: { run: held.id }, id, payload: bytes(id) }]);
    const claims = [only((await claimAll(store, 'n')).claims), only((await claimAll(store, 'n')).claims)];
    const loaded = (await store.load(held.id))?.messages;
    assert.deepEqual(
      loaded?.map(({ seq, id }) => [seq, id]),
      [
        [1, 'first'],
        [2, 'second'],
      ],
    );
    for (const { messages } of claims) assert.deepEqual(messages ?? loaded, loaded);
  });

  test('a repeated claim leaves out what its nonce does not hold any more', async ({ store }) => {
    await store.start([newRun({ id: 'a' }), newRun({ id: 'b' })]);
    const { claims } = await claimAll(store, 'n');
    const first = claims[0];
    assert.ok(first !== undefined);
    await holder(store, first).end();
    assert.deepEqual(
      (await claimAll(store, 'n')).claims.map(({ run }) => run.id),
      ['b'],
    );
  });

  test('a repeated claim that got nothing may get something', async ({ store }) => {
    await claimAll(store, 'n');
    await startOne(store);
    assert.equal((await claimAll(store, 'n')).claims.length, 1);
  });
}
