/** How a run ends, as the store takes it. */

import { encodeValue } from './codec.ts';
import type { ReceivedMessage } from './context.ts';
import { DurableError } from './errors.ts';
import type { EndStatus, NewRun, Run, Then } from './store.ts';

export interface Outcome {
  status: EndStatus;
  value?: unknown;
  error?: unknown;
}

export function endOf(outcome: Outcome): Then {
  const { status, value, error } = outcome;
  if (status === 'completed') return { kind: 'end', status, result: encodeValue(value, 'the result'), error: null, errorCode: null };
  return {
    kind: 'end',
    status,
    result: value === undefined ? null : encodeValue(value, 'the result'),
    error: encodeError(error),
    errorCode: codeOf(error, status),
  };
}

function encodeError(error: unknown): Uint8Array {
  try {
    return encodeValue(error, 'an error');
  } catch (reason) {
    return encodeValue(new Error(error instanceof Error ? error.message : String(error), { cause: reason }), 'an error');
  }
}

function codeOf(error: unknown, status: EndStatus): string {
  if (status === 'cancelled') return 'cancelled';
  return DurableError.is(error) ? error.code : 'run_failed';
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
