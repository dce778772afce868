/** What a token takes in the file, and how long packing a stream anew holds up the others. */

import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { getWritable, step, workflow } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { sqliteFloor } from './floors.ts';
import { timed } from './measure.ts';
import type { Turns } from './measure.ts';
import { toFigure, toPlainFigure } from './report.ts';
import type { Bench, BenchContext, Figure } from './report.ts';
import { durableStore, withRuntime } from './runtime.ts';

const BYTES_PER_TOKEN = 25;
const MOST_MS = 5;

/** One token a flush, as a fast model writes them. */
const tell = workflow('tell', ({ tokens }: { tokens: number }) =>
  step('write', async () => {
    const writer = getWritable().getWriter();
    for (let i = 0; i < tokens; i += 1) {
      await delay(1);
      await writer.write({ type: 'text-delta', id: 'msg_0a1b2c3d4e5f', delta: wordAt(i) });
    }
  }),
);

/** Chunks that have nothing in common: each is a row of its own until they are packed. */
const log = workflow('log', ({ lines }: { lines: number }) =>
  step('write', async () => {
    const writer = getWritable().getWriter();
    for (let i = 0; i < lines; i += 1) {
      await delay(2);
      await writer.write(Array.from({ length: 100 }, (_, column) => wordAt(i * 131 + column * 17)).join(''));
    }
  }),
);

/** Chunks of 9 KB, each a row of its own, in several streams. */
const large = workflow('large', ({ streams, rows }: { streams: number; rows: number }) =>
  step('write', async () => {
    for (let index = 0; index < streams; index += 1) {
      const writer = getWritable({ namespace: `log${index}` }).getWriter();
      for (let row = 0; row < rows; row += 1)
        await writer.write(Array.from({ length: 2_000 }, (_, column) => wordAt(row * 2_003 + column)).join(''));
    }
  }),
);

export const storage: Bench = {
  name: 'storage',
  leavesOut:
    'other stores; the journal; free pages, which later writes take; the write-ahead log before it is checkpointed',
  run: async (context) => [
    ...(await measureTokens(context)),
    ...(await measurePacking(context)),
    await measureRetention(context),
  ],
};

async function measureTokens(context: BenchContext): Promise<Figure[]> {
  const tokens = context.quick ? 1_000 : 5_000;
  const path = context.file('tokens');
  const { store } = durableStore(path);
  return withRuntime({ store, workflows: [tell] }, async (runtime) => {
    const before = sizeOf(path);
    await (await runtime.start(tell, { id: 'run', input: { tokens } })).result();
    const written = sizeOf(path);
    while (await store.compact('run', 'default'));
    const packed = sizeOf(path);
    const figure = (what: string, bytes: number): Figure =>
      toPlainFigure(`${what}, per token of ${tokens.toLocaleString('en-US')}`, [bytes / tokens], {
        store: 'sqlite',
        unit: 'bytes',
        atMost: BYTES_PER_TOKEN,
      });
    return [
      figure('growth of the file', written.file - before.file),
      figure('pages of chunks, packed anew', packed.chunkPages),
      figure('sum of the payloads', written.chunkBytes),
    ];
  });
}

/** In memory there is no sync: what is left is the work, which holds up whoever writes at that moment. */
async function measurePacking(context: BenchContext): Promise<Figure[]> {
  const path = context.file('packing');
  const floor = sqliteFloor(context.file('floor'));
  const packing: Turns = { ours: [], floor: [] };
  try {
    await pack({ context, store: durableStore(path).store }, async (part) => {
      packing.floor.push(await timed(floor.insert));
      packing.ours.push(await timed(part));
    });
    const work: number[] = [];
    await pack({ context, store: sqliteStore(':memory:') }, async (part) => {
      work.push(await timed(part));
    });
    return [
      toFigure('packing a part of a stream anew', packing, { store: 'sqlite', unit: 'ms', floor: 'insert and commit' }),
      toPlainFigure('the longest such part, without its sync', [Math.max(...work)], {
        store: 'sqlite',
        unit: 'ms',
        atMost: MOST_MS,
      }),
    ];
  } finally {
    floor.close();
  }
}

const STREAMS = 50;
const ROWS = 100;

/** A pass of retention over young streams of large rows, which is what it mostly finds. Without its sync, as above. */
async function measureRetention(context: BenchContext): Promise<Figure> {
  const store = sqliteStore(':memory:');
  const times: number[] = [];
  await withRuntime({ store, workflows: [large] }, async (runtime) => {
    await (await runtime.start(large, { input: { streams: STREAMS, rows: ROWS } })).result();
    for (let pass = 0; pass < (context.quick ? 20 : 200); pass += 1) {
      await delay(5);
      times.push(await timed(() => store.trim({ olderThanMs: 3_600_000, spare: [], limit: STREAMS })));
    }
  });
  return toPlainFigure('retention with nothing to remove, its longest call', [Math.max(...times)], {
    store: 'sqlite',
    unit: 'ms',
    atMost: MOST_MS,
  });
}

/** Writes a stream, then packs it as the runtime does: one part, then a pause, in which others write. */
async function pack(
  { context, store }: { context: BenchContext; store: ReturnType<typeof sqliteStore> },
  measure: (part: () => Promise<void>) => Promise<void>,
): Promise<void> {
  await withRuntime({ store, workflows: [log] }, async (runtime) => {
    await (await runtime.start(log, { id: 'run', input: { lines: context.quick ? 500 : 2_000 } })).result();
    const progress = { hasMore: true };
    while (progress.hasMore) {
      await delay(20);
      await measure(async () => {
        progress.hasMore = await store.compact('run', 'default');
      });
    }
  });
}

interface Sizes {
  file: number;
  chunkPages: number;
  chunkBytes: number;
}

/** With nothing left in the write-ahead log. */
function sizeOf(path: string): Sizes {
  const db = new DatabaseSync(path);
  const read = (sql: string): number => Number(Object.values(db.prepare(sql).get() ?? {})[0] ?? 0);
  try {
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    return {
      file: read('PRAGMA page_count') * read('PRAGMA page_size'),
      chunkPages: read("SELECT sum(pgsize) FROM dbstat WHERE name IN ('chunks', 'chunks_stream')"),
      chunkBytes: read('SELECT sum(length(bytes)) FROM chunks'),
    };
  } finally {
    db.close();
  }
}

const LETTERS = 'etaoinshrdlucmfw';

/** Text as a tokenizer cuts it: 4.5 bytes on average, most with their space. */
function wordAt(i: number): string {
  let seed = Math.imul(i + 1, 2_654_435_761) >>> 0;
  const length = 1 + (seed % 7);
  let word = seed % 11 < 8 ? ' ' : '';
  for (let letter = 0; letter < length; letter += 1) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    word += LETTERS[seed >>> 28] ?? 'e';
  }
  return word;
}
