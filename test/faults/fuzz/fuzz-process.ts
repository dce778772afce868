/** `fork('fuzz-process.ts', [json])`: a worker on a store that others share. It starts nothing by itself. */
import { createRuntime } from 'everturn';
import { openStore } from '../../support/open-store.ts';
import { fuzzRuns } from './fuzz-runs.ts';
import type { FuzzTask } from './fuzz-runs.ts';

export type FuzzMessage = { kind: 'open' } | { kind: 'warning'; code: unknown; message: string; run: unknown };

const task = JSON.parse(process.argv[2] ?? '') as FuzzTask;
/** Nobody listens any more when the fuzz has ended. */
const tell = (message: FuzzMessage): void => void process.send?.(message, () => undefined);

createRuntime({
  store: openStore(task.store),
  ...fuzzRuns(task),
  worker: { concurrency: 16, leaseMs: task.leaseMs },
  logger: {
    debug() {},
    info() {},
    warn: ({ code, run }, message) => tell({ kind: 'warning', code, message, run }),
    error: ({ code, run }, message) => tell({ kind: 'warning', code, message, run }),
  },
});
tell({ kind: 'open' });
process.once('disconnect', () => process.exit());
