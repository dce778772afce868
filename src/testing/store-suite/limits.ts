/** S30 to S34. */

import assert from 'node:assert/strict';
import { systemIds } from '../../runtime/ids.ts';
import type { Claim, ClaimResult, Limit, NewRun, Store, Then } from '../../runtime/store.ts';
import { bytes, COMPLETED, describeOperation, getRun, holder, LEASE_MS, newRun, only, QUEUE, startOne } from './kit.ts';
import type { DescribeOperation, Holder, Kit, Spec } from './kit.ts';

/** Specs of limits. */
export const describeLimits: DescribeOperation = describeOperation('limits', (spec) => {
  slots(spec);
  leaving(spec);
  order(spec);
  wakingUp(spec);
  fairness(spec);
  severalKeys(spec);
  claimsByOthers(spec);
  nextDue(spec);
  rates(spec);
  nothingForgotten(spec);
});

const ONE: Limit = { key: 'one', most: 1 };
const TWO: Limit = { key: 'two', most: 2 };

/** A claim as workers make it: again while there is more to do. */
async function claim(
  store: Store,
  change: { limit?: number; queues?: string[]; suspects?: number; nonce?: string; leaseMs?: number } = {},
): Promise<ClaimResult> {
  const ids = systemIds();
  const claims: Claim[] = [];
  for (;;) {
    const limit = (change.limit ?? 100) - claims.length;
    const request = { queues: [QUEUE], suspects: 1, leaseMs: LEASE_MS, nonce: ids.nonce(), ...change, limit };
    const answer = await store.claim(request);
    claims.push(...answer.claims);
    if (answer.nextDueInMs !== 0 || claims.length >= (change.limit ?? 100)) return { ...answer, claims };
  }
}

async function claimIds(store: Store, change: Parameters<typeof claim>[1] = {}): Promise<string[]> {
  return (await claim(store, change)).claims.map(({ run }) => run.id);
}

async function startAll(store: Store, ids: string[], change: Partial<NewRun>): Promise<void> {
  await store.start(ids.map((id) => newRun({ id, ...change })));
}

async function claimHolder(store: Store): Promise<Holder> {
  return holder(store, only((await claim(store, { limit: 1 })).claims));
}

function slots({ test }: Spec): void {
  test('no more runs of a key are claimed than it has slots', async ({ store }) => {
    await startAll(store, ['a', 'b', 'c'], { limits: [TWO] });
    assert.deepEqual(await claimIds(store), ['a', 'b']);
    assert.deepEqual(await claimIds(store), []);
    const blocked = await getRun(store, 'c');
    assert.deepEqual([blocked.status, blocked.dueAt === null], ['ready', false]);
    assert.deepEqual(blocked.limits, [TWO]);
  });

  test('a commit that goes on keeps the slot, one that is refused changes none', async ({ store }) => {
    await startAll(store, ['a', 'b'], { limits: [ONE] });
    const held = await claimHolder(store);
    await held.apply({ events: [bytes('e')] });
    assert.equal((await held.commit({ expect: 7, then: COMPLETED })).kind, 'moved');
    assert.deepEqual(await claimIds(store), []);
  });

  test('a key that no run ever had is empty', async ({ store }) => {
    assert.deepEqual(await store.limits(['b', 'a']), [
      { key: 'b', held: 0, begun: 0, windowEnd: null },
      { key: 'a', held: 0, begun: 0, windowEnd: null },
    ]);
  });
}

function leaving({ test, timed }: Spec): void {
  const leavings: Array<[string, (kit: Kit, held: Holder) => Promise<unknown>]> = [
    ['waits', (_kit, held) => held.apply({ then: { kind: 'wait', dueAt: null } })],
    ['is parked', (_kit, held) => held.apply({ then: { kind: 'park', code: 'divergence', details: bytes('d') } })],
    ['ends', (_kit, held) => held.end()],
    ['is terminated', ({ store }, held) => store.control(held.id, 'terminate')],
  ];
  for (const [words, leave] of leavings) {
    test(`a run that ${words} gives its slot to the next`, async (kit) => {
      await startAll(kit.store, ['a', 'b', 'c'], { limits: [ONE] });
      const held = await claimHolder(kit.store);
      assert.deepEqual(await kit.store.limits(['one']), [{ key: 'one', held: 1, begun: 0, windowEnd: null }]);
      await leave(kit, held);
      assert.deepEqual(await kit.store.limits(['one']), [{ key: 'one', held: 0, begun: 0, windowEnd: null }]);
      assert.deepEqual(await claimIds(kit.store), ['b']);
    });
  }

  timed('a run that yields stands behind those that waited for its slot', async ({ store, advance }) => {
    await startAll(store, ['a', 'b'], { limits: [ONE] });
    const held = await claimHolder(store);
    await advance(1);
    await held.apply({ then: { kind: 'yield' } });
    assert.deepEqual(await claimIds(store), ['b']);
  });

  timed('a lease that expired and is claimed again has one slot', async ({ store, advance }) => {
    await startAll(store, ['a', 'b', 'c'], { limits: [TWO] });
    await claim(store);
    await advance(LEASE_MS);
    const again = (await claim(store)).claims;
    assert.deepEqual(
      again.map(({ run, from }) => [run.id, from]),
      [
        ['a', 'lease'],
        ['b', 'lease'],
      ],
    );
    assert.equal(only(await store.limits(['two'])).held, 2);
    await holder(store, again[0] as Claim).end();
    assert.deepEqual(await claimIds(store), ['c']);
  });

  test('a claim that is repeated takes no second slot', async ({ store }) => {
    await startAll(store, ['a', 'b', 'c'], { limits: [TWO] });
    for (let times = 0; times < 2; times += 1)
      assert.deepEqual(await claimIds(store, { nonce: 'same', limit: 1 }), ['a']);
    assert.equal(only(await store.limits(['two'])).held, 1);
    assert.deepEqual(await claimIds(store), ['b']);
  });
}

function order({ test, timed }: Spec): void {
  timed('what waits for a key goes in the order in which it fell due, whatever other keys it has', async (kit) => {
    const { store, advance } = kit;
    await startOne(store, { id: 'first', limits: [ONE] });
    let held = await claimHolder(store);
    const others: Array<[string, Limit[]]> = [
      ['a', [{ key: 'x', most: 5 }, ONE]],
      ['b', [ONE]],
      ['c', [ONE, { key: 'y', most: 5 }]],
      ['d', [{ key: 'x', most: 5 }, ONE]],
    ];
    for (const [id, limits] of others) {
      await advance(1);
      await startOne(store, { id, limits });
    }
    const went: string[] = [];
    for (const _ of others) {
      assert.deepEqual(await claimIds(store), []);
      await held.end();
      held = await claimHolder(store);
      went.push(held.id);
    }
    assert.deepEqual(went, ['a', 'b', 'c', 'd']);
  });

  timed('runs with and without limits share one order', async ({ store, advance }) => {
    for (const [id, limits] of [
      ['a', [TWO]],
      ['b', []],
      ['c', [TWO]],
      ['d', []],
    ] as const) {
      await startOne(store, { id, limits });
      await advance(1);
    }
    assert.deepEqual(await claimIds(store, { limit: 3 }), ['a', 'b', 'c']);
  });

  test('what is blocked hinders nobody else', async ({ store }) => {
    await startAll(
      store,
      Array.from({ length: 300 }, (_, index) => `big_${index}`),
      { limits: [{ key: 'big', most: 1 }] },
    );
    await startAll(store, ['small_1', 'small_2'], { limits: [{ key: 'small', most: 1 }] });
    await startOne(store, { id: 'free' });
    assert.deepEqual(await claimIds(store), ['big_0', 'small_1', 'free']);
  });
}

function wakingUp({ timed }: Spec): void {
  timed('runs that sleep wait for a slot from the moment at which they wake', async ({ store, advance }) => {
    await startAll(store, ['late', 'early', 'busy'], { limits: [{ key: 'k', most: 3 }] });
    const { claims, now } = await claim(store);
    const held = new Map(claims.map((one) => [one.run.id, holder(store, one)]));
    await held.get('late')?.apply({ then: { kind: 'wait', dueAt: now + 200 } });
    await held.get('early')?.apply({ then: { kind: 'wait', dueAt: now + 100 } });
    assert.equal((await claim(store)).nextDueInMs, 100);
    await startOne(store, { id: 'new', limits: [{ key: 'k', most: 1 }] });
    await advance(300);
    assert.deepEqual(await claimIds(store), []);
    for (const expected of ['new', 'early', 'late']) {
      await held.get('busy')?.apply({ then: { kind: 'wait', dueAt: null } });
      const next = await claimHolder(store);
      assert.equal(next.id, expected);
      held.set('busy', next);
    }
  });
}

function fairness({ test, timed }: Spec): void {
  timed('a suspect in front of its key does not hold up the healthy ones behind it', async ({ store, advance }) => {
    await startAll(store, ['poison', 'healthy'], { limits: [ONE] });
    for (let deaths = 0; deaths < 3; deaths += 1) {
      await claim(store, { limit: 1 });
      await advance(LEASE_MS);
    }
    const held = holder(store, only((await claim(store)).claims));
    await held.apply({ then: { kind: 'yield' } });
    assert.deepEqual(await claimIds(store, { suspects: 0 }), ['healthy']);
  });

  test('numbers that were raised count for those that wait already', async ({ store }) => {
    await startAll(store, ['a', 'b', 'c'], { limits: [ONE] });
    assert.deepEqual(await claimIds(store), ['a']);
    assert.deepEqual(await claimIds(store), []);
    await startOne(store, { id: 'd', limits: [{ key: 'one', most: 3 }] });
    assert.deepEqual(await claimIds(store), ['b', 'c']);
  });
}

function severalKeys({ test }: Spec): void {
  test('a run with several keys needs room under all, and takes none while one is full', async ({ store }) => {
    await startOne(store, { id: 'first', limits: [ONE] });
    const first = await claimHolder(store);
    await startOne(store, { id: 'both', limits: [TWO, ONE] });
    assert.deepEqual(await claimIds(store), []);
    assert.equal(only(await store.limits(['two'])).held, 0);
    await first.end();
    assert.deepEqual(await claimIds(store), ['both']);
    assert.deepEqual(
      (await store.limits(['one', 'two'])).map(({ held }) => held),
      [1, 1],
    );
  });

  test('room that the first in line cannot use goes to the next', async ({ store }) => {
    await startAll(store, ['x', 'y'], { limits: [TWO] });
    await startOne(store, { id: 'z', limits: [ONE] });
    const held = (await claim(store)).claims.map((one) => holder(store, one));
    await startOne(store, { id: 'needs_both', limits: [TWO, ONE] });
    await startOne(store, { id: 'needs_two', limits: [TWO] });
    assert.deepEqual(await claimIds(store), []);
    await held[0]?.end();
    assert.deepEqual(await claimIds(store), ['needs_two']);
    await held[2]?.end();
    assert.deepEqual(await claimIds(store), []);
    await held[1]?.end();
    assert.deepEqual(await claimIds(store), ['needs_both']);
  });

  test('the end of what stands first in line passes its turn on', async ({ store }) => {
    await startOne(store, { id: 'first', limits: [ONE] });
    const first = await claimHolder(store);
    await startOne(store, { id: 'doomed', limits: [ONE, TWO] });
    await startOne(store, { id: 'next', limits: [ONE] });
    assert.deepEqual(await claimIds(store), []);
    await first.end();
    await store.control('doomed', 'terminate');
    assert.deepEqual(await claimIds(store), ['next']);
  });

  test('what another queue does not claim does not keep this one from its turn', async ({ store }) => {
    await startOne(store, { id: 'first', limits: [ONE] });
    const first = await claimHolder(store);
    await startOne(store, { id: 'elsewhere', queue: 'other@1', limits: [ONE] });
    await startOne(store, { id: 'here', limits: [ONE] });
    assert.deepEqual(await claimIds(store, { queues: [QUEUE, 'other@1'] }), []);
    await first.end();
    assert.deepEqual(await claimIds(store), ['here']);
    assert.deepEqual(await claimIds(store, { queues: ['other@1'] }), []);
  });
}

function claimsByOthers({ test }: Spec): void {
  test('a start with a claim leaves a run with limits to the workers', async ({ store }) => {
    const [created] = await store.start([newRun({ limits: [ONE] })], { nonce: 'n', leaseMs: LEASE_MS });
    assert.equal(created?.kind === 'created' ? created.token : undefined, null);
    assert.deepEqual(await claimIds(store), ['run_1']);
  });

  test('so does a delivery', async ({ store }) => {
    await startOne(store, { limits: [ONE] });
    const held = await claimHolder(store);
    await held.apply({ then: { kind: 'wait', dueAt: null } });
    const delivery = { to: { run: held.id }, id: 'm', payload: bytes('m') };
    const [answer] = await store.deliver([delivery], { nonce: 'n', leaseMs: LEASE_MS, queues: [QUEUE] });
    assert.equal(answer?.kind === 'ok' ? answer.claimed : null, undefined);
    assert.deepEqual(await claimIds(store), [held.id]);
  });
}

function nextDue({ test, timed }: Spec): void {
  test('blocked runs are not due', async ({ store }) => {
    await startAll(store, ['a', 'b', 'c'], { limits: [ONE] });
    assert.equal((await claim(store, { limit: 1, leaseMs: 20_000 })).nextDueInMs, null);
    const other = await claim(store);
    assert.deepEqual([other.claims.length, (other.nextDueInMs ?? 0) > LEASE_MS], [0, true]);
  });

  test('a slot that was released makes the next one due', async ({ store }) => {
    await startAll(store, ['a', 'b'], { limits: [ONE] });
    const held = await claimHolder(store);
    await claim(store);
    await held.end();
    const answer = await store.claim({ queues: [QUEUE], limit: 0, suspects: 1, leaseMs: LEASE_MS, nonce: 'look' });
    assert.deepEqual([answer.claims, answer.nextDueInMs], [[], 0]);
  });

  timed('sleepers with limits are due when they wake', async ({ store }) => {
    await startOne(store, { limits: [ONE] });
    const held = await claimHolder(store);
    const { now } = await held.apply();
    await held.apply({ then: { kind: 'wait', dueAt: now + 700 } });
    assert.equal((await claim(store)).nextDueInMs, 700);
  });
}

function rates({ timed }: Spec): void {
  const RATE: Limit = { key: 'rate', most: 2, perMs: 1_000 };

  timed('of a rate so many begin in a window, the next when it has ended', async ({ store, advance }) => {
    await startAll(store, ['a', 'b', 'c', 'd', 'e'], { limits: [RATE] });
    const { claims, nextDueInMs, now } = await claim(store);
    assert.deepEqual([claims.length, nextDueInMs], [2, 1_000]);
    assert.deepEqual(await store.limits(['rate']), [{ key: 'rate', held: 0, begun: 2, windowEnd: now + 1_000 }]);
    for (const one of claims) await holder(store, one).end();
    await advance(999);
    assert.deepEqual(await claimIds(store), []);
    await advance(1);
    assert.deepEqual(await store.limits(['rate']), [{ key: 'rate', held: 0, begun: 0, windowEnd: null }]);
    assert.deepEqual(await claimIds(store), ['c', 'd']);
    await advance(1_000);
    assert.deepEqual(await claimIds(store), ['e']);
  });

  timed('runs that go on do not count for a rate, nor does it hold them up', async ({ store, advance }) => {
    await startAll(store, ['a', 'b', 'c'], { limits: [RATE] });
    const { claims } = await claim(store);
    const [a, b] = claims.map((one) => holder(store, one));
    await a?.apply({ then: { kind: 'wait', dueAt: null } });
    await store.deliver([{ to: { run: 'a' }, id: 'm', payload: bytes('m') }]);
    await b?.apply({ then: { kind: 'yield' } });
    assert.deepEqual((await claimIds(store)).toSorted(), ['a', 'b']);
    assert.equal(only(await store.limits(['rate'])).begun, 2);
    await advance(1_000);
    assert.equal((await claimIds(store)).includes('c'), true);
  });

  timed('a rate and slots hold together', async ({ store, advance }) => {
    await startAll(store, ['a', 'b', 'c', 'd'], { limits: [RATE, { key: 'slot', most: 1 }] });
    const first = await claimHolder(store);
    assert.deepEqual(await claimIds(store), []);
    await first.end();
    const second = await claimHolder(store);
    assert.equal(second.id, 'b');
    await second.end();
    assert.deepEqual(await claimIds(store), []);
    await advance(1_000);
    assert.deepEqual(await claimIds(store), ['c']);
    await advance(1_000);
    assert.deepEqual(await claimIds(store), []);
    await store.control('c', 'terminate');
    assert.deepEqual(await claimIds(store), ['d']);
  });
}

const KEYS = ['x', 'y', 'z'];
const MOST = 2;

function nothingForgotten({ test }: Spec): void {
  test('workers that claim while others leave end all runs, and never hold more than there are slots', async ({
    store,
  }) => {
    const limits = (index: number): Limit[] =>
      [index % 3, ...(index % 2 === 0 ? [(index + 1) % 3] : [])].map((key) => ({ key: KEYS[key] ?? '', most: MOST }));
    const ids = Array.from({ length: 40 }, (_, index) => `run_${index}`);
    await store.start(ids.map((id, index) => newRun({ id, limits: limits(index) })));
    let held: Claim[] = [];
    do {
      const [claimed] = await Promise.all([
        Promise.all(Array.from({ length: 4 }, () => claim(store, { limit: 2 }))),
        ...held.map((one) => leave(store, one)),
      ]);
      // Claimed in one round, these are held together; those of the round before may have left.
      held = claimed.flatMap(({ claims }) => claims);
      if (held.length === 0) held = (await claim(store)).claims;
      assertRoom(held);
    } while (held.length > 0);
    for (const id of ids) assert.equal((await getRun(store, id)).status, 'completed');
    assert.deepEqual(
      (await store.limits(KEYS)).map((use) => use.held),
      [0, 0, 0],
    );
  });
}

/** Each run yields, waits, and ends. */
function leave(store: Store, claimed: Claim): Promise<unknown> {
  const endings: Then[] = [{ kind: 'yield' }, { kind: 'wait', dueAt: 0 }];
  const then = endings[claimed.run.head] ?? COMPLETED;
  return holder(store, claimed).apply({ events: [bytes('e')], then });
}

function assertRoom(held: readonly Claim[]): void {
  for (const key of KEYS) {
    const count = held.filter(({ run }) => run.limits.some((limit) => limit.key === key)).length;
    assert.ok(count <= MOST, `${count} runs of "${key}" are held.`);
  }
}
