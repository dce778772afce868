/** Many short runs at once: 200 runs of 10 steps (the last one is a mark), started together. */

import { step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { kilobyte, sqliteFloor } from './floors.ts';
import { inTurns, timed } from './measure.ts';
import { toFigure } from './report.ts';
import type { Bench, BenchContext, Figure, StoreName } from './report.ts';
import { openStore, withRuntime } from './runtime.ts';

const RUNS = 200;
const STEPS = 10;

const short = workflow('short', async () => {
  for (let i = 1; i < STEPS; i += 1) await step('work', () => kilobyte(i));
  await step('mark', () => true);
});

export const burst: Bench = {
  name: 'burst',
  leavesOut: 'more runs than the worker executes at once (200 by default): the others wait for their turn',
  run: async (context) => [...(await measure(context, 'sqlite')), ...(await measure(context, 'memory'))],
};

async function measure(context: BenchContext, store: StoreName): Promise<Figure[]> {
  const floor = sqliteFloor(context.file('floor'));
  try {
    return await withRuntime({ store: openStore(context, store), workflows: [short] }, async (runtime) => {
      const rounds = context.quick ? 3 : 9;
      const ours = (): Promise<number> => timed(() => startAll(runtime));
      const together = await inTurns({
        rounds,
        floor: () => timed(() => insertInGroups(floor.insertTogether)),
        ours,
      });
      const what = `${RUNS} runs x ${STEPS} steps at once`;
      const grouped = { store, unit: 'ms', floor: `${STEPS} group commits of ${RUNS} inserts` } as const;
      if (store === 'memory') return [toFigure(what, together, grouped)];
      const singly = await inTurns({
        rounds,
        floor: () => timed(() => insertSingly(floor.insert)),
        ours,
      });
      const rate = (ms: number): number => (RUNS * STEPS * 1_000) / ms;
      return [
        toFigure(what, together, grouped),
        toFigure(`${what}, per second`, rates(singly, rate), {
          store,
          unit: 'steps/s',
          floor: 'single inserts/s',
        }),
      ];
    });
  } finally {
    floor.close();
  }
}

function rates(
  turns: { ours: number[]; floor: number[] },
  rate: (ms: number) => number,
): { ours: number[]; floor: number[] } {
  return { ours: turns.ours.map(rate), floor: turns.floor.map(rate) };
}

async function startAll(runtime: Runtime): Promise<void> {
  const runs = await Promise.all(Array.from({ length: RUNS }, () => runtime.start(short)));
  await Promise.all(runs.map((run) => run.result()));
}

function insertInGroups(insertTogether: (count: number) => void): void {
  for (let i = 0; i < STEPS; i += 1) insertTogether(RUNS);
}

function insertSingly(insert: () => void): void {
  for (let i = 0; i < RUNS * STEPS; i += 1) insert();
}
