/**
 * Postgres: a step, many runs at once, the way to a first step and to the code behind a hook, and from a writer to a reader, in one
 * process and between two. The floor is the plain client on the same server, whose settings are asserted.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { createHook, getWritable, step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { postgresStore } from 'everturn/postgres';
import { Client, Pool } from 'pg';
import { startPostgres } from '../test/support/postgres.ts';
import { kilobyte } from './floors.ts';
import { measureAgents } from './postgres-agents.ts';
import { measureApart } from './postgres-apart.ts';
import { inTurns, median, timed } from './measure.ts';
import { toFigure, toPlainFigure } from './report.ts';
import type { Bench, BenchContext, Figure } from './report.ts';
import { withRuntime } from './runtime.ts';

const RUNS = 200;
const STEPS = 10;
const AT_ONCE = 20;
const CHUNKS = 100;
const CHUNK_RATE = 60;
const store = 'postgres';

let marks: number[] = [];
let reached = 0;
let isWaiting: (token: string) => void = () => {};
let isRead: (at: number) => void = () => {};

const sequence = workflow('sequence', async ({ n }: { n: number }) => {
  for (let i = 0; i < n; i += 1) {
    await step('work', () => {
      marks.push(performance.now());
      return kilobyte(i);
    });
  }
});
const short = workflow('short', async () => {
  for (let i = 0; i < STEPS; i += 1) await step('work', () => kilobyte(i));
});
const first = workflow('first', () => step('first', () => void (reached = performance.now())));
const hooked = workflow('hooked', async () => {
  const hook = createHook<{ ok: boolean }>();
  isWaiting(hook.token);
  await hook;
  reached = performance.now();
});
const written = workflow('written', () =>
  step('write', async () => {
    const writer = getWritable<number>().getWriter();
    for (let i = 0; i < CHUNKS; i += 1) {
      const read = new Promise<number>((resolve) => (isRead = resolve));
      const at = performance.now();
      await writer.write(i);
      marks.push((await read) - at);
      await delay(1_000 / CHUNK_RATE);
    }
    await writer.close();
  }),
);

export const postgres: Bench = {
  name: 'postgres',
  leavesOut: 'a network between the processes and the server',
  run: async (context) => {
    const server = await startPostgres();
    const floor = await openFloor(server.url);
    try {
      const options = {
        store: postgresStore({ connectionString: server.url }),
        workflows: [sequence, short, first, hooked, written],
      };
      const figures = await withRuntime(options, (runtime) => measure(context, { runtime, floor }));
      if (options.store.capabilities.durability !== 'fsync') throw new Error('The store does not promise to sync.');
      const insert = (): Promise<number> => timed(floor.insert);
      const apart = await measureApart(context, { url: server.url, insert });
      return [...figures, ...apart, await measureAgents(context, server.url)];
    } finally {
      await floor.close();
      await server.remove();
    }
  },
};

interface Floor {
  insert(): Promise<void>;
  /** So many inserts, on as many connections as are used at once. */
  insertMany(count: number): Promise<void>;
  close(): Promise<void>;
}

async function openFloor(connectionString: string): Promise<Floor> {
  const client = new Client({ connectionString });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('CREATE TABLE steps (key bigserial PRIMARY KEY, body bytea)');
  const pool = new Pool({ connectionString, max: AT_ONCE });
  pool.on('error', () => undefined);
  const statement = { name: 'insert', text: 'INSERT INTO steps (body) VALUES ($1)' };
  const body = Buffer.from(JSON.stringify(kilobyte(0)));
  return {
    insert: async () => void (await client.query({ ...statement, values: [body] })),
    insertMany: async (count) => {
      const each = async (): Promise<void> => {
        for (let i = 0; i < count / AT_ONCE; i += 1) await pool.query({ ...statement, values: [body] });
      };
      await Promise.all(Array.from({ length: AT_ONCE }, each));
    },
    close: async () => {
      await client.end();
      await pool.end();
    },
  };
}

async function measure(
  context: BenchContext,
  { runtime, floor }: { runtime: Runtime; floor: Floor },
): Promise<Figure[]> {
  const rounds = context.quick ? 3 : 9;
  const samples = context.quick ? 15 : 60;
  const insert = (): Promise<number> => timed(floor.insert);
  const steps = await inTurns({ rounds, floor: () => medianInsert(floor), ours: () => medianStep(runtime) });
  const rate = (ms: number): number => (RUNS * STEPS * 1_000) / ms;
  const burst = await inTurns({
    rounds,
    floor: async () => rate(await timed(() => floor.insertMany(RUNS * STEPS))),
    ours: async () => rate(await timed(() => startAll(runtime))),
  });
  const started = await inTurns({ rounds: samples, warmUp: 5, floor: insert, ours: () => toFirstStep(runtime) });
  const resumed = await inTurns({ rounds: samples, warmUp: 5, floor: insert, ours: () => toHook(runtime) });
  const options = { store, unit: 'ms', floor: 'insert and commit' } as const;
  return [
    toFigure('sequential step of 1 KB, n = 1,000', steps, { ...options, ratioAtMost: 2 }),
    toFigure(`${RUNS} runs x ${STEPS} steps at once, per second`, burst, {
      store,
      unit: 'steps/s',
      floor: `inserts/s on ${AT_ONCE} connections`,
    }),
    toFigure('start to first step', started, { ...options, atMost: 2 }),
    toFigure('hook resume', resumed, { ...options, atMost: 2 }),
    toPlainFigure(`write to reader in process at ${CHUNK_RATE} chunks/s, p50`, await toReader(runtime), {
      store,
      unit: 'ms',
      atMost: 1.5,
    }),
  ];
}

async function medianInsert(floor: Floor): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 300; i += 1) times.push(await timed(floor.insert));
  return median(times);
}

async function medianStep(runtime: Runtime): Promise<number> {
  marks = [];
  await (await runtime.start(sequence, { input: { n: 1_000 } })).result();
  return median(marks.slice(1).map((mark, index) => mark - (marks[index] ?? 0)));
}

async function startAll(runtime: Runtime): Promise<void> {
  const runs = await Promise.all(Array.from({ length: RUNS }, () => runtime.start(short)));
  await Promise.all(runs.map((run) => run.result()));
}

async function toFirstStep(runtime: Runtime): Promise<number> {
  const startedAt = performance.now();
  await (await runtime.start(first)).result();
  return reached - startedAt;
}

async function toHook(runtime: Runtime): Promise<number> {
  const token = new Promise<string>((resolve) => (isWaiting = resolve));
  const run = await runtime.start(hooked);
  const resolved = await token;
  while ((await run.status) !== 'waiting') await new Promise((resolve) => setImmediate(resolve));
  const startedAt = performance.now();
  await runtime.resumeHook(resolved, { ok: true });
  await run.result();
  return reached - startedAt;
}

async function toReader(runtime: Runtime): Promise<number[]> {
  marks = [];
  const run = await runtime.start(written);
  for await (const _ of run.stream<number>()) isRead(performance.now());
  await run.result();
  return [median(marks)];
}
