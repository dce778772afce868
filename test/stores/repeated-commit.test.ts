import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Hint, Store } from '../../src/runtime/store.ts';
import { claimOne, emptyCommit, only, QUEUE, startOne } from '../../src/testing/store-suite/kit.ts';
import { openStore } from '../support/open-store.ts';
import { describeOnServers } from '../support/server-places.ts';
import type { ServerPlace } from '../support/server-places.ts';

/** What watchers of the store are told while `change` is under way, and just after. */
async function heard(store: Store, change: () => Promise<unknown>): Promise<Hint[]> {
  const got: Hint[] = [];
  const stop = store.watch?.((hint) => got.push(hint));
  await change();
  await new Promise((resolve) => setTimeout(resolve, 20));
  stop?.();
  return got;
}

describeOnServers('a commit that is repeated', (open) => {
  let place: ServerPlace;
  let store: Store;
  beforeAll(async () => {
    place = await open();
    store = openStore(place.storeAt(place.port));
  }, 60_000);
  afterAll(async () => {
    await store?.close();
    await place?.remove();
  });

  it('tells watchers again that something may be due: its first answer may be lost', async () => {
    const run = await startOne(store, {});
    const { token } = only((await claimOne(store, { nonce: 'n', queues: [QUEUE] })).claims);
    const then = { kind: 'wait', dueAt: Date.now() + 60_000 } as const;
    const commit = emptyCommit({ run: run.id, token, expect: 0, id: 'c', then });
    expect(await heard(store, () => store.commit([commit]))).toContainEqual({ kind: 'due' });
    expect(await heard(store, () => store.commit([commit]))).toContainEqual({ kind: 'any' });
  });
});
