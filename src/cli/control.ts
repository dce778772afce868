/** `everturn cancel <run>` and `everturn resume <run>` */

import type { Runtime } from '../app/create-runtime.ts';
import { isEnded } from '../runtime/store.ts';
import type { RunInfo } from '../app/run-info.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Report } from './report.ts';
import { printable } from './text.ts';

/** Throws `run_not_found`, and `invalid_argument` for a run that ended otherwise before. */
export async function cancel(runtime: Runtime, id: string): Promise<Report> {
  const handle = runtime.getRun(id);
  await handle.cancel();
  const run = await handle.info();
  if (isEnded(run.status) && run.status !== 'cancelled') {
    throw new DurableError(
      'invalid_argument',
      `Cannot cancel the run "${id}": it is ${run.status}. Ended runs stay as they are.`,
      {
        details: { run: id, status: run.status },
      },
    );
  }
  return answer(
    run,
    run.status === 'cancelled'
      ? `Run ${id} is cancelled.`
      : `Run ${id} is asked to stop; it is ${run.status}, and its worker ends it.`,
  );
}

/** Throws `run_not_found`, and `invalid_argument` for a run that is not parked. */
export async function resume(runtime: Runtime, id: string): Promise<Report> {
  await runtime.resume(id);
  const run = await runtime.getRun(id).info();
  return answer(run, `Run ${id} is ${run.status}. A worker of ${run.queue} goes on with it.`);
}

function answer(run: RunInfo, sentence: string): Report {
  const { id: runId, status, cancelRequested } = run;
  return { json: { runId, status, cancelRequested }, lines: () => [printable(sentence)] };
}
