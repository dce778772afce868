/** A step that writes a stream and a reader in the same process: latency at 100 chunks a second, and 10,000 at once. */

import { setTimeout as delay } from 'node:timers/promises';
import { getWritable, step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { sqliteFloor } from './floors.ts';
import { inTurns, quantile, timed } from './measure.ts';
import type { Turns } from './measure.ts';
import { toFigure } from './report.ts';
import type { Bench, BenchContext, Figure, StoreName } from './report.ts';
import { openStore, withRuntime } from './runtime.ts';

const RATE = 100;
const MANY = 10_000;
const P50_MS = 1.5;
const P99_MS = 5;
const LEAST_RATE = 50_000;

interface Sent {
  i: number;
  sentAt: number;
  text: string;
}

export const paced = workflow('paced', ({ count }: { count: number }) =>
  step('write', async () => {
    const writer = getWritable<Sent>().getWriter();
    for (let i = 0; i < count; i += 1) {
      await delay(1_000 / RATE);
      await writer.write(sent(i));
    }
    await writer.close();
  }),
);

const flood = workflow('flood', ({ count }: { count: number }) =>
  step('write', async () => {
    const writer = getWritable<Sent>().getWriter();
    for (let i = 0; i < count; i += 1) await writer.write(sent(i));
    await writer.close();
  }),
);

export const stream: Bench = {
  name: 'stream',
  leavesOut: 'HTTP and SSE; readers in other processes (they look every 20 ms); a browser',
  run: async (context) => [...(await measure(context, 'sqlite')), ...(await measure(context, 'memory'))],
};

async function measure(context: BenchContext, store: StoreName): Promise<Figure[]> {
  const floor = sqliteFloor(context.file('floor'));
  try {
    return await withRuntime({ store: openStore(context, store), workflows: [paced, flood] }, async (runtime) => [
      ...(await measureLatency(runtime, {
        store,
        count: context.quick ? 100 : 500,
        rounds: context.quick ? 2 : 5,
        insert: floor.insert,
      })),
      await measureRate(runtime, { store, insertTogether: floor.insertTogether, rounds: context.quick ? 3 : 9 }),
    ]);
  } finally {
    floor.close();
  }
}

/** `insert`: one write of the floor. The runtime has to know `paced`. */
export async function measureLatency(
  runtime: Runtime,
  options: { store: Figure['store']; count: number; rounds: number; insert: () => unknown },
): Promise<Figure[]> {
  const { store, count, rounds, insert } = options;
  const p50: Turns = { ours: [], floor: [] };
  const p99: Turns = { ours: [], floor: [] };
  await read(runtime, { count: 50, of: paced });
  for (let round = 0; round < rounds; round += 1) {
    const floor = await insertPaced(insert, count);
    const ours = await read(runtime, { count, of: paced });
    for (const [turns, p] of [
      [p50, 0.5],
      [p99, 0.99],
    ] as const) {
      turns.floor.push(quantile(floor, p));
      turns.ours.push(quantile(ours, p));
    }
  }
  const what = `write to reader at ${RATE} chunks/s`;
  const floor = `insert and commit, ${RATE}/s`;
  return [
    toFigure(`${what}, p50`, p50, { store, unit: 'ms', floor, atMost: P50_MS }),
    toFigure(`${what}, p99`, p99, { store, unit: 'ms', floor, atMost: P99_MS }),
  ];
}

async function insertPaced(insert: () => unknown, count: number): Promise<number[]> {
  const latencies: number[] = [];
  for (let i = 0; i < count; i += 1) {
    await delay(1_000 / RATE);
    latencies.push(await timed(insert));
  }
  return latencies;
}

async function measureRate(
  runtime: Runtime,
  options: { store: StoreName; insertTogether: (count: number) => void; rounds: number },
): Promise<Figure> {
  const { store, insertTogether, rounds } = options;
  const turns = await inTurns({
    rounds,
    floor: async () => (MANY * 1_000) / (await timed(() => insertTogether(MANY))),
    ours: async () => (MANY * 1_000) / (await timed(() => read(runtime, { count: MANY, of: flood }))),
  });
  const figure = toFigure('10,000 chunks written and read in process', turns, {
    store,
    unit: 'chunks/s',
    floor: 'inserts/s, one commit',
  });
  return { ...figure, target: { text: `>= ${LEAST_RATE} chunks/s`, met: figure.value.median >= LEAST_RATE } };
}

/** How long each chunk took from the writer to the reader. Throws if one is missing or out of order. */
async function read(runtime: Runtime, { count, of }: { count: number; of: typeof paced }): Promise<number[]> {
  const run = await runtime.start(of, { input: { count } });
  const latencies: number[] = [];
  for await (const { i, sentAt } of run.stream<Sent>()) {
    if (i !== latencies.length) throw new Error(`Chunk ${i} came where ${latencies.length} was to come.`);
    latencies.push(performance.now() - sentAt);
  }
  if (latencies.length !== count) throw new Error(`${latencies.length} of ${count} chunks came.`);
  await run.result();
  return latencies;
}

function sent(i: number): Sent {
  return { i, sentAt: performance.now(), text: 'some words of a model ' };
}
