import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Hint, Store } from '../../src/runtime/store.ts';
import { sqliteStore } from '../../src/sqlite.ts';
import { claimOne, getRun, newRun, QUEUE } from '../../src/testing/store-suite/kit.ts';
import { storeFolder, storeProcess } from './sqlite-file.ts';
import type { StoreProcess } from './sqlite-file.ts';

let folder: ReturnType<typeof storeFolder>;
let stores: Store[];
let processes: StoreProcess[];

beforeEach(() => {
  folder = storeFolder();
  stores = [];
  processes = [];
});

afterEach(async () => {
  for (const child of processes) await child.kill();
  for (const store of stores) await store.close();
  folder.remove();
});

function open(): Store {
  const store = sqliteStore(folder.path);
  stores.push(store);
  return store;
}

function spawned(command: string): StoreProcess {
  const child = storeProcess(folder.path, command);
  processes.push(child);
  return child;
}

async function startRuns(ids: string[]): Promise<void> {
  const store = open();
  await store.start(ids.map((id) => newRun({ id })));
  await store.close();
}

const claimAll = (store: Store, nonce: string) =>
  store.claim({ queues: [QUEUE], limit: 10, suspects: 10, leaseMs: 60_000, nonce });

describe('processes on one SQLite file', () => {
  it('the leases of a killed process are due as soon as the file is opened again', async () => {
    await startRuns(['a', 'b']);
    const holder = spawned('hold');
    expect(await holder.line()).toBe('["a","b"]');
    await holder.kill();
    const { claims } = await claimAll(open(), 'n');
    expect(claims.map(({ run, from }) => [run.id, from])).toEqual([
      ['a', 'lease'],
      ['b', 'lease'],
    ]);
  });

  it('the leases of a process that lives are left alone', async () => {
    await startRuns(['a']);
    const holder = spawned('hold');
    expect(await holder.line()).toBe('["a"]');
    const answer = await claimAll(open(), 'n');
    expect(answer.claims).toEqual([]);
    expect(answer.nextDueInMs).toBeGreaterThan(50_000);
  });

  it('with two holders, the death of one frees nothing while the other lives', async () => {
    await startRuns(['a']);
    const first = spawned('hold');
    expect(await first.line()).toBe('["a"]');
    const second = spawned('hold');
    expect(await second.line()).toBe('[]');
    await first.kill();
    expect((await claimAll(open(), 'n')).claims).toEqual([]);
  });

  it('two stores in one process count as two', async () => {
    await startRuns(['a']);
    const first = open();
    expect((await claimOne(first, { nonce: 'n1' })).claims).toHaveLength(1);
    const second = open();
    expect((await claimOne(second, { nonce: 'n2' })).claims).toHaveLength(0);
    await first.close();
    await second.close();
    expect((await claimOne(open(), { nonce: 'n3' })).claims).toHaveLength(1);
  });

  it('a store that claims again does not free its own leases', async () => {
    await startRuns(['a', 'b']);
    const store = open();
    expect((await claimOne(store, { nonce: 'n1' })).claims.map(({ run }) => run.id)).toEqual(['a']);
    expect((await claimAll(store, 'n2')).claims.map(({ run }) => run.id)).toEqual(['b']);
  });

  it('a start that claims frees the leases of the dead, too, before it claims', async () => {
    await startRuns(['a']);
    const holder = spawned('hold');
    await holder.line();
    await holder.kill();
    const store = open();
    await store.start([newRun({ id: 'b' })], { nonce: 'n1', leaseMs: 60_000 });
    expect((await claimAll(store, 'n2')).claims.map(({ run }) => run.id)).toEqual(['a']);
  });

  it('processes that open a new file at once all get to use it', async () => {
    const children = Array.from({ length: 4 }, () => spawned('start'));
    expect(await Promise.all(children.map((child) => child.line()))).toEqual(Array(4).fill('["created"]'));
    expect((await open().list({})).items).toHaveLength(4);
  });

  it('what a killed process had acknowledged is there', async () => {
    const writer = spawned('write');
    let last = -1;
    while (last < 50) last = Number(await writer.line());
    await writer.kill();
    const store = open();
    for (let index = 0; index <= last; index += 1) expect((await getRun(store, `run_${index}`)).status).toBe('ready');
  });

  it('a watcher hears that another process wrote', async () => {
    const store = open();
    const heard = new Promise<Hint>((resolve) => store.watch?.(resolve));
    expect(await spawned('start').line()).toBe('["created"]');
    expect(await heard).toEqual({ kind: 'any' });
  });
});
