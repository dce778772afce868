/** Start to first step, and payload to the code behind a hook: samples one after the other. */

import { sqliteFloor } from './floors.ts';
import { inTurns, timed } from './measure.ts';
import { toFigure } from './report.ts';
import type { Bench, BenchContext, Figure, StoreName } from './report.ts';
import { measuredWorkflows, toFirstStep, toHook } from './rounds.ts';
import { openStore, withRuntime } from './runtime.ts';

const AT_MOST_MS = 2;

export const latency: Bench = {
  name: 'latency',
  leavesOut: 'HTTP; a runtime in another process than the caller (it learns of new work by a poll every 20 ms)',
  run: async (context) => [...(await measure(context, 'sqlite')), ...(await measure(context, 'memory'))],
};

async function measure(context: BenchContext, store: StoreName): Promise<Figure[]> {
  const floor = sqliteFloor(context.file('floor'));
  const insert = (): Promise<number> => timed(floor.insert);
  const rounds = context.quick ? 10 : 60;
  try {
    return await withRuntime({ store: openStore(context, store), workflows: measuredWorkflows }, async (runtime) => {
      const started = await inTurns({ rounds, warmUp: 5, floor: insert, ours: () => toFirstStep(runtime) });
      const resumed = await inTurns({ rounds, warmUp: 5, floor: insert, ours: () => toHook(runtime) });
      const options = { store, unit: 'ms', floor: 'insert and commit', atMost: AT_MOST_MS } as const;
      return [toFigure('start to first step', started, options), toFigure('hook resume', resumed, options)];
    });
  } finally {
    floor.close();
  }
}
