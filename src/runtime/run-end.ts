/** How a run ends, as the store takes it. */

import { encodeGathered, encodeThrown, encodeValue } from './codec.ts';
import type { ReceivedMessage } from './context.ts';
import { DurableError } from './errors.ts';
import { unhashedLike } from './keyring.ts';
import type { NewRun, Run, Then } from './store.ts';

export type Outcome =
  | { status: 'completed'; value: unknown }
  | { status: 'failed' | 'cancelled'; error: unknown; value?: unknown };

/** `result.what` names the result in errors. Throws what encoding it throws. */
export function endOf(outcome: Outcome, result: { what: string; maxBytes: number }): Then {
  const { status, value } = outcome;
  if (status === 'completed') {
    return { kind: 'end', status, result: encodeGathered(value, result), error: null, errorCode: null };
  }
  return {
    kind: 'end',
    status,
    result: value === undefined ? null : encodeGathered(value, result),
    error: encodeThrown(outcome.error),
    errorCode:
      status === 'cancelled' ? 'cancelled' : DurableError.is(outcome.error) ? outcome.error.code : 'run_failed',
  };
}

/** User messages that nobody has consumed become the thread's next runs; their ids make that happen once. */
export function leftoverRuns(run: Run, messages: ReceivedMessage[]): NewRun[] {
  return messages
    .filter((message) => message.kind === 'user')
    .map(({ id, value, inputHash }) => threadRun(run, { id, input: value, inputHash }));
}

/** A run of the same thread and workflow, queued behind this one. */
export function threadRun(run: Run, next: { id: string; input: unknown; inputHash: string | null }): NewRun {
  const { workflow, version, queue, thread, tenant, attributes, limits } = run;
  return {
    workflow,
    version,
    queue,
    thread,
    tenant,
    attributes,
    limits,
    id: next.id,
    input: encodeValue(next.input, 'a user message'),
    inputHash: next.inputHash ?? unhashedLike(run.inputHash),
    parent: null,
    supersedes: null,
    whenBusy: 'queue',
  };
}
