import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Store } from '../../src/runtime/store.ts';
import { bytes, COMPLETED, emptyCommit, expectKind, holder, newRun, only } from '../../src/testing/store-suite/kit.ts';
import type { Holder } from '../../src/testing/store-suite/kit.ts';
import { upstashStore } from '../../src/upstash.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';
import { startUpstashProxy } from '../support/upstash-proxy.ts';
import type { UpstashProxy } from '../support/upstash-proxy.ts';

async function hold(store: Store, id: string): Promise<Holder> {
  const started = expectKind(
    only(await store.start([newRun({ id })], { nonce: `n-${id}`, leaseMs: 60_000 })),
    'created',
  );
  if (started.token === null) throw new Error('It was not claimed.');
  return holder(store, { run: started.run, token: started.token });
}

const noise = (length: number): Uint8Array => Uint8Array.from({ length }, (_, at) => (at * at + (at >> 3)) & 0xff);

describeUnless(noRedis, 'the limit of 1 MB on requests of Upstash', () => {
  let server: RedisServer;
  let proxy: UpstashProxy;
  let store: Store;
  beforeAll(async () => {
    server = await startRedis();
    proxy = await startUpstashProxy(server.url);
    store = upstashStore({ url: proxy.url, token: proxy.token });
  });
  afterAll(async () => {
    await store.close();
    await proxy.close();
    await server.remove();
  });

  it('holds for no commit, however much it brings', async () => {
    const held = await hold(store, 'large');
    const events = [noise(1_500_000), bytes('ä'.repeat(600_000)), bytes('small')];
    await held.apply({ events, chunks: [{ stream: 'out', chunks: [noise(700_000), noise(900_000)] }] });
    const loaded = await store.load(held.id, 0);
    for (const [index, event] of events.entries())
      expect(Buffer.from(loaded?.events[index] ?? []).equals(Buffer.from(event))).toBe(true);
    const page = await store.read(held.id, 'out', { from: 0, maxBytes: 5_000_000 });
    expect(page?.chunks.map(({ length }) => length)).toEqual([700_000, 900_000]);
  });

  it('splits what is asked for at once', async () => {
    const runs = await Promise.all(Array.from({ length: 6 }, (_, index) => hold(store, `many-${index}`)));
    const before = proxy.counted.requests;
    const answers = await Promise.all(runs.map((held) => held.commit({ events: [noise(300_000)] })));
    expect(answers.map(({ kind }) => kind)).toEqual(Array(6).fill('applied'));
    expect(proxy.counted.requests - before).toBeGreaterThan(2);
    const batch = runs.map(({ id, token }) =>
      emptyCommit({ run: id, token, expect: 1, id: `end-${id}`, then: { ...COMPLETED, result: noise(300_000) } }),
    );
    expect((await store.commit(batch)).map(({ kind }) => kind)).toEqual(Array(6).fill('applied'));
  });
});
