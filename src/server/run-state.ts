/** Where a run stands, as its readers need it. */

import type { Runtime } from '../app/create-runtime.ts';
import { isSuspended } from '../app/waits.ts';
import type { Clock } from '../runtime/clock.ts';
import type { RunInfo } from '../app/run-info.ts';
import { createSharedStates } from './shared-state.ts';
import type { SharedStates } from './shared-state.ts';

export interface RunState {
  /** Why it is parked: it goes on when somebody resumes it. */
  parked: string | null;
  /** Only a person or a client can make it go on. */
  isSuspended: boolean;
}

export type RunKey = Pick<RunInfo, 'id'>;

export function createRunStates(runtime: Runtime, clock: Clock): SharedStates<RunKey, RunState> {
  return createSharedStates({
    clock,
    watch: (listener) => runtime.watch(listener),
    nameOf: ({ id }) => id,
    load: ({ id }) => readRunState(runtime, id),
    concerns: (hint, { id }) => (hint.kind === 'thread' || hint.kind === 'run') && hint.run === id,
  });
}

/** Throws `run_not_found`. */
export async function readRunState(runtime: Runtime, id: string): Promise<RunState> {
  const run = runtime.getRun(id);
  const { status, parked } = await run.info();
  return { parked: parked?.code ?? null, isSuspended: status === 'waiting' && isSuspended(await run.waits()) };
}
