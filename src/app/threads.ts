/** A conversation, read from outside. */

import type { ModelMessage, UIMessage, UIMessageChunk } from 'ai';
import { messageIdOf } from '../agent/agent-state.ts';
import { runUiMessages, threadMessages } from '../agent/thread.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Run, RunStatus, Store } from '../runtime/store.ts';
import { decodeChunk } from '../streams/chunk.ts';
import { foldMessage } from '../streams/fold.ts';
import { DEFAULT_STREAM } from '../streams/wire.ts';

export interface Thread {
  id: string;
  /** Oldest first; superseded ones are left out. */
  runs: Array<{ id: string; status: RunStatus }>;
  /** What people see: ended and waiting runs whole; of a running one only what started it, since its answer is being streamed. */
  uiMessages: UIMessage[];
  /** What the model is told of the runs that ended. Valid for every provider. */
  messages: ModelMessage[];
}

const PAGE_BYTES = 1_048_576;
const ENDED: ReadonlySet<RunStatus> = new Set<RunStatus>(['completed', 'failed', 'cancelled']);

/** Throws `thread_not_found` if no run belongs to it. */
export async function readThread(store: Store, id: string): Promise<Thread> {
  const runs = await store.thread(id);
  if (runs.length === 0) {
    throw new DurableError(
      'thread_not_found',
      `There is no thread "${id}". A thread begins with runtime.start(agent, { thread: "${id}", ... }).`,
      { details: { thread: id } },
    );
  }
  const shown = await Promise.all(
    runs.map(async (run) => runUiMessages(run, run.status === 'waiting' ? await foldRun(store, run) : null)),
  );
  return {
    id,
    runs: runs.map((run) => ({ id: run.id, status: run.status })),
    uiMessages: shown.flat(),
    messages: threadMessages(runs.filter((run) => ENDED.has(run.status))),
  };
}

async function foldRun(store: Store, run: Run): Promise<UIMessage | null> {
  const chunks: UIMessageChunk[] = [];
  for (;;) {
    const page = await store.read(run.id, DEFAULT_STREAM, { from: chunks.length, maxBytes: PAGE_BYTES });
    if (page === null || page.chunks.length === 0) break;
    for (const payload of page.chunks) chunks.push(decodeChunk(payload) as UIMessageChunk);
    if (chunks.length >= page.tail) break;
  }
  return foldMessage(chunks, { message: { id: messageIdOf(run.id), role: 'assistant', parts: [] } });
}
