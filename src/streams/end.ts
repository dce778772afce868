/** The explicit end of a UI message stream: clients wait for `finish`, and for nothing else. Pure. */

import type { UIMessageChunk } from 'ai';
import type { EndStatus } from '../runtime/store.ts';

export interface StreamEnd {
  status: EndStatus;
  /** What a client is told of a failed run. */
  errorText: string;
}

/**
 * The chunks to send after the last chunk of a closed stream, so that it ends as each stream of an agent should: nothing
 * after `finish`; `finish` after `abort` or `error`; else what the run's status says, and `finish`. They are not stored.
 * `last` is the stream's last stored chunk, whether or not this reader has read it; undefined if the stream is empty.
 */
export function missingEnd(last: UIMessageChunk | undefined, end: StreamEnd): UIMessageChunk[] {
  if (last?.type === 'finish') return [];
  if (last?.type === 'abort' || last?.type === 'error') return [{ type: 'finish' }];
  if (end.status === 'cancelled') return [{ type: 'abort' }, { type: 'finish' }];
  if (end.status === 'failed') return [{ type: 'error', errorText: end.errorText }, { type: 'finish' }];
  return [{ type: 'finish' }];
}
