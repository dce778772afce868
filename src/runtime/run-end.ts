/** How a run ends, as the store takes it. */

import { encodeThrown, encodeValue } from './codec.ts';
import type { ReceivedMessage } from './context.ts';
import { DurableError } from './errors.ts';
import type { NewRun, Run, Then } from './store.ts';

export type Outcome =
  | { status: 'completed'; value: unknown }
  | { status: 'failed' | 'cancelled'; error: unknown; value?: unknown };

export function endOf(outcome: Outcome): Then {
  const { status, value } = outcome;
  if (status === 'completed') {
    return { kind: 'end', status, result: encodeValue(value, 'the result'), error: null, errorCode: null };
  }
  return {
    kind: 'end',
    status,
    result: value === undefined ? null : encodeValue(value, 'the result'),
    error: encodeThrown(outcome.error),
    errorCode:
      status === 'cancelled' ? 'cancelled' : DurableError.is(outcome.error) ? outcome.error.code : 'run_failed',
  };
}

/** User messages that no turn has consumed become the thread's next runs; their ids make that happen once. */
export function leftoverRuns(run: Run, messages: ReceivedMessage[]): NewRun[] {
  return messages
    .filter((message) => message.kind === 'user')
    .map((message) => ({
      id: message.id,
      workflow: run.workflow,
      version: run.version,
      queue: run.queue,
      thread: run.thread,
      tenant: run.tenant,
      input: encodeValue(message.value, 'a user message'),
      inputHash: message.inputHash ?? '',
      attributes: run.attributes,
      parent: null,
      supersedes: null,
      whenBusy: 'queue',
    }));
}
