/** A hundred steps at once in one run. */

import { step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { kilobyte, sqliteFloor } from './floors.ts';
import { inTurns, timed } from './measure.ts';
import { toFigure } from './report.ts';
import type { Bench, BenchContext, Figure, StoreName } from './report.ts';
import { openStore, withRuntime } from './runtime.ts';

const WIDTH = 100;
const AT_MOST_MS = 20;

let startedAt = 0;
let doneAt = 0;

const fanned = workflow('fanned', async () => {
  startedAt = performance.now();
  await Promise.all(Array.from({ length: WIDTH }, (_, i) => step('branch', () => kilobyte(i))));
  doneAt = performance.now();
});

export const fan: Bench = {
  name: 'fan',
  leavesOut: 'steps that take time; the start and the end of the run',
  run: async (context) => [...(await measure(context, 'sqlite')), ...(await measure(context, 'memory'))],
};

async function measure(context: BenchContext, store: StoreName): Promise<Figure[]> {
  const floor = sqliteFloor(context.file('floor'));
  try {
    return await withRuntime({ store: openStore(context, store), workflows: [fanned] }, async (runtime) => {
      const turns = await inTurns({
        rounds: context.quick ? 5 : 30,
        warmUp: 3,
        floor: () => timed(() => floor.insertTogether(WIDTH)),
        ours: () => fanOut(runtime),
      });
      return [
        toFigure(`${WIDTH}-wide Promise.all`, turns, {
          store,
          unit: 'ms',
          floor: `${WIDTH} inserts in one commit`,
          atMost: AT_MOST_MS,
        }),
      ];
    });
  } finally {
    floor.close();
  }
}

async function fanOut(runtime: Runtime): Promise<number> {
  const run = await runtime.start(fanned);
  await run.result();
  return doneAt - startedAt;
}
