/** The holder's commit: checks first, changes after them, so that a refusal has nothing to undo. */

import type { Hook, Commit, CommitResult, Message } from '../../runtime/store.ts';
import { extendedLease } from '../rules.ts';
import { cancelRun, closeHook, endRun } from './end.ts';
import { addLedgerRow } from './ledger.ts';
import { startFromCommit } from './start.ts';
import { openStream, tailOf } from './streams.ts';
import { makeReady, nextOrder, release, setDue, tellThread } from './state.ts';
import type { MemoryState, RunRecord } from './state.ts';

export function commit(state: MemoryState, request: Commit): CommitResult {
  const record = state.runs.get(request.run);
  if (record === undefined) return { kind: 'fenced' };
  if (record.run.lastCommit === request.id) return applied(state, { record, commit: request, extended: false });
  const refusal = refusalOf(state, { record, commit: request });
  if (refusal !== null) return refusal;
  return applied(state, { record, commit: request, extended: apply(state, { record, commit: request }) });
}

interface Pair {
  record: RunRecord;
  commit: Commit;
}

/** S14, but for (a). */
function refusalOf(state: MemoryState, pair: Pair): CommitResult | null {
  const { record } = pair;
  if (!holds(pair)) return { kind: 'fenced' };
  if (!isNext(pair)) return { kind: 'moved', head: record.run.head };
  if (hasUnseen(state, pair))
    return { kind: 'pending', messages: messagesFrom(pair), cancel: record.run.cancel, now: state.clock.now() };
  return takenToken(state, pair) ?? closedStream(pair);
}

/** S14 (c) */
function isNext({ record: { run, commits }, commit: { expect, number, received } }: Pair): boolean {
  return expect === run.head && (number === undefined || number === commits + 1) && received <= run.inboxHead;
}

function holds({ record, commit: request }: Pair): boolean {
  return (
    record.run.status === 'running' &&
    record.run.epoch === request.token.epoch &&
    record.run.nonce === request.token.nonce
  );
}

function hasUnseen(state: MemoryState, { record, commit: request }: Pair): boolean {
  const { kind } = request.then;
  if ((kind === 'wait' || kind === 'end') && request.seen !== record.run.inboxHead) return true;
  if (kind === 'wait' && record.run.cancel && request.cancelSeen !== true) return true;
  return request.hooks.close.some((token) => {
    const hook = state.hooks.get(token)?.hook;
    return hook?.run === request.run && record.inbox.slice(request.seen).some(({ key }) => key === hook.key);
  });
}

function takenToken(state: MemoryState, { commit: request }: Pair): CommitResult | null {
  const own = new Map<string, string>();
  for (const { tokenHash, key } of request.hooks.create) {
    const stored = state.hooks.get(tokenHash)?.hook;
    const holder =
      stored === undefined || isFree(state, stored)
        ? { run: request.run, key: own.get(tokenHash) ?? key }
        : { run: stored.run, key: stored.key };
    if (holder.run !== request.run || holder.key !== key) return { kind: 'token_taken', tokenHash, holder };
    own.set(tokenHash, key);
  }
  return null;
}

/** Closing once more what is closed is no write. */
function closedStream({ record, commit: request }: Pair): CommitResult | null {
  const closed = new Set<string>();
  for (const { stream, chunks, close } of request.chunks) {
    const isClosed = closed.has(stream) || record.streams.get(stream)?.closed === true;
    if (isClosed && chunks.length > 0) return { kind: 'stream_closed', stream };
    if (close === true) closed.add(stream);
  }
  return null;
}

/** S19 */
function applied(state: MemoryState, to: Pair & { extended: boolean }): CommitResult {
  const { record, commit: request, extended } = to;
  const tails: Record<string, number> = {};
  for (const { stream } of request.chunks) tails[stream] = tailOf(record.streams.get(stream));
  return {
    kind: 'applied',
    holder: holds(to),
    head: record.run.head,
    now: state.clock.now(),
    extended,
    cancel: record.run.cancel,
    messages: messagesFrom(to),
    tails,
  };
}

function messagesFrom({ record, commit: request }: Pair): Message[] {
  return record.inbox.slice(request.received);
}

/** S15. Answers whether the lease moved. */
function apply(state: MemoryState, pair: Pair): boolean {
  const { record, commit: request } = pair;
  const { run } = record;
  run.lastCommit = request.id;
  record.commits += 1;
  record.events.push(...request.events);
  run.head += request.events.length;
  run.seen = request.seen;
  run.updatedAt = state.clock.now();
  if (request.checkpoint !== undefined) {
    run.checkpoint = request.checkpoint;
    record.checkpoints.add(request.checkpoint);
  }
  // S16
  if (request.events.length > 0) {
    run.attempts = 0;
    run.suspects = null;
  }
  if (request.suspects !== undefined) run.suspects = [...request.suspects];
  writeStreams(state, pair);
  writeHooks(state, pair);
  for (const row of request.ledger) addLedgerRow(state, row);
  for (const start of request.starts) startFromCommit(state, start);
  const extended = goOn(state, pair);
  // After the run's own transition: a child that ends at once wakes a parent that has just begun to wait.
  for (const id of request.cancels) {
    const target = state.runs.get(id);
    if (target !== undefined) cancelRun(state, target);
  }
  return extended;
}

function writeStreams(state: MemoryState, { record, commit: request }: Pair): void {
  for (const { stream, chunks, close } of request.chunks) {
    const stored = record.streams.get(stream) ?? openStream(state, { record, stream });
    const now = state.clock.now();
    for (const chunk of chunks) {
      stored.chunks.push(chunk);
      stored.times.push(now);
    }
    if (close === true) stored.closed = true;
    state.hints.push({ kind: 'stream', run: record.run.id, stream });
  }
}

/** A token is free again when its hook was closed or its run has ended. */
function isFree(state: MemoryState, hook: Hook): boolean {
  const run = state.runs.get(hook.run)?.run;
  return hook.status === 'closed' || run === undefined || run.endedAt !== null;
}

/** S15: a hook that its own run creates again. */
function reopen(hook: Hook): void {
  hook.status = 'open';
  hook.resolvedAt = null;
  hook.responders = [];
}

function writeHooks(state: MemoryState, { record, commit: request }: Pair): void {
  const { id, workflow, thread, tenant } = record.run;
  for (const created of request.hooks.create) {
    const stored = state.hooks.get(created.tokenHash)?.hook;
    if (stored !== undefined && !isFree(state, stored)) {
      if (stored.status === 'resolved' && stored.kind !== 'approval') reopen(stored);
      continue;
    }
    const hook = {
      ...created,
      run: id,
      workflow,
      thread,
      tenant,
      status: 'open' as const,
      responders: [],
      notes: [],
      createdAt: state.clock.now(),
      resolvedAt: null,
    };
    state.hooks.delete(created.tokenHash);
    state.hooks.set(created.tokenHash, { hook, order: nextOrder(state), answers: new Set() });
    record.hooks.push(created.tokenHash);
  }
  for (const token of request.hooks.close) closeHook(state, { run: id, token });
}

/** S17. Answers whether the lease moved. */
function goOn(state: MemoryState, { record, commit: request }: Pair): boolean {
  const { then } = request;
  const { run } = record;
  const now = state.clock.now();
  switch (then.kind) {
    case 'run': {
      const dueAt = extendedLease(request, { dueAt: run.dueAt, now });
      if (dueAt !== null) setDue(state, { record, dueAt });
      return dueAt !== null;
    }
    case 'wait':
      release(state, record);
      record.origin = 'wait';
      wait(state, { record, dueAt: then.dueAt });
      return false;
    case 'yield':
      release(state, record);
      record.origin = 'yield';
      makeReady(state, record);
      return false;
    case 'park':
      release(state, record);
      setDue(state, { record, dueAt: null });
      run.status = 'parked';
      run.parked = { code: then.code, details: then.details };
      state.hints.push({ kind: 'run', run: run.id });
      tellThread(state, run);
      return false;
    case 'end':
      endRun(state, {
        record,
        ending: { status: then.status, result: then.result, error: then.error, errorCode: then.errorCode },
      });
      return false;
  }
}

function wait(state: MemoryState, { record, dueAt }: { record: RunRecord; dueAt: number | null }): void {
  if (dueAt !== null && dueAt <= state.clock.now()) {
    makeReady(state, record);
    return;
  }
  record.run.status = 'waiting';
  setDue(state, { record, dueAt });
  tellThread(state, record.run);
  // A sleeping claimer learns that there is something to wake up for earlier.
  if (dueAt !== null) state.hints.push({ kind: 'due' });
}
