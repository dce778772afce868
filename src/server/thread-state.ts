/** Where a thread stands, as its readers see it. */

import type { UIMessage } from 'ai';
import { messageIdOf } from '../agent/run/agent-state.ts';
import type { Runtime } from '../app/create-runtime.ts';
import { toQueuedRun } from '../app/threads.ts';
import type { QueuedRun } from '../app/threads.ts';
import { isSuspended } from '../app/waits.ts';
import type { Wait } from '../app/waits.ts';
import type { Clock } from '../runtime/clock.ts';
import { hasBegun } from '../runtime/store.ts';
import type { RunInfo } from '../app/run-info.ts';
import type { Page, RunStatus } from '../runtime/store.ts';
import type { ThreadStatus } from '../streams/wire.ts';
import { createSharedStates } from './shared-state.ts';
import type { SharedStates } from './shared-state.ts';

export interface ThreadKey {
  id: string;
  tenant: string | null;
}

export interface ThreadState {
  status: ThreadStatus<UIMessage, Wait>;
  active: RunInfo | null;
  /** The active run produces, or will by itself. */
  goesOn: boolean;
}

const ACTIVE: RunStatus[] = ['ready', 'running', 'waiting', 'parked'];
const LIVE: RunStatus[] = ['queued', ...ACTIVE];
const ENDED: RunStatus[] = ['completed', 'failed', 'cancelled'];
const PAGE = 500;

export function createThreadStates(runtime: Runtime, clock: Clock): SharedStates<ThreadKey, ThreadState> {
  return createSharedStates({
    clock,
    watch: (listener) => runtime.watch(listener),
    nameOf: ({ id, tenant }) => JSON.stringify([tenant, id]),
    load: (key) => readThreadState(runtime, key),
    concerns: (hint, key) => hint.kind === 'thread' && hint.thread === key.id && hint.tenant === key.tenant,
  });
}

export async function readThreadState(runtime: Runtime, { id, tenant }: ThreadKey): Promise<ThreadState> {
  const live = await runtime.list({ thread: id, tenant, status: LIVE, limit: PAGE });
  const active =
    live.items.find((run) => run.status !== 'queued') ?? (await activeBehind(runtime, live, { id, tenant }));
  const waits = active?.status === 'waiting' ? await runtime.getRun(active.id).waits() : [];
  const queued = live.items.filter((run) => run.status === 'queued').toReversed();
  return {
    status: toThreadStatus({
      id,
      active: active === null ? null : { id: active.id, status: active.status, waits },
      queued: queued.map(toQueuedRun),
    }),
    active,
    goesOn: active !== null && active.status !== 'parked' && !isSuspended(waits),
  };
}

/** The active run is older than those that wait for it: it may stand behind a page full of them. */
async function activeBehind(runtime: Runtime, live: Page<RunInfo>, { id, tenant }: ThreadKey): Promise<RunInfo | null> {
  if (live.cursor === null) return null;
  const { items } = await runtime.list({ thread: id, tenant, status: ACTIVE, limit: 1 });
  return items[0] ?? null;
}

/** The part of a thread that changes as its runs do. */
export function toThreadStatus(thread: {
  id: string;
  active: { id: string; status: RunStatus; waits: Wait[] } | null;
  queued: QueuedRun[];
}): ThreadStatus<UIMessage, Wait> {
  const { id, active, queued } = thread;
  return {
    id,
    run:
      active === null
        ? null
        : { id: active.id, status: shown(active.status), messageId: messageIdOf(active.id), waits: active.waits },
    queued: queued.map((run) => ({ runId: run.id, messages: run.uiMessages, by: run.by })),
  };
}

/** Whether a worker has it yet is nobody's business. */
function shown(status: RunStatus): 'running' | 'waiting' | 'parked' {
  return status === 'waiting' || status === 'parked' ? status : 'running';
}

/** The runs of a thread that have begun, oldest first, after one of them or from the first on; superseded ones are left out. */
export async function runsAfter(runtime: Runtime, key: ThreadKey, after: RunInfo | null): Promise<RunInfo[]> {
  const query = { thread: key.id, tenant: key.tenant, limit: PAGE };
  const runs: RunInfo[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await runtime.list({
      ...query,
      ...(cursor === undefined ? {} : { cursor }),
      // Runs of one millisecond are told apart by their place in the list.
      ...(after === null ? {} : { createdAfter: after.createdAt - 1 }),
    });
    const seen = after === null ? -1 : page.items.findIndex((run) => run.id === after.id);
    runs.push(...(seen < 0 ? page.items : page.items.slice(0, seen)));
    if (seen >= 0 || page.cursor === null) break;
    cursor = page.cursor;
  }
  const superseded = new Set(runs.map((run) => run.supersedes));
  return runs.filter((run) => hasBegun(run) && !superseded.has(run.id)).toReversed();
}

/** The active run of a thread, else the newest that has ended; one that ended in the queue is none. */
export async function lastRun(runtime: Runtime, { id, tenant }: ThreadKey): Promise<RunInfo | null> {
  const query = { thread: id, tenant };
  const { items } = await runtime.list({ ...query, status: ACTIVE, limit: 1 });
  if (items[0] !== undefined) return items[0];
  for (let cursor: string | undefined; ;) {
    const ended = await runtime.list({
      ...query,
      status: ENDED,
      limit: 5,
      ...(cursor === undefined ? {} : { cursor }),
    });
    const last = ended.items.find(hasBegun);
    if (last !== undefined) return last;
    if (ended.cursor === null) return null;
    cursor = ended.cursor;
  }
}
