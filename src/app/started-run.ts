/** What a start led to. */

import { DurableError } from '../runtime/errors.ts';
import type { NewRun, StartResult } from '../runtime/store.ts';

/** The id of the run. Throws what the store refused. */
export function startedId(result: StartResult, run: NewRun): string {
  switch (result.kind) {
    case 'created':
    case 'exists':
      return result.run.id;
    case 'steered':
      return result.active.id;
    case 'conflict':
      throw new DurableError(
        'run_conflict',
        `Cannot start the run "${run.id}": a run with this id exists with another workflow or input (workflow "${result.run.workflow}", ${result.run.status}). Use another id, or the same input.`,
        { details: { run: run.id, workflow: result.run.workflow, status: result.run.status } },
      );
    case 'busy':
      throw new DurableError(
        'thread_busy',
        `Cannot start a run in thread "${run.thread}": its run "${result.active.id}" is ${result.active.status}. Wait for it, or pass whenBusy: "queue", "steer" or "interrupt".`,
        { retryable: true, details: { thread: run.thread, active: result.active.id, status: result.active.status } },
      );
  }
}
