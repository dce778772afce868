/** Questions: they change nothing. And `gc`, which changes nothing that anybody still asks for. */

import { hasBegun } from '../../runtime/store.ts';
import type { Backlog, Hook, HookQuery, Loaded, Page, Payload, Run, RunQuery } from '../../runtime/store.ts';
import { pageSize } from '../rules.ts';
import { removeOrphans } from './parts.ts';
import { forgetWindows } from './lanes.ts';
import { copyHook, copyRun, dropThread, findThread } from './state.ts';
import type { MemoryState, RunRecord } from './state.ts';

/** S23 */
export function load(state: MemoryState, request: { id: string; from: number | undefined }): Loaded | null {
  const record = state.runs.get(request.id);
  if (record === undefined) return null;
  const { run } = record;
  return {
    run: copyRun(run),
    checkpoints: request.from === undefined ? formerCheckpoints(record) : [],
    events: record.events.slice(request.from ?? run.checkpoint),
    messages: record.inbox.slice(run.seen),
    now: state.clock.now(),
  };
}

function formerCheckpoints({ run, events, checkpoints }: RunRecord): Payload[] {
  return events.filter((_, seq) => seq < run.checkpoint && checkpoints.has(seq));
}

const RUNS_PER_PAGE = { normal: 50, most: 500 };

export function list(state: MemoryState, query: RunQuery): Page<Run> {
  const found = candidates(state, query).filter(
    (record) => isBeforeCursor(record.order, query.cursor) && matchesRun(record.run, query),
  );
  return toPage(found.toReversed(), {
    size: pageSize(query.limit, RUNS_PER_PAGE),
    item: (record) => copyRun(record.run),
  });
}

function candidates(state: MemoryState, { parent }: RunQuery): RunRecord[] {
  if (parent === undefined) return [...state.runs.values()];
  return [...(state.children.get(parent) ?? [])].toSorted((a, b) => a.order - b.order);
}

/** S29 */
export function backlog(state: MemoryState, without: readonly string[]): Backlog[] {
  const runs = new Map<string, number>();
  for (const { run } of state.runs.values()) {
    if (run.endedAt === null && !without.includes(run.queue)) runs.set(run.queue, (runs.get(run.queue) ?? 0) + 1);
  }
  return Array.from(runs, ([queue, count]) => ({ queue, runs: count })).toSorted((a, b) =>
    a.queue < b.queue ? -1 : 1,
  );
}

function matchesRun(run: Run, query: RunQuery): boolean {
  const attributes = Object.entries(query.attributes ?? {});
  return (
    (query.status === undefined || query.status.includes(run.status)) &&
    isSameIfAsked(query.workflow, run.workflow) &&
    isSameIfAsked(query.thread, run.thread) &&
    isSameIfAsked(query.tenant, run.tenant) &&
    isSameIfAsked(query.errorCode, run.errorCode) &&
    isSameIfAsked(query.parent, run.parent?.run) &&
    run.createdAt > (query.createdAfter ?? -Infinity) &&
    run.createdAt < (query.createdBefore ?? Infinity) &&
    attributes.every(([name, value]) => run.attributes[name] === value)
  );
}

export function listHooks(state: MemoryState, query: HookQuery): Page<Hook> {
  const found = [...state.hooks.values()].filter(
    (record) => isBeforeCursor(record.order, query.cursor) && matchesHook(record.hook, query),
  );
  return toPage(found.toReversed(), {
    size: pageSize(query.limit, RUNS_PER_PAGE),
    item: (record) => copyHook(record.hook),
  });
}

function matchesHook(hook: Hook, query: HookQuery): boolean {
  return (
    isSameIfAsked(query.kind, hook.kind) &&
    (query.status === undefined || query.status.includes(hook.status)) &&
    isSameIfAsked(query.run, hook.run) &&
    isSameIfAsked(query.thread, hook.thread) &&
    isSameIfAsked(query.tenant, hook.tenant) &&
    isSameIfAsked(query.tool, hook.tool)
  );
}

export function isSameIfAsked<T>(asked: T | undefined, value: T | null | undefined): boolean {
  return asked === undefined || asked === value;
}

/** Newest first: a page goes on with what is older than its cursor. */
function isBeforeCursor(order: number, cursor: string | undefined): boolean {
  return cursor === undefined || order < Number(cursor);
}

export function toPage<R extends { order: number }, T>(
  records: R[],
  page: { size: number; item: (record: R) => T },
): Page<T> {
  const taken = records.slice(0, page.size);
  const last = taken.at(-1);
  return {
    items: taken.map(page.item),
    cursor: last !== undefined && records.length > page.size ? String(last.order) : null,
  };
}

export function thread(state: MemoryState, of: { thread: string; tenant: string | null }): Run[] {
  const records = findThread(state, of)?.runs ?? [];
  const superseded = new Set(records.filter(({ run }) => hasBegun(run)).map(({ run }) => run.supersedes));
  return records.filter(({ run }) => !superseded.has(run.id)).map(({ run }) => copyRun(run));
}

/** S25 */
export function gc(state: MemoryState, options: { olderThanMs: number; limit: number }): number {
  const before = state.clock.now() - options.olderThanMs;
  const old = [...state.runs.values()]
    .filter(({ run }) => run.endedAt !== null && run.endedAt < before)
    .toSorted((a, b) => (a.run.endedAt ?? 0) - (b.run.endedAt ?? 0) || a.order - b.order)
    .slice(0, options.limit);
  for (const record of old) remove(state, record);
  removeOrphans(state, { gone: old.map(({ run }) => run.id) });
  forgetWindows(state);
  return old.length;
}

function remove(state: MemoryState, record: RunRecord): void {
  state.runs.delete(record.run.id);
  for (const token of record.hooks) if (state.hooks.get(token)?.hook.run === record.run.id) state.hooks.delete(token);
  if (record.run.parent !== null) removeChild(state, { parent: record.run.parent.run, record });
  const rest = findThread(state, record.run);
  if (rest === undefined) return;
  rest.runs = rest.runs.filter((other) => other !== record);
  if (rest.runs.length === 0) dropThread(state, record.run);
}

function removeChild(state: MemoryState, { parent, record }: { parent: string; record: RunRecord }): void {
  const children = state.children.get(parent);
  children?.delete(record);
  if (children?.size === 0) state.children.delete(parent);
}
