/** Many short runs at once: 200 runs of 10 steps (the last one is a mark), started together. */

import { sqliteFloor } from './floors.ts';
import { inTurns, timed } from './measure.ts';
import type { Turns } from './measure.ts';
import { toFigure } from './report.ts';
import type { Bench, BenchContext, Figure, StoreName } from './report.ts';
import { BURST, burstRate, measuredWorkflows, startAll } from './rounds.ts';
import { openStore, withRuntime } from './runtime.ts';

export const burst: Bench = {
  name: 'burst',
  leavesOut: 'more runs than the worker executes at once (200 by default): the others wait for their turn',
  run: async (context) => [...(await measure(context, 'sqlite')), ...(await measure(context, 'memory'))],
};

async function measure(context: BenchContext, store: StoreName): Promise<Figure[]> {
  const floor = sqliteFloor(context.file('floor'));
  try {
    return await withRuntime({ store: openStore(context, store), workflows: measuredWorkflows }, async (runtime) => {
      const rounds = context.quick ? 3 : 9;
      const ours = (): Promise<number> => timed(() => startAll(runtime));
      const together = await inTurns({
        rounds,
        floor: () => timed(() => insertInGroups(floor.insertTogether)),
        ours,
      });
      const what = `${BURST.runs} runs x ${BURST.steps} steps at once`;
      const grouped = { store, unit: 'ms', floor: `${BURST.steps} group commits of ${BURST.runs} inserts` } as const;
      if (store === 'memory') return [toFigure(what, together, grouped)];
      const singly = await inTurns({
        rounds,
        floor: () => timed(() => insertSingly(floor.insert)),
        ours,
      });
      return [
        toFigure(what, together, grouped),
        toFigure(`${what}, per second`, rates(singly), {
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

function rates({ ours, floor }: Turns): Turns {
  return { ours: ours.map(burstRate), floor: floor.map(burstRate) };
}

function insertInGroups(insertTogether: (count: number) => void): void {
  for (let i = 0; i < BURST.steps; i += 1) insertTogether(BURST.runs);
}

function insertSingly(insert: () => void): void {
  for (let i = 0; i < BURST.runs * BURST.steps; i += 1) insert();
}
