import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { redisStore } from '../../src/redis.ts';
import type { Store } from '../../src/runtime/store.ts';
import {
  bytes,
  claimOne,
  COMPLETED,
  emptyCommit,
  expectKind,
  holder,
  ledgerRow,
  newHook,
  newRun,
  only,
  QUEUE,
} from '../../src/testing/store-suite/kit.ts';
import type { Holder } from '../../src/testing/store-suite/kit.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';

const LEASE_MS = 1_000;
let server: RedisServer;
let admin: Redis;
let made = 0;

interface Opened {
  store: Store;
  keys(): Promise<string[]>;
  advance(ms: number): Promise<void>;
}

async function withStore(test: (opened: Opened) => Promise<void>): Promise<void> {
  const clock = manualClock();
  const namespace = `many-${(made += 1)}`;
  const store = redisStore({ url: server.url, namespace, clock });
  try {
    await test({
      store,
      advance: clock.advance,
      keys: async () => (await admin.keys(`{${namespace}}:*`)).map((key) => key.slice(namespace.length + 3)).toSorted(),
    });
  } finally {
    await store.close();
  }
}

/** Calls of commands by scripts and clients while something is done. */
async function commandsOf(work: () => Promise<unknown>): Promise<number> {
  await admin.config('RESETSTAT');
  await work();
  const stats = [...(await admin.info('commandstats')).matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)];
  return stats.reduce((sum, [, name, count]) => (name === 'config|resetstat' ? sum : sum + Number(count)), 0);
}

async function startMany(store: Store, count: number, change: (index: number) => Parameters<typeof newRun>[0]) {
  for (let from = 0; from < count; from += 1_000) {
    const length = Math.min(1_000, count - from);
    await store.start(
      Array.from({ length }, (_, index) => newRun({ id: `run_${from + index}`, ...change(from + index) })),
    );
  }
}

async function hold(store: Store, change: Parameters<typeof newRun>[0]): Promise<Holder> {
  const run = newRun(change);
  const started = expectKind(only(await store.start([run], { nonce: `n-${run.id}`, leaseMs: LEASE_MS })), 'created');
  if (started.token === null) throw new Error('It was not claimed.');
  return holder(store, { run: started.run, token: started.token });
}

describeUnless(noRedis, 'much in one Redis', () => {
  beforeAll(async () => {
    server = await startRedis();
    admin = new Redis(server.url);
  });
  afterAll(async () => {
    await admin.quit();
    await server.remove();
  });

  it('a claim goes past a thousand lanes that are blocked, and takes what has room', () =>
    withStore(async ({ store, advance }) => {
      const taken = (nonce: string) =>
        store.claim({ queues: [QUEUE], limit: 32, suspects: 1, nonce, leaseMs: 1_000_000_000 });
      for (let from = 0; from < 1_000; from += 32) {
        const runs = Array.from({ length: 32 }, (_, index) => `${from + index}`);
        await advance(1);
        for (const kind of ['first', 'next'])
          await store.start(runs.map((id) => newRun({ id: `${kind}_${id}`, limits: [{ key: `k${id}`, most: 1 }] })));
        expect((await taken(`n${from}`)).claims).toHaveLength(32);
      }
      expect(await claimOne(store, { nonce: 'b' })).toMatchObject({ claims: [] });
      await store.start([newRun({ id: 'free' })]);
      const cost = await commandsOf(async () => {
        expect((await claimOne(store, { nonce: 'c' })).claims.map(({ run }) => run.id)).toEqual(['free']);
      });
      expect(cost).toBeLessThan(100);
    }));

  it('a claim costs the same beside a thousand suspects as beside none', () =>
    withStore(async ({ store, advance }) => {
      const claim = (nonce: string, suspects: number) =>
        store.claim({ queues: [QUEUE], limit: 1_000, suspects, nonce, leaseMs: LEASE_MS });
      await startMany(store, 1_000, () => ({}));
      for (const nonce of ['one', 'two']) {
        expect((await claim(nonce, 1_000)).claims).toHaveLength(1_000);
        await advance(LEASE_MS + 1);
      }
      await store.start([newRun({ id: 'healthy' })]);
      const cost = await commandsOf(async () => {
        const { claims, nextDueInMs } = await claim('three', 1);
        expect(claims.map(({ run }) => run.attempts).toSorted((a, b) => a - b)).toEqual([1, 3]);
        expect(nextDueInMs).toBeNull();
      });
      expect(cost).toBeLessThan(40);
    }));

  it('after all runs are removed only the ledger, what says what the store is, and what expires is left', () =>
    withStore(async ({ store, advance, keys }) => {
      const parent = await hold(store, { id: 'parent', thread: 't', tenant: 'acme', limits: [] });
      await parent.apply({
        events: ['a', 'b'].map(bytes),
        checkpoint: 1,
        chunks: [{ stream: 'out', chunks: [bytes('x')] }],
        hooks: { create: [newHook(), newHook({ tokenHash: 'other', key: 'other', kind: 'approval' })], close: [] },
        starts: [newRun({ id: 'child', parent: { run: 'parent', key: 'k' }, limits: [{ key: 'c', most: 1 }] })],
        ledger: [ledgerRow({ run: 'parent', thread: 't', tenant: 'acme' })],
      });
      await store.note('token_1', bytes('n'));
      await store.start([newRun({ id: 'steered', thread: 't', tenant: 'acme', whenBusy: 'steer' })]);
      await store.start([newRun({ id: 'queued', thread: 't', tenant: 'acme', whenBusy: 'queue' })]);
      await store.deliver([{ to: { hook: 'token_1' }, id: 'm', payload: bytes('m') }]);
      await store.putParts('parent', [{ hash: 'h', bytes: bytes('part') }]);
      await store.putParts('nobody', [{ hash: 'h', bytes: bytes('part') }]);
      await startMany(store, 50, (index) => ({
        thread: `thread-${index}`,
        limits: [
          { key: 'rate', most: 10, perMs: 100 },
          { key: `slot-${index}`, most: 2 },
        ],
      }));
      for (const id of ['queued', 'parent', 'child', ...Array.from({ length: 50 }, (_, index) => `run_${index}`)])
        expect((await store.control(id, 'terminate')).kind).toBe('ok');
      for (const { id, status } of (await store.list({ limit: 500 })).items)
        if (!/completed|failed|cancelled/.test(status)) await store.control(id, 'terminate');
      await advance(4_000_000);
      while ((await store.gc({ olderThanMs: 0, limit: 100 })) > 0);
      await store.gc({ olderThanMs: 0, limit: 100 });
      const ledger = ['l:l', 'ledger', 'lr:parent', 'lt:t', 'lten:acme', 'totals'];
      expect(await keys()).toEqual([...ledger, 'meta', 'n:n-parent'].toSorted());
    }));

  it('a commit beside one of ten thousand events is whole, and so is that', () =>
    withStore(async ({ store }) => {
      const [one, two] = [await hold(store, { id: 'one' }), await hold(store, { id: 'two' })];
      const events = Array.from({ length: 10_000 }, (_, index) => bytes(String(index)));
      const chunks = Array.from({ length: 100 }, (_, index) => ({ stream: `s${index}`, chunks: [bytes('c')] }));
      const commit = (held: Holder, change: object) =>
        emptyCommit({ run: held.id, token: held.token, expect: 0, id: `c-${held.id}`, ...change });
      const answers = await store.commit([
        commit(one, { events: [bytes('e')] }),
        commit(two, { events, chunks, then: COMPLETED }),
      ]);
      expect(answers.map(({ kind }) => kind)).toEqual(['applied', 'applied']);
      expect([(await store.load('one', 0))?.events.length, (await store.get('one'))?.head]).toEqual([1, 1]);
      expect([(await store.load('two', 0))?.events.length, (await store.get('two'))?.head]).toEqual([10_000, 10_000]);
    }));
});
