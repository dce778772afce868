import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store, StreamPage } from '../../src/runtime/store.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { sqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';
import { createStreamReader } from '../../src/streams/reader.ts';
import type { StreamItem, StreamReader, StreamReadOptions } from '../../src/streams/reader.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { startStreamRun } from './stream-run.ts';
import type { StreamRun } from './stream-run.ts';

/** A store that counts reads and watches and can lose hints. */
interface Watched {
  store: Store;
  counts: { reads: number; watches: number };
  losing: boolean;
}

function watched(inner: Store): Watched {
  const counts = { reads: 0, watches: 0 };
  const all: Watched = {
    counts,
    losing: false,
    store: {
      ...inner,
      read: (...args) => {
        counts.reads += 1;
        return inner.read(...args);
      },
      watch: (listener) => {
        const stop = inner.watch?.((hint) => {
          if (!all.losing) listener(hint);
        });
        counts.watches += 1;
        return () => {
          counts.watches -= 1;
          stop?.();
        };
      },
    },
  };
  return all;
}

let directory: string;
let clock: ManualClock;
let world: Watched;
let reader: StreamReader;
let run: StreamRun;

const stores: Record<string, () => Store> = {
  memory: () => memoryStore({ clock }),
  SQLite: () => sqliteStore({ path: join(directory, 'runs.db'), clock, watchMs: 0 }),
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'everturn-reader-'));
  clock = manualClock();
});

afterEach(async () => {
  await world.store.close();
  rmSync(directory, { recursive: true, force: true });
});

async function setUp(name: string): Promise<void> {
  world = watched(stores[name]?.() ?? memoryStore({ clock }));
  reader = createStreamReader({ store: world.store, clock });
  run = await startStreamRun(world.store, 'r1');
}

function open(options: Partial<StreamReadOptions> = {}): ReadableStreamDefaultReader<StreamItem> {
  return reader.chunks({ run: run.id, stream: 's', ...options }).getReader();
}

async function take(from: ReadableStreamDefaultReader<StreamItem>, count: number): Promise<StreamItem[]> {
  const items: StreamItem[] = [];
  while (items.length < count) {
    const { done, value } = await from.read();
    if (done) break;
    items.push(value);
  }
  return items;
}

/** Whether the promise is still open after the event loop has turned a few times. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  promise.then(mark, mark);
  for (let turn = 0; turn < 5; turn += 1) await clock.settle();
  return !settled;
}

const all = (options: Partial<StreamReadOptions> = {}): Promise<StreamItem[]> => take(open(options), Infinity);

describe.each(Object.keys(stores))('reading a stream, in %s', (store) => {
  beforeEach(() => setUp(store));

  it('delivers what is stored, then what comes, and ends when the stream is closed', async () => {
    await run.write('s', ['a', 'b']);
    const items = open();
    expect(await take(items, 2)).toEqual([
      { offset: 0, chunk: 'a' },
      { offset: 1, chunk: 'b' },
    ]);
    const next = items.read();
    expect(await isPending(next)).toBe(true);
    await run.write('s', [{ c: 1 }]);
    expect(await next).toEqual({ done: false, value: { offset: 2, chunk: { c: 1 } } });
    await run.write('s', [new Uint8Array([1, 2])]);
    await run.close('s');
    expect(await take(items, 9)).toEqual([{ offset: 3, chunk: new Uint8Array([1, 2]) }]);
  });

  it('ends with the run', async () => {
    await run.write('s', ['a']);
    const items = open();
    await take(items, 1);
    const end = items.read();
    expect(await isPending(end)).toBe(true);
    await run.end();
    expect((await end).done).toBe(true);
  });

  it('gives the rest from every offset', async () => {
    const values = Array.from({ length: 20 }, (_, n) => n);
    await run.write('s', values);
    await run.end();
    for (let from = 0; from <= 20; from += 1) {
      expect((await all({ from })).map((item) => item.chunk)).toEqual(values.slice(from));
    }
  });

  it('counts a negative offset from the tail of now', async () => {
    await run.write('s', ['a', 'b', 'c']);
    const items = open({ from: -2 });
    expect(await take(items, 1)).toEqual([{ offset: 1, chunk: 'b' }]);
    expect((await all({ from: -9, follow: false })).map((item) => item.offset)).toEqual([0, 1, 2]);
  });

  it('waits at an offset beyond the tail', async () => {
    await run.write('s', ['a']);
    const items = open({ from: 3 });
    const next = items.read();
    await run.write('s', ['b', 'c']);
    expect(await isPending(next)).toBe(true);
    await run.write('s', ['d', 'e']);
    expect(await next).toEqual({ done: false, value: { offset: 3, chunk: 'd' } });
  });

  it('stops at the tail without follow', async () => {
    await run.write('s', ['a', 'b']);
    expect(await all({ follow: false })).toHaveLength(2);
    expect(await all({ follow: false, from: 2 })).toEqual([]);
  });

  it.each([Number.NaN, 1.5, -1.5, Number.POSITIVE_INFINITY, '1'])('refuses %s as an offset', async (from) => {
    const refusal = expect.objectContaining({ code: 'invalid_argument' }) as Error;
    const at = { run: run.id, stream: 's', from: from as number };
    expect(() => reader.chunks(at)).toThrow(refusal);
    expect(() => reader.pages(at)).toThrow(refusal);
    expect(() => reader.cursor(at)).toThrow(refusal);
    await expect(reader.page(at)).rejects.toEqual(refusal);
  });

  it('is an error for a run that does not exist', async () => {
    await expect(all({ run: 'nobody' })).rejects.toMatchObject({ code: 'run_not_found', details: { run: 'nobody' } });
    expect(world.counts.watches).toBe(0);
  });

  it('passes an error of the store on and leaves nothing behind', async () => {
    await world.store.close();
    await expect(all()).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(world.counts.watches).toBe(0);
    expect(clock.pending).toBe(0);
  });
});

describe.each(Object.keys(stores))('a reader at the tail, in %s', (store) => {
  beforeEach(() => setUp(store));

  it('finds chunks within a second although their hint was lost', async () => {
    const next = open().read();
    await clock.settle();
    world.losing = true;
    await run.write('s', ['a']);
    expect(await isPending(next)).toBe(true);
    await clock.advance(999);
    expect(await isPending(next)).toBe(true);
    await clock.advance(1);
    expect((await next).value).toEqual({ offset: 0, chunk: 'a' });
  });

  it('polls a store that gives no hints', async () => {
    const { watch: _watch, ...silent } = world.store;
    const items = createStreamReader({ store: silent, clock }).chunks({ run: run.id, stream: 's' }).getReader();
    const next = items.read();
    await run.write('s', ['a']);
    await clock.advance(50);
    expect((await next).value?.chunk).toBe('a');
  });

  it('costs one read a second while nothing happens', async () => {
    const items = open();
    const next = items.read();
    await clock.settle();
    const before = world.counts.reads;
    await clock.advance(10_000);
    expect(world.counts.reads - before).toBe(10);
    await items.cancel();
    expect((await next).done).toBe(true);
  });

  it('costs ever fewer reads while nothing happens, where the store asks for it and its hints come', async () => {
    let idlePollMs = 30_000;
    const capabilities = { ...world.store.capabilities, push: true };
    Object.defineProperty(capabilities, 'idlePollMs', { get: () => idlePollMs });
    const items = createStreamReader({ store: { ...world.store, capabilities }, clock })
      .chunks({ run: run.id, stream: 's' })
      .getReader();
    let next = items.read();
    await clock.settle();
    const readsIn = async (ms: number): Promise<number> => {
      const before = world.counts.reads;
      await clock.advance(ms);
      return world.counts.reads - before;
    };
    // After 1, 2, 4, 8, 16 and then each 30 seconds.
    expect(await readsIn(31_000)).toBe(5);
    expect(await readsIn(60_000)).toBe(2);
    world.losing = true;
    await run.write('s', ['a']);
    await clock.advance(30_000);
    expect((await next).value?.chunk).toBe('a');
    next = items.read();
    await clock.settle();
    expect(await readsIn(3_000)).toBe(2);
    idlePollMs = 0;
    await clock.advance(4_000);
    expect(await readsIn(5_000)).toBe(5);
    await items.cancel();
    expect((await next).done).toBe(true);
  });

  it('reads all new chunks of a hint in one read', async () => {
    const items = open();
    await run.write('s', ['a']);
    await take(items, 1);
    const before = world.counts.reads;
    const next = take(items, 100);
    await run.write(
      's',
      Array.from({ length: 100 }, (_, n) => n),
    );
    await next;
    expect(world.counts.reads - before).toBe(1);
  });

  it('leaves no timer and no watch when it goes', async () => {
    const one = open();
    const two = open();
    const ends = [one.read(), two.read()];
    await clock.settle();
    expect(world.counts.watches).toBe(1);
    expect(clock.pending).toBe(1);
    await one.cancel();
    expect(world.counts.watches).toBe(1);
    await two.cancel();
    expect((await Promise.all(ends)).every(({ done }) => done)).toBe(true);
    expect(world.counts.watches).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('ends without an error when its signal is aborted', async () => {
    const stop = new AbortController();
    const end = open({ signal: stop.signal }).read();
    await clock.settle();
    stop.abort();
    expect((await end).done).toBe(true);
    expect(world.counts.watches).toBe(0);
    expect(clock.pending).toBe(0);
    expect((await open({ signal: stop.signal }).read()).done).toBe(true);
  });
});

describe.each(Object.keys(stores))('many readers of one stream, in %s', (store) => {
  beforeEach(() => setUp(store));

  it('share one watch, one poll and one read per page', async () => {
    const readers = Array.from({ length: 200 }, () => open());
    await run.write('s', ['a']);
    await Promise.all(readers.map((one) => take(one, 1)));
    const before = world.counts.reads;
    const next = readers.map((one) => take(one, 3));
    await clock.settle();
    await run.write('s', ['b', 'c', 'd']);
    for (const items of await Promise.all(next)) expect(items.map((item) => item.chunk)).toEqual(['b', 'c', 'd']);
    expect(world.counts.reads - before).toBe(1);
    expect(world.counts.watches).toBe(1);
    expect(clock.pending).toBeLessThanOrEqual(1);
  });

  it('get the same page object at the same offset, so that it is encoded once', async () => {
    await run.write('s', ['a', 'b']);
    const pages = Array.from({ length: 3 }, () => reader.pages({ run: run.id, stream: 's' }).getReader());
    const first = await Promise.all(pages.map(async (page) => (await page.read()).value as StreamPage));
    expect(first[1]).toBe(first[0]);
    expect(first[2]).toBe(first[0]);
  });

  it('do not wait for a slow one, which goes on from where it was', async () => {
    const big = 'x'.repeat(10_000);
    const slow = open();
    const fast = open();
    await run.write('s', [big]);
    await take(slow, 1);
    await take(fast, 1);
    for (let n = 0; n < 50; n += 1) {
      await run.write('s', [`${n}:${big}`]);
      expect(await take(fast, 1)).toHaveLength(1);
    }
    await run.end();
    const rest = await take(slow, 100);
    expect(rest.map((item) => item.offset)).toEqual(Array.from({ length: 50 }, (_, n) => n + 1));
  });

  it('never lose or double a chunk while hints get lost and others come and go', async () => {
    const total = 300;
    const readers = Array.from({ length: 12 }, (_, n) => take(open({ from: n * 5 }), Infinity));
    for (let n = 0; n < total; n += 1) {
      world.losing = n % 3 === 0;
      await run.write('s', [n]);
      if (n % 7 === 0) await clock.settle();
      if (n % 11 === 0) await open().cancel();
    }
    world.losing = true;
    await run.end();
    await clock.advance(2000);
    const read = await Promise.all(readers);
    read.forEach((items, n) => {
      expect(items.map((item) => item.chunk)).toEqual(
        Array.from({ length: total - n * 5 }, (_, index) => index + n * 5),
      );
      expect(items.every((item) => item.offset === item.chunk)).toBe(true);
    });
    expect(world.counts.watches).toBe(0);
  });
});

describe('a reader beside another process on the same file', () => {
  it('learns of its chunks by the watch of the file', async () => {
    const path = join(directory, 'runs.db');
    const other = sqliteStore({ path, clock });
    world = watched(sqliteStore({ path, clock }));
    reader = createStreamReader({ store: world.store, clock });
    run = await startStreamRun(other, 'r1');
    const next = open().read();
    await clock.settle();
    await run.write('s', ['a']);
    expect(await isPending(next)).toBe(true);
    await clock.advance(20);
    expect((await next).value).toEqual({ offset: 0, chunk: 'a' });
    await other.close();
  });
});
