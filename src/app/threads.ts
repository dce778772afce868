/** A conversation, read from outside. */

import type { ModelMessage, UIMessage, UIMessageChunk } from 'ai';
import { messageIdOf } from '../agent/run/agent-state.ts';
import { inputUiMessages, readInput, runUiMessages, threadMessages } from '../agent/history/thread.ts';
import { DurableError } from '../runtime/errors.ts';
import type { RunStatus, Store } from '../runtime/store.ts';
import { decodeChunk } from '../runtime/chunk.ts';
import { foldMessage } from '../streams/fold.ts';
import { DEFAULT_STREAM } from '../streams/wire.ts';
import { hasBegun, isEnded } from '../runtime/store.ts';
import { toRunInfo } from './run-info.ts';
import type { RunInfo } from './run-info.ts';
import { isSuspended, readWaits } from './waits.ts';
import type { Wait } from './waits.ts';

export interface Thread {
  id: string;
  /** Oldest first; superseded ones are left out. */
  runs: Array<{ id: string; status: RunStatus }>;
  /**
   * What people see. Whole: runs that ended, are parked, or wait for a person or a client-side tool. Of one that is going on only what
   * started it, since its answer is being streamed; of queued ones nothing.
   */
  uiMessages: UIMessage[];
  /** What the model is told of the runs that ended. Valid for every provider. */
  messages: ModelMessage[];
  /** Where `uiMessages` ends: a reader of the last run's stream from this offset on misses nothing and gets nothing twice. */
  cursor: { run: string; offset: number };
  /** The run that has the thread to itself, and what it waits for. */
  active: ActiveRun | null;
  queued: QueuedRun[];
  /** By message id: who sent it, where that is known. */
  authors: Record<string, string>;
}

export interface QueuedRun {
  id: string;
  uiMessages: UIMessage[];
  /** Who sent them; null if that was not told. */
  by: string | null;
}

export interface ActiveRun {
  id: string;
  status: RunStatus;
  waits: Wait[];
}

export interface ThreadOptions {
  /** Default: the thread without a tenant. */
  tenant?: string | null;
}

const PAGE_BYTES = 1_048_576;

/** Throws `thread_not_found` if no run belongs to it. */
export async function readThread(store: Store, id: string, { tenant = null }: ThreadOptions): Promise<Thread> {
  const all = (await store.thread(id, tenant)).map(toRunInfo);
  const begun = all.filter(hasBegun);
  const active = begun.find((run) => !isEnded(run.status)) ?? null;
  const last = active ?? begun.at(-1);
  if (last === undefined) throw threadNotFound(id);
  const waits = active === null ? [] : await readWaits(store, active);
  const shown = active === null ? null : await showActive(store, active, waits);
  const ended = begun.filter((run) => run !== active);
  return {
    id,
    runs: all.map((run) => ({ id: run.id, status: run.status })),
    uiMessages: [...ended.flatMap((run) => runUiMessages(run, null)), ...(shown?.uiMessages ?? [])],
    messages: threadMessages(ended),
    cursor: { run: last.id, offset: shown?.offset ?? (await readTail(store, last)) },
    active: active === null ? null : { id: active.id, status: active.status, waits },
    queued: all.filter((run) => run.status === 'queued').map(toQueuedRun),
    authors: authorsOf(begun),
  };
}

export function toQueuedRun(run: RunInfo): QueuedRun {
  return { id: run.id, uiMessages: inputUiMessages(run), by: readInput(run).by ?? null };
}

function authorsOf(runs: readonly RunInfo[]): Record<string, string> {
  const authored = runs.flatMap((run) => {
    const { by } = readInput(run);
    return by === undefined ? [] : inputUiMessages(run).map(({ id }): [string, string] => [id, by]);
  });
  return Object.fromEntries(authored);
}

async function showActive(
  store: Store,
  run: RunInfo,
  waits: readonly Wait[],
): Promise<{ uiMessages: UIMessage[]; offset: number }> {
  if (run.status !== 'parked' && !isSuspended(waits)) return { uiMessages: inputUiMessages(run), offset: 0 };
  const chunks = await readChunks(store, run);
  const message = await foldMessage(chunks, { message: { id: messageIdOf(run.id), role: 'assistant', parts: [] } });
  return { uiMessages: runUiMessages(run, message), offset: chunks.length };
}

async function readChunks(store: Store, run: RunInfo): Promise<UIMessageChunk[]> {
  const chunks: UIMessageChunk[] = [];
  for (;;) {
    const page = await store.read(run.id, DEFAULT_STREAM, { from: chunks.length, maxBytes: PAGE_BYTES });
    if (page === null || page.chunks.length === 0) return chunks;
    for (const payload of page.chunks) chunks.push(decodeChunk(payload) as UIMessageChunk);
    if (chunks.length >= page.tail) return chunks;
  }
}

async function readTail(store: Store, run: RunInfo): Promise<number> {
  return (await store.read(run.id, DEFAULT_STREAM, { from: Number.MAX_SAFE_INTEGER, maxBytes: 1 }))?.tail ?? 0;
}

function threadNotFound(id: string): DurableError {
  return new DurableError(
    'thread_not_found',
    `There is no thread "${id}". A thread begins with runtime.start(agent, { thread: "${id}", ... }).`,
    { details: { thread: id } },
  );
}
