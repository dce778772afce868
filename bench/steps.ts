/** Sequential steps of one run: what a step costs, and whether it costs more in a longer run. */

import type { Runtime } from 'everturn';
import { sqliteFloor } from './floors.ts';
import type { SqliteFloor } from './floors.ts';
import { inTurns, median, timed } from './measure.ts';
import { toFigure } from './report.ts';
import type { Bench, BenchContext, Figure, StoreName } from './report.ts';
import { marksOf, measuredWorkflows } from './rounds.ts';
import { openStore, withRuntime } from './runtime.ts';

const LENGTHS = [100, 500, 1_000];
const TARGET = 2;

export const steps: Bench = {
  name: 'steps',
  leavesOut: 'reading the result back; contention of other processes for the file',
  run: async (context) => {
    const floor = sqliteFloor(context.file('floor'));
    try {
      return [...(await measure(context, 'sqlite', floor)), ...(await measure(context, 'memory', floor))];
    } finally {
      floor.close();
    }
  },
};

async function measure(context: BenchContext, store: StoreName, floor: SqliteFloor): Promise<Figure[]> {
  return withRuntime({ store: openStore(context, store), workflows: measuredWorkflows }, async (runtime) => {
    const figures: Figure[] = [];
    await marksOf(runtime, 2_000); // compiles
    for (const n of LENGTHS) {
      const rounds = context.quick ? 3 : n === 100 ? 15 : 9;
      const turns = await inTurns({
        rounds,
        floor: async () => (await timed(() => insertAll(floor, n))) / n,
        ours: () => perStep(runtime, n),
      });
      const what = `sequential step of 1 KB, n = ${n.toLocaleString('en-US')}`;
      figures.push(toFigure(what, turns, options(store)));
    }
    if (store === 'sqlite') figures.push(await slope(runtime, { floor, rounds: context.quick ? 3 : 9 }));
    return figures;
  });
}

function options(store: StoreName): Parameters<typeof toFigure>[2] {
  return {
    store,
    unit: 'ms',
    floor: 'insert and commit',
    ...(store === 'sqlite' ? { ratioAtMost: TARGET } : {}),
  };
}

function insertAll(floor: SqliteFloor, n: number): void {
  for (let i = 0; i < n; i += 1) floor.insert();
}

async function perStep(runtime: Runtime, n: number): Promise<number> {
  const times = await marksOf(runtime, n);
  return ((times.at(-1) ?? 0) - (times[0] ?? 0)) / n;
}

/** The last quarter of a run of 1,000 over its second one; the floor's own file grows likewise. */
async function slope(runtime: Runtime, { floor, rounds }: { floor: SqliteFloor; rounds: number }): Promise<Figure> {
  const n = 1_000;
  const turns = await inTurns({
    rounds,
    floor: () => {
      const times = [performance.now()];
      for (let i = 0; i < n; i += 1) {
        floor.insert();
        times.push(performance.now());
      }
      return growth(times);
    },
    ours: async () => growth(await marksOf(runtime, n)),
  });
  return {
    ...toFigure('step 1,000 over step 250 of one run (slope)', turns, { store: 'sqlite', unit: 'x', floor: 'inserts' }),
    target: { text: '<= 1.1 x', met: median(turns.ours) <= 1.1 },
  };
}

function growth(times: number[]): number {
  const durations = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  const quarter = Math.floor(durations.length / 4);
  return median(durations.slice(-quarter)) / median(durations.slice(quarter, 2 * quarter));
}
