/** What a reader of the process that writes is spared: it has what was written, and asks for nothing. */

import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { redisStore } from '../../src/redis.ts';
import type { Store } from '../../src/runtime/store.ts';
import {
  bytes,
  emptyCommit,
  expectKind,
  getRun,
  holder,
  newRun,
  only,
  texts,
} from '../../src/testing/store-suite/kit.ts';
import type { Holder } from '../../src/testing/store-suite/kit.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';

let server: RedisServer;
const endings: Array<() => Promise<unknown>> = [];
beforeEach(async () => {
  server = await startRedis();
  endings.push(server.remove);
});
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

function open(): { store: Store; calls: () => number } {
  const client = new Redis(server.url);
  let calls = 0;
  const { callBuffer } = client;
  client.callBuffer = ((...call: Parameters<typeof callBuffer>) => {
    calls += 1;
    return callBuffer.apply(client, call);
  }) as typeof callBuffer;
  const store = redisStore({ client });
  endings.push(() => client.quit(), store.close);
  return { store, calls: () => calls };
}

async function hold(store: Store, id = 'run_1'): Promise<Holder> {
  const started = expectKind(only(await store.start([newRun({ id })], { nonce: id, leaseMs: 60_000 })), 'created');
  if (started.token === null) throw new Error('It was not claimed.');
  return holder(store, { run: started.run, token: started.token });
}

const writing = (chunk: string) => ({ chunks: [{ stream: 'out', chunks: [bytes(chunk)] }] });

async function read(store: Store, from: number, run = 'run_1'): Promise<unknown> {
  const page = await store.read(run, 'out', { from, maxBytes: 65_536 });
  return page === null ? null : { chunks: texts(page.chunks), tail: page.tail, closed: page.closed };
}

describeUnless(noRedis, 'a reader at the tail of a stream in Redis', () => {
  it('asks for nothing that its own process has just written, for as many runs as one script takes', async () => {
    const { store, calls } = open();
    const runs = await Promise.all(Array.from({ length: 30 }, (_, index) => hold(store, `run_${index}`)));
    // The server knows the script from now on.
    await (await hold(store, 'other')).apply();
    const pages: Array<Promise<unknown>> = [];
    const unwatch = store.watch?.((hint) => {
      if (hint.kind === 'stream') pages.push(read(store, 0, hint.run));
    });
    const before = calls();
    await store.commit(
      runs.map(({ id, token }) => emptyCommit({ run: id, token, expect: 0, id: `${id}/1`, ...writing('a') })),
    );
    await expect.poll(() => pages.length).toBe(30);
    unwatch?.();
    expect(await Promise.all(pages)).toEqual(runs.map(() => ({ chunks: ['a'], tail: 1, closed: false })));
    expect(calls() - before).toBe(1);
  });

  it('gets what another process has added since', async () => {
    const [{ store }, { store: other }] = [open(), open()];
    const held = await hold(store);
    await held.apply(writing('a'));
    const there = holder(other, { run: await getRun(store, held.id), token: held.token });
    await there.apply({ ...writing('b'), id: 'other/1' });
    expect(await read(store, 1)).toEqual({ chunks: ['b'], tail: 2, closed: false });
    expect(await read(store, 0)).toEqual({ chunks: ['a', 'b'], tail: 2, closed: false });
  });

  it('finds it closed if the run has ended with the chunk', async () => {
    const { store } = open();
    const held = await hold(store);
    const end = { kind: 'end', status: 'completed', result: null, error: null, errorCode: null } as const;
    await held.apply({ ...writing('a'), then: end });
    expect(await read(store, 0)).toEqual({ chunks: ['a'], tail: 1, closed: true });
  });
});
