/** Start to first step, and payload to the code behind a hook: samples one after the other. */

import { createHook, step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { sqliteFloor } from './floors.ts';
import { inTurns, timed } from './measure.ts';
import { toFigure } from './report.ts';
import type { Bench, BenchContext, Figure, StoreName } from './report.ts';
import { openStore, withRuntime } from './runtime.ts';

const AT_MOST_MS = 2;

let reached = 0;
let isWaiting: (token: string) => void = () => {};

const first = workflow('first', () => step('first', () => void (reached = performance.now())));

const hooked = workflow('hooked', async () => {
  const hook = createHook<{ ok: boolean }>();
  isWaiting(hook.token);
  await hook;
  reached = performance.now();
});

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
    return await withRuntime({ store: openStore(context, store), workflows: [first, hooked] }, async (runtime) => {
      const started = await inTurns({ rounds, warmUp: 5, floor: insert, ours: () => toFirstStep(runtime) });
      const resumed = await inTurns({ rounds, warmUp: 5, floor: insert, ours: () => toHook(runtime) });
      const options = { store, unit: 'ms', floor: 'insert and commit', atMost: AT_MOST_MS } as const;
      return [toFigure('start to first step', started, options), toFigure('hook resume', resumed, options)];
    });
  } finally {
    floor.close();
  }
}

async function toFirstStep(runtime: Runtime): Promise<number> {
  const startedAt = performance.now();
  const run = await runtime.start(first);
  await run.result();
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
