/** 300 steps that write 60 chunks a second each, all of them read in the same process, while streams are packed and trimmed or not. */

import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { getWritable, step, workflow } from 'everturn';
import type { Runtime, RuntimeOptions } from 'everturn';
import { quantile } from './measure.ts';
import type { Turns } from './measure.ts';
import { toFigure } from './report.ts';
import type { Bench, BenchContext, Figure } from './report.ts';
import { durableStore, withRuntime } from './runtime.ts';

type Store = RuntimeOptions['store'];

const WRITERS = 300;
const RATE = 60;
const P95_MS = 50;
/** What packing or trimming may hold a write up. */
const MOST_MS = 5;
/** As the runtime pauses between two calls. */
const PAUSE_MS = 50;
const WARM_UP_MS = 1_000;

interface Sent {
  sentAt: number;
  text: string;
}

const pace = workflow('pace', ({ count }: { count: number }) =>
  step('write', async () => {
    const writer = getWritable<Sent>().getWriter();
    const startedAt = performance.now();
    for (let i = 0; i < count; i += 1) {
      await delay(Math.max(0, startedAt + (i * 1_000) / RATE - performance.now()));
      await writer.write({ sentAt: performance.now(), text: `some words of a model, no. ${i}` });
    }
  }),
);

export const writers: Bench = {
  name: 'writers',
  leavesOut: 'HTTP; readers in other processes; models and agents, which take more of the processor than the writes',
  run: async (context) => {
    const seconds = context.quick ? 3 : 8;
    const p95: Turns = { ours: [], floor: [] };
    const most: Turns = { ours: [], floor: [] };
    const calls: number[] = [];
    for (let round = 0; round < (context.quick ? 1 : 3); round += 1) {
      const alone = await measure(context, { seconds });
      const beside = await measure(context, { seconds, calls });
      for (const [turns, p] of [
        [p95, 0.95],
        [most, 1],
      ] as const) {
        turns.floor.push(quantile(alone, p));
        turns.ours.push(quantile(beside, p));
      }
    }
    context.note(
      `writers: ${calls.length} parts of packing and trimming beside them, the median ${quantile(calls, 0.5).toFixed(2)} ms.`,
    );
    return toFigures({ p95, most, calls });
  },
};

function toFigures({ p95, most, calls }: { p95: Turns; most: Turns; calls: number[] }): Figure[] {
  const what = `${WRITERS} writers at ${RATE} chunks/s`;
  const store = 'sqlite' as const;
  const floor = 'neither packed nor trimmed';
  return [
    toFigure(`${what}, write to reader, p95`, p95, { store, unit: 'ms', floor, atMost: P95_MS }),
    toFigure(`${what}, the longest`, most, { store, unit: 'ms', floor }),
    toFigure(
      'a part of packing or trimming beside them, how long it holds up others, p95',
      { ours: [quantile(calls, 0.95)], floor: [] },
      { store, unit: 'ms', atMost: MOST_MS },
    ),
  ];
}

/** How long each chunk took to its reader. With `calls`: beside `compact` and `trim`; how long their parts hold up others goes there. */
async function measure(
  context: BenchContext,
  { seconds, calls }: { seconds: number; calls?: number[] },
): Promise<number[]> {
  const { store, connection } = durableStore(context.file('writers'));
  if (calls !== undefined) timeAsides(connection, calls);
  return withRuntime({ store, workflows: [pace], worker: { concurrency: WRITERS } }, async (runtime) => {
    const count = Math.round((seconds + WARM_UP_MS / 1_000) * RATE);
    const ids = Array.from({ length: WRITERS }, (_, index) => `run${index}`);
    const ended = new AbortController();
    const kept = calls === undefined ? undefined : keepUp(store, { ids, signal: ended.signal });
    const latencies = await Promise.all(ids.map((id) => read(runtime, { id, count })));
    ended.abort();
    await kept;
    return latencies.flat();
  });
}

async function read(runtime: Runtime, { id, count }: { id: string; count: number }): Promise<number[]> {
  const run = await runtime.start(pace, { id, input: { count } });
  const latencies: number[] = [];
  let chunks = 0;
  for await (const { sentAt } of run.stream<Sent>()) {
    chunks += 1;
    if (chunks > (WARM_UP_MS * RATE) / 1_000) latencies.push(performance.now() - sentAt);
  }
  if (chunks !== count) throw new Error(`${chunks} of ${count} chunks came.`);
  return latencies;
}

/** A part is a transaction between two changes of `synchronous`: what its caller waits for is also the writes before it. */
function timeAsides(connection: DatabaseSync, calls: number[]): void {
  let startedAt = 0;
  connection.exec = function execAndTime(sql) {
    if (sql === 'PRAGMA synchronous = 1') startedAt = performance.now();
    Object.getPrototypeOf(this).exec.call(this, sql);
    if (sql === 'PRAGMA synchronous = 2') calls.push(performance.now() - startedAt);
  };
}

/** Packs one stream after the other, and trims in turns with it, a part at a time. */
async function keepUp(store: Store, { ids, signal }: { ids: string[]; signal: AbortSignal }): Promise<void> {
  await delay(WARM_UP_MS);
  let cursor: string | undefined;
  for (let turn = 0; !signal.aborted; turn += 1) {
    await delay(PAUSE_MS);
    if (turn % 2 === 0) {
      await store.compact(ids[(turn / 2) % ids.length] ?? '', 'default');
    } else {
      const at = cursor === undefined ? {} : { cursor };
      cursor =
        (await store.trim({ keep: 200, olderThanMs: 3_600_000, spare: [], limit: 50, ...at })).cursor ?? undefined;
    }
  }
}
