import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store, StreamWrite } from '../../src/runtime/store.ts';
import { sqliteStore } from '../../src/sqlite.ts';
import { bytes, expectKind, getRun, holder, newRun, only, texts } from '../../src/testing/store-suite/kit.ts';
import type { Holder } from '../../src/testing/store-suite/kit.ts';
import { storeFolder } from './sqlite-file.ts';

let folder: ReturnType<typeof storeFolder>;
let stores: Store[];

beforeEach(() => {
  folder = storeFolder();
  stores = [];
});

afterEach(async () => {
  for (const store of stores) await store.close();
  folder.remove();
});

function open(): Store {
  const store = sqliteStore(folder.path);
  stores.push(store);
  return store;
}

async function hold(store: Store): Promise<Holder> {
  const { run, token } = expectKind(only(await store.start([newRun()], { nonce: 'n', leaseMs: 60_000 })), 'created');
  if (token === null) throw new Error('It was not claimed.');
  return holder(store, { run, token });
}

function writing(...chunks: string[]): { chunks: StreamWrite[] } {
  return { chunks: [{ stream: 'out', chunks: chunks.map(bytes) }] };
}

async function read(store: Store, from: number): Promise<{ chunks: unknown[]; tail: number; closed: boolean }> {
  const page = await store.read('run_1', 'out', { from, maxBytes: 65_536 });
  if (page === null || page.expired !== undefined) throw new Error(`There is no page at ${from}.`);
  return { chunks: texts(page.chunks), tail: page.tail, closed: page.closed };
}

describe('a reader at the tail of a stream in a SQLite file', () => {
  it('gets what another connection has added since the last commit of its own', async () => {
    const [store, other] = [open(), open()];
    const held = await hold(store);
    await held.apply(writing('a'));
    await holder(other, { run: await getRun(store, held.id), token: held.token }).apply({
      ...writing('b'),
      id: 'other/1',
    });
    expect(await read(store, 1)).toEqual({ chunks: ['b'], tail: 2, closed: false });
    expect(await read(store, 0)).toEqual({ chunks: ['a', 'b'], tail: 2, closed: false });
  });

  it('finds it closed if the run ends in the transaction of its last chunk', async () => {
    const store = open();
    const held = await hold(store);
    await Promise.all([held.apply(writing('a')), store.control(held.id, 'terminate')]);
    expect(await read(store, 0)).toEqual({ chunks: ['a'], tail: 1, closed: true });
  });

  it('finds gone what is trimmed in the transaction that wrote it', async () => {
    const store = open();
    const held = await hold(store);
    await Promise.all([held.apply(writing('a', 'b', 'c')), store.trim({ keep: 1, spare: [], limit: 10 })]);
    expect(await store.read('run_1', 'out', { from: 0, maxBytes: 65_536 })).toMatchObject({
      chunks: [],
      expired: { before: 2, reason: 'count' },
    });
    expect(await read(store, 2)).toEqual({ chunks: ['c'], tail: 3, closed: false });
  });

  it('gets nothing of a transaction that failed', async () => {
    const store = open();
    const held = await hold(store);
    await held.apply(writing('a'));
    const db = new DatabaseSync(folder.path);
    db.exec("CREATE TRIGGER refuse BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'refused'); END");
    db.close();
    await expect(held.apply(writing('b'))).rejects.toThrow('refused');
    expect(await read(store, 0)).toEqual({ chunks: ['a'], tail: 1, closed: false });
    expect(await read(store, 1)).toEqual({ chunks: [], tail: 1, closed: false });
  });
});
