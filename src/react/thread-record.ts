/** All that is known of a thread, as plain data: a tab that opens later gets it from another one. */

import type { UIMessage } from 'ai';
import type { ThreadHistory, Wait } from '../client/agent-api.ts';
import type { ThreadUpdate } from '../client/thread-feed.ts';
import { mergeDeltas } from '../streams/fold.ts';
import type { RunBeginning, ThreadStatus } from '../streams/wire.ts';

export interface ThreadRecord {
  /** Whole ones, oldest first. */
  messages: UIMessage[];
  /** What came after them, neighbouring deltas merged. */
  updates: RunUpdate[];
  /** Where `updates` ends; undefined: before the first run. */
  position: string | undefined;
  status: ThreadStatus<UIMessage, Wait>;
  /** By message id: who sent it, where that is known. */
  authors: Record<string, string>;
}

export type RunUpdate = Exclude<ThreadUpdate, { kind: 'thread' }>;

export function toRecord({ messages, cursor, authors, ...status }: ThreadHistory): ThreadRecord {
  return { messages, updates: [], position: cursor, status, authors };
}

export function extendRecord(record: ThreadRecord, updates: readonly ThreadUpdate[]): void {
  for (const update of updates) {
    if (update.kind === 'thread') {
      record.status = update.status;
      continue;
    }
    record.position = update.position ?? record.position;
    if (update.kind === 'run') record.authors = { ...record.authors, ...authorsOf(update.beginning) };
    const last = record.updates.at(-1);
    const joined = last === undefined ? undefined : join(last, update);
    if (joined === undefined) record.updates.push(update);
    else record.updates[record.updates.length - 1] = joined;
  }
}

/** Of what starts a run, or will. */
export function authorsOf({ messages, by }: Pick<RunBeginning<UIMessage>, 'messages' | 'by'>): Record<string, string> {
  return by === null ? {} : Object.fromEntries(messages.map(({ id }) => [id, by]));
}

function join(last: RunUpdate, update: RunUpdate): RunUpdate | undefined {
  if (last.kind !== 'chunk' || update.kind !== 'chunk' || last.run !== update.run) return undefined;
  const [chunk, other] = mergeDeltas([last.chunk, update.chunk]);
  return chunk === undefined || other !== undefined ? undefined : { ...update, chunk };
}
