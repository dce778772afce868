/** A thousand runs that wait on a hook: what they hold in memory after the warm time, and which handles are open. */

import { createHook, createRuntime, step, workflow } from 'everturn';
import { answer, readArgument } from './child.ts';
import { durableStore } from './runtime.ts';

export interface WaitingArgument {
  path: string;
  runs: number;
}

export interface WaitingAnswer {
  heapPerRun: number;
  /** Timers and handles that were there with no run, and with all of them waiting. */
  before: string[];
  after: string[];
}

const { path, runs } = readArgument() as WaitingArgument;
const WARM_MS = 500;
const collect = globalThis.gc;
if (collect === undefined) throw new Error('Start this process with --expose-gc.');

const waiting = workflow('waiting', async () => {
  await step('before', () => ({ ready: true }));
  return createHook();
});

const runtime = createRuntime({
  store: durableStore(path).store,
  workflows: [waiting],
  worker: { warm: { max: 64, ms: WARM_MS }, leaseMs: 3_000 },
});
// Code compiles and caches fill before the first measurement.
await startAndWait(100);
await settled();
const before = { heap: heapUsed(), resources: resources() };
await startAndWait(runs);
await settled();
const after = { heap: heapUsed(), resources: resources() };
await answer({
  heapPerRun: (after.heap - before.heap) / runs,
  before: before.resources,
  after: after.resources,
} satisfies WaitingAnswer);
await runtime.close({ graceMs: 100 });
process.disconnect();

async function startAndWait(count: number): Promise<void> {
  const started = await Promise.all(Array.from({ length: count }, () => runtime.start(waiting)));
  for (const run of started) while ((await run.status) !== 'waiting') await pause(5);
}

/** Past the warm time, and past the tick that drops what is older. */
async function settled(): Promise<void> {
  await pause(WARM_MS + 2_500);
}

function heapUsed(): number {
  for (let i = 0; i < 4; i += 1) collect?.();
  return process.memoryUsage().heapUsed;
}

function resources(): string[] {
  return process.getActiveResourcesInfo().toSorted();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
