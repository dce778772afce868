/** The end of a run and its consequences, and the controls that people have. */

import { isEnded } from '../../runtime/store.ts';
import type { Control, ControlResult, Run } from '../../runtime/store.ts';
import { CANCELLED_BY_STORE, childPayload, handedOver, isActive, TERMINATED } from '../rules.ts';
import type { Ending } from '../rules.ts';
import { appendMessage } from './inbox.ts';
import { copyRun, findThread, insertRun, makeReady, release, setDue, tellThread } from './state.ts';
import type { MemoryState, RunRecord } from './state.ts';

/** S18 */
export function endRun(state: MemoryState, end: { record: RunRecord; ending: Ending }): void {
  const { record, ending } = end;
  const { run } = record;
  const now = state.clock.now();
  leaveThread(state, record);
  release(state, record);
  setDue(state, { record, dueAt: null });
  run.status = ending.status;
  run.result = ending.result;
  run.error = ending.error;
  run.errorCode = ending.errorCode;
  run.parked = null;
  run.updatedAt = now;
  run.endedAt = now;
  state.hints.push({ kind: 'run', run: run.id });
  for (const [stream, { closed }] of record.streams) {
    if (!closed) state.hints.push({ kind: 'stream', run: run.id, stream });
  }
  for (const token of record.hooks) closeHook(state, { run: run.id, token });
  tellThread(state, run);
  promoteQueued(state, run);
  tellParent(state, end);
}

function leaveThread(state: MemoryState, record: RunRecord): void {
  const thread = findThread(state, record.run);
  if (thread === undefined) return;
  if (isActive(record.run.status)) thread.active = null;
  else thread.queued = thread.queued.filter((queued) => queued !== record);
}

/** Closes a hook of this run, if it is open. */
export function closeHook(state: MemoryState, { run, token }: { run: string; token: string }): void {
  const found = state.hooks.get(token);
  if (found?.hook.run === run && found.hook.status === 'open') found.hook.status = 'closed';
}

function promoteQueued(state: MemoryState, run: Run): void {
  const thread = findThread(state, run);
  if (thread === undefined || thread.active !== null) return;
  const next = thread.queued.shift();
  if (next === undefined) return;
  thread.active = next;
  makeReady(state, next);
}

function tellParent(state: MemoryState, end: { record: RunRecord; ending: Ending }): void {
  const { run } = end.record;
  if (run.parent === null) return;
  const parent = state.runs.get(run.parent.run);
  if (parent === undefined || isEnded(parent.run.status) || parent.inboxIds.has(run.id)) return;
  const message = {
    id: run.id,
    kind: 'child' as const,
    key: run.parent.key,
    payload: childPayload(end.ending),
    status: end.ending.status,
    inputHash: null,
    by: null,
  };
  appendMessage(state, { record: parent, message });
}

/** S22 */
export function control(state: MemoryState, command: { id: string; control: Control }): ControlResult {
  const record = state.runs.get(command.id);
  if (record === undefined) return { kind: 'not_found' };
  const done = applyControl(state, { record, control: command.control });
  return { kind: done ? 'ok' : 'refused', run: copyRun(record.run) };
}

function applyControl(state: MemoryState, command: { record: RunRecord; control: Control }): boolean {
  const { record } = command;
  if (isEnded(record.run.status)) return false;
  switch (command.control) {
    case 'cancel':
      cancelRun(state, record);
      return true;
    case 'resume':
      return resume(state, record);
    case 'terminate':
      terminate(state, record);
      return true;
  }
}

/** Nothing happens to a run that has ended. */
export function cancelRun(state: MemoryState, record: RunRecord): void {
  const { run } = record;
  if (isEnded(run.status)) return;
  run.cancel = true;
  run.updatedAt = state.clock.now();
  if (run.status === 'queued' || run.status === 'parked') {
    endRun(state, { record, ending: CANCELLED_BY_STORE });
    cancelChildren(state, record);
    return;
  }
  state.hints.push({ kind: 'run', run: run.id });
  if (run.status === 'waiting') makeReady(state, record);
}

function cancelChildren(state: MemoryState, record: RunRecord): void {
  for (const child of state.children.get(record.run.id) ?? []) cancelRun(state, child);
}

function resume(state: MemoryState, record: RunRecord): boolean {
  if (record.run.status !== 'parked') return false;
  record.run.parked = null;
  record.run.attempts = 0;
  record.run.suspects = null;
  record.origin = 'yield';
  makeReady(state, record);
  return true;
}

function terminate(state: MemoryState, record: RunRecord): void {
  for (const message of record.inbox.slice(record.run.seen)) {
    if (message.kind !== 'user' || state.runs.has(message.id)) continue;
    insertRun(state, {
      start: handedOver(record.run, message),
      status: record.run.thread === null ? 'ready' : 'queued',
    });
  }
  endRun(state, { record, ending: TERMINATED });
  cancelChildren(state, record);
}
