/** `fork('soak-process.ts', [json])`: a worker that tells its memory; SIGTERM closes its runtime, as a host would have it. */
import { setTimeout as delay } from 'node:timers/promises';
import { createRuntime } from 'everturn';
import { openStore } from '../../support/open-store.ts';
import { soakRuns } from './soak-runs.ts';
import type { SoakTask } from './soak-runs.ts';

export type SoakMessage =
  | { kind: 'open' }
  | { kind: 'memory'; heap: number; rss: number; at: number }
  | { kind: 'warning'; code: unknown; message: string; run: unknown };

const MEMORY_EVERY_MS = 5_000;

const task = JSON.parse(process.argv[2] ?? '') as SoakTask;
const tell = (message: SoakMessage): void => void process.send?.(message);
const keep = ({ code, run }: { code?: unknown; run?: unknown }, message: string): void =>
  tell({ kind: 'warning', code, message, run });
const state = { over: false };
const runtime = createRuntime({
  store: openStore(task.store),
  ...soakRuns(task),
  worker: { concurrency: 16, leaseMs: task.leaseMs },
  logger: { debug() {}, info() {}, warn: keep, error: keep },
});
await runtime.list();
process.once('SIGTERM', () => {
  state.over = true;
  void runtime.close().then(() => process.disconnect());
});
process.once('disconnect', () => process.exit());
tell({ kind: 'open' });
while (!state.over) {
  globalThis.gc?.();
  const { heapUsed: heap, rss } = process.memoryUsage();
  tell({ kind: 'memory', heap, rss, at: Date.now() });
  await delay(MEMORY_EVERY_MS, undefined, { ref: false });
}
