/** Streams in a file that killed processes have left: every way of reading them gives the same chunks. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Store } from '../../src/runtime/store.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { sqliteStore } from '../../src/stores/sqlite/sqlite-store.ts';
import { createStreamReader } from '../../src/streams/reader.ts';
import type { StreamItem, StreamReader } from '../../src/streams/reader.ts';
import { storeFolder } from '../stores/sqlite-file.ts';

const SCRIPT = fileURLToPath(new URL('novel-process.ts', import.meta.url));
const KILLS = 4;
const STREAMS = ['default', 'facts', 'log'];
const { path, remove } = storeFolder();

let store: Store;
let reader: StreamReader;
/** What each stream holds, read once from its start when it had ended. */
const wholes = new Map<string, unknown[]>();
/** What readers got who followed from the beginning, while writers were killed. */
const followed = new Map<string, Promise<unknown[]>>();

/** Writes for so long, then is killed; without a time until the run has ended. Answers whether it has. */
async function write(killAfterMs?: number): Promise<boolean> {
  const child = spawn(process.execPath, ['--no-warnings', '--conditions=everturn-source', SCRIPT, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  if (killAfterMs !== undefined) {
    await delay(killAfterMs);
    child.kill('SIGKILL');
  }
  await exited;
  return (await lines.next()).value === 'ended';
}

async function collect(stream: string, options: { from?: number; follow?: boolean } = {}): Promise<unknown[]> {
  const chunks: unknown[] = [];
  for await (const { chunk } of reader.chunks({ run: 'novel', stream, ...options })) chunks.push(chunk);
  return chunks;
}

beforeAll(async () => {
  store = sqliteStore({ path, watchMs: 5 });
  reader = createStreamReader({ store, clock: systemClock() });
  let hasEnded = await write(40);
  for (const stream of STREAMS) followed.set(stream, collect(stream));
  for (let kill = 1; kill < KILLS && !hasEnded; kill += 1) {
    hasEnded = await write(40 * kill);
    await store.compact('novel', 'default');
  }
  if (!hasEnded) await write();
  for (const stream of STREAMS) wholes.set(stream, await collect(stream, { follow: false }));
}, 120_000);

afterAll(async () => {
  await store.close();
  remove();
});

function whole(stream: string): unknown[] {
  return wholes.get(stream) ?? [];
}

describe('streams that killed processes have written', () => {
  it('hold what each kind of writing promises', () => {
    const chapters = Array.from({ length: 6 }, (_, chapter) => chapter);
    expect(whole('facts')).toEqual(chapters.map((chapter) => ({ chapter })));
    expect(whole('log')).toEqual(
      chapters.flatMap((chapter) => Array.from({ length: 80 }, (_, word) => `${chapter}.${word}`)),
    );
    expect(whole('default').length).toBeGreaterThan(6 * 80);
  });

  it('came to who followed from the beginning, each chunk once and in order', async () => {
    for (const stream of STREAMS) expect(await followed.get(stream)).toEqual(whole(stream));
  });

  it('are the same from every offset on, and from the end backwards', async () => {
    for (const stream of STREAMS) {
      const all = whole(stream);
      for (let k = 0; k <= all.length; k += 1) {
        expect(await collect(stream, { from: k, follow: false })).toEqual(all.slice(k));
        if (k > 0 && k % 7 === 0) expect(await collect(stream, { from: -k, follow: false })).toEqual(all.slice(-k));
      }
    }
  }, 60_000);

  it('are whole for a client whose connections are cut, doubled and overtaken', async () => {
    const connection = fc.record({
      /** It goes on so many chunks before where it was: an answer that was lost on the way. */
      back: fc.nat(30),
      reads: fc.integer({ min: 1, max: 200 }),
      /** A second connection from here reads so many, too. */
      doubled: fc.nat(40),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...STREAMS),
        fc.array(connection, { minLength: 1, maxLength: 40 }),
        async (stream, connections) => {
          const client = new Client();
          for (const { back, reads, doubled } of connections) {
            const from = Math.max(0, client.chunks.length - back);
            const both = await Promise.all([
              take(stream, { from, count: reads }),
              take(stream, { from, count: doubled }),
            ]);
            for (const item of both[1].concat(both[0])) client.receive(item);
            await store.compact('novel', stream);
          }
          const rest = await take(stream, { from: client.chunks.length, count: Infinity });
          for (const item of rest) client.receive(item);
          expect(client.chunks).toEqual(whole(stream));
        },
      ),
      { numRuns: 25 },
    );
  }, 60_000);

  it('are the same when they have been packed', async () => {
    for (const stream of STREAMS) {
      while (await store.compact('novel', stream));
      const all = whole(stream);
      for (let k = 0; k <= all.length; k += 11)
        expect(await collect(stream, { from: k, follow: false })).toEqual(all.slice(k));
    }
  });
});

/** Takes a chunk only at the offset where it stands. */
class Client {
  readonly chunks: unknown[] = [];

  receive({ offset, chunk }: StreamItem): void {
    expect(offset).toBeLessThanOrEqual(this.chunks.length);
    if (offset === this.chunks.length) this.chunks.push(chunk);
    else expect(chunk).toEqual(this.chunks[offset]);
  }
}

async function take(stream: string, { from, count }: { from: number; count: number }): Promise<StreamItem[]> {
  const items: StreamItem[] = [];
  if (count === 0) return items;
  for await (const item of reader.chunks({ run: 'novel', stream, from, follow: false })) {
    items.push(item);
    if (items.length === count) break;
  }
  return items;
}
