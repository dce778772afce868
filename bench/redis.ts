/**
 * Redis: a step, many runs at once, the way to a first step and to the code behind a hook, from a writer to a reader, and a claim beside
 * many runs that sleep; with its file synced once a second and at each write. The floor is the plain client on the same server: one write
 * of as many bytes.
 */

import { createHook, getWritable, step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { redisStore } from 'everturn/redis';
import { Redis } from 'ioredis';
import { startRedis } from '../test/support/redis.ts';
import { kilobyte } from './floors.ts';
import { inTurns, median, timed } from './measure.ts';
import { toFigure, toPlainFigure } from './report.ts';
import type { Bench, BenchContext, Figure } from './report.ts';
import { withRuntime } from './runtime.ts';

const RUNS = 200;
const STEPS = 10;
const CHUNKS = 100;
const SLEEPING = 100_000;
const CLAIMS = 200;
const DURABILITY = { everysec: 'async', always: 'fsync' } as const;
type Sync = keyof typeof DURABILITY;
const store = 'redis';

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
    }
    await writer.close();
  }),
);

export const redis: Bench = {
  name: 'redis',
  leavesOut: 'a network between the process and the server; other processes that claim, write and listen',
  run: async (context) => [
    ...(await measureSynced(context, 'everysec')),
    ...(await measureSynced(context, 'always')),
    await measureClaims(),
  ],
};

async function measureSynced(context: BenchContext, sync: Sync): Promise<Figure[]> {
  const server = await startRedis({ appendonly: 'yes', appendfsync: sync });
  const client = new Redis(server.url);
  try {
    const options = {
      store: redisStore({ url: server.url }),
      workflows: [sequence, short, first, hooked, written],
    };
    const figures = await withRuntime(options, (runtime) => measure(context, { runtime, client, sync }));
    const { durability } = options.store.capabilities;
    if (durability !== DURABILITY[sync])
      throw new Error(`With appendfsync ${sync} the store promises "${durability}".`);
    return figures;
  } finally {
    client.disconnect();
    await server.remove();
  }
}

async function measure(
  context: BenchContext,
  { runtime, client, sync }: { runtime: Runtime; client: Redis; sync: Sync },
): Promise<Figure[]> {
  const rounds = context.quick ? 3 : 9;
  const samples = context.quick ? 15 : 60;
  const body = JSON.stringify(kilobyte(0));
  const write = (): Promise<number> => timed(() => client.rpush('floor', body));
  const writes = async (): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < 300; i += 1) times.push(await write());
    return median(times);
  };
  const rate = (ms: number): number => (RUNS * STEPS * 1_000) / ms;
  const writeAll = (): Promise<unknown> =>
    Promise.all(Array.from({ length: RUNS * STEPS }, () => client.rpush('floor', body)));
  const steps = await inTurns({ rounds, floor: writes, ours: () => medianStep(runtime) });
  const burst = await inTurns({
    rounds,
    floor: async () => rate(await timed(writeAll)),
    ours: async () => rate(await timed(() => startAll(runtime))),
  });
  const started = await inTurns({ rounds: samples, warmUp: 5, floor: write, ours: () => toFirstStep(runtime) });
  const resumed = await inTurns({ rounds: samples, warmUp: 5, floor: write, ours: () => toHook(runtime) });
  const options = { store, unit: 'ms', floor: 'RPUSH of 1 KB' } as const;
  const synced = (what: string): string => `${what}, synced ${sync}`;
  return [
    toFigure(synced('sequential step of 1 KB, n = 1,000'), steps, options),
    toFigure(synced(`${RUNS} runs x ${STEPS} steps at once, per second`), burst, {
      store,
      unit: 'steps/s',
      floor: 'RPUSH of 1 KB, all at once, per second',
    }),
    toFigure(synced('start to first step'), started, { ...options, atMost: 2 }),
    toFigure(synced('hook resume'), resumed, { ...options, atMost: 3 }),
    toPlainFigure(synced('write to reader, in process, p50'), await toReader(runtime), {
      store,
      unit: 'ms',
      atMost: 3,
    }),
  ];
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

/** Claims and starts of one run after the other in a queue in which many sleep. */
async function measureClaims(): Promise<Figure> {
  const server = await startRedis();
  const opened = redisStore({ url: server.url });
  try {
    const queue = 'q@1';
    const ids = Array.from({ length: SLEEPING }, (_, index) => `run_${index}`);
    for (let from = 0; from < SLEEPING; from += 2_000) {
      const started = await opened.start(
        ids.slice(from, from + 2_000).map((id) => newRun(id, queue)),
        {
          nonce: `n${from}`,
          leaseMs: 600_000,
        },
      );
      await opened.commit(started.map((answer) => toSleep(answer)));
    }
    const times: number[] = [];
    for (let i = 0; i < CLAIMS; i += 1) {
      await opened.start([newRun(`due_${i}`, queue)]);
      const request = { queues: [queue], limit: 16, suspects: 1, nonce: `c${i}`, leaseMs: 600_000 };
      const began = performance.now();
      const { claims } = await opened.claim(request);
      times.push(performance.now() - began);
      if (claims.length !== 1) throw new Error(`A claim got ${claims.length} runs instead of 1.`);
    }
    const what = `claim of a run beside ${SLEEPING.toLocaleString('en')} that sleep, p50`;
    return toPlainFigure(what, [median(times)], { store, unit: 'ms', atMost: 5 });
  } finally {
    await opened.close();
    await server.remove();
  }
}

type Started = Awaited<ReturnType<ReturnType<typeof redisStore>['start']>>[number];
type NewRun = Parameters<ReturnType<typeof redisStore>['start']>[0][number];
type Commit = Parameters<ReturnType<typeof redisStore>['commit']>[0][number];

function newRun(id: string, queue: string): NewRun {
  return {
    id,
    workflow: 'q',
    version: '1',
    queue,
    thread: null,
    tenant: null,
    input: new Uint8Array(),
    inputHash: '',
    attributes: {},
    parent: null,
    supersedes: null,
    limits: [],
  };
}

function toSleep(started: Started): Commit {
  if (started.kind !== 'created' || started.token === null) throw new Error(`A run was ${started.kind}.`);
  const nothing = { events: [], chunks: [], hooks: { create: [], close: [] }, starts: [], cancels: [], ledger: [] };
  return {
    ...nothing,
    run: started.run.id,
    token: started.token,
    expect: 0,
    id: started.run.id,
    leaseMs: 600_000,
    seen: 0,
    received: 0,
    then: { kind: 'wait', dueAt: started.now + 86_400_000 },
  };
}
