/** What the memory store holds, and the small changes that all its transitions are made of. */

import type { Clock } from '../../runtime/clock.ts';
import type {
  Hint,
  Hook,
  LedgerRow,
  LedgerTotals,
  LimitUse,
  Message,
  NewRun,
  Payload,
  Run,
  StreamExpiry,
} from '../../runtime/store.ts';
import { createdRun, isActive } from '../rules.ts';
import type { Origin } from '../rules.ts';
import { joinLane, leaveLane, releaseSlots } from './lanes.ts';
import type { Lane } from './lanes.ts';

export interface RunRecord {
  run: Run;
  order: number;
  slot: number;
  /** Where it stands in line; null while it is not due by itself. */
  lane: Lane | null;
  origin: Origin;
  /** Commits applied under the token. */
  commits: number;
  events: Payload[];
  /** All positions that were the run's checkpoint. */
  checkpoints: Set<number>;
  inbox: Message[];
  inboxIds: Set<string>;
  streams: Map<string, StreamRecord>;
  hooks: string[];
}

export interface StreamRecord {
  order: number;
  /** Those that are kept: from the offset `trimmed` on. */
  chunks: Payload[];
  /** When each was written. */
  times: number[];
  trimmed: number;
  trimmedBy: StreamExpiry['reason'] | null;
  closed: boolean;
}

export interface HookRecord {
  hook: Hook;
  order: number;
  /** Ids of the answers to an approval. */
  answers: Set<string>;
}

export interface PartsRecord {
  /** When the last one was put. */
  at: number;
  bytes: Map<string, Uint8Array>;
}

interface ThreadRecord {
  runs: RunRecord[];
  active: RunRecord | null;
  queued: RunRecord[];
}

export interface MemoryState {
  clock: Clock;
  runs: Map<string, RunRecord>;
  hooks: Map<string, HookRecord>;
  /** By tenant and id. */
  threads: Map<string, ThreadRecord>;
  /** Runs by the id of their parent, which may not be there. */
  children: Map<string, Set<RunRecord>>;
  /** By queue, and by the keys that their runs ask for. */
  due: Map<string, Map<string, Lane>>;
  /** By key. */
  limits: Map<string, LimitUse>;
  /** Runs by the nonce that holds them. */
  held: Map<string, Set<RunRecord>>;
  ledger: Map<string, { row: LedgerRow; order: number }>;
  /** By the key of their scope. */
  ledgerTotals: Map<string, LedgerTotals>;
  /** By id. */
  parts: Map<string, PartsRecord>;
  secret: Uint8Array | null;
  /** Counts what was created, for the order of pages. */
  created: number;
  /** What the transition under way will tell watchers. */
  hints: Hint[];
}

export function createState(clock: Clock): MemoryState {
  return {
    clock,
    runs: new Map(),
    hooks: new Map(),
    threads: new Map(),
    children: new Map(),
    due: new Map(),
    limits: new Map(),
    held: new Map(),
    ledger: new Map(),
    ledgerTotals: new Map(),
    parts: new Map(),
    secret: null,
    created: 0,
    hints: [],
  };
}

export function nextOrder(state: MemoryState): number {
  state.created += 1;
  return state.created;
}

/** A copy that its receiver may keep. */
export function copyRun(run: Run): Run {
  return {
    ...run,
    attributes: { ...run.attributes },
    limits: run.limits.map((limit) => ({ ...limit })),
    parent: run.parent === null ? null : { ...run.parent },
    parked: run.parked === null ? null : { ...run.parked },
    suspects: run.suspects === null ? null : [...run.suspects],
  };
}

export function copyHook(hook: Hook): Hook {
  return { ...hook, responders: hook.responders.map((responder) => ({ ...responder })), notes: [...hook.notes] };
}

/** The only way to change `dueAt`. Status and origin stand already. */
export function setDue(state: MemoryState, change: { record: RunRecord; dueAt: number | null }): void {
  const { record, dueAt } = change;
  leaveLane(state, record);
  record.run.dueAt = dueAt;
  if (dueAt !== null) joinLane(state, record);
}

/** Ends the hold of a run, if it has one, and gives its slots back; its status is the caller's to set. */
export function release(state: MemoryState, record: RunRecord): void {
  if (record.run.status !== 'running') return;
  dropHolder(state, record);
  releaseSlots(state, record);
}

export function dropHolder(state: MemoryState, record: RunRecord): void {
  if (record.run.status !== 'running' || record.run.nonce === null) return;
  const held = state.held.get(record.run.nonce);
  held?.delete(record);
  if (held?.size === 0) state.held.delete(record.run.nonce);
}

/** Makes a run claimable now. */
export function makeReady(state: MemoryState, record: RunRecord): void {
  const now = state.clock.now();
  record.run.status = 'ready';
  record.run.updatedAt = now;
  setDue(state, { record, dueAt: now });
  state.hints.push({ kind: 'due' });
  tellThread(state, record.run);
}

type OfThread = Pick<Run, 'thread' | 'tenant'>;

/** Undefined if it has no runs, or if the run belongs to none. */
export function findThread(state: MemoryState, of: OfThread): ThreadRecord | undefined {
  return of.thread === null ? undefined : state.threads.get(threadKey(of));
}

export function dropThread(state: MemoryState, of: OfThread): void {
  state.threads.delete(threadKey(of));
}

export function tellThread(state: MemoryState, { id, thread, tenant }: Run): void {
  if (thread !== null) state.hints.push({ kind: 'thread', thread, tenant, run: id });
}

function threadKey({ thread, tenant }: OfThread): string {
  return JSON.stringify([tenant, thread]);
}

function joinThread(state: MemoryState, record: RunRecord): void {
  const { run } = record;
  if (run.thread === null) return;
  const thread = findThread(state, run) ?? { runs: [], active: null, queued: [] };
  state.threads.set(threadKey(run), thread);
  thread.runs.push(record);
  if (isActive(run.status)) thread.active = record;
  else thread.queued.push(record);
  tellThread(state, run);
}

export function childrenOf(state: MemoryState, parent: string): Set<RunRecord> {
  let children = state.children.get(parent);
  if (children === undefined) {
    children = new Set();
    state.children.set(parent, children);
  }
  return children;
}

export function insertRun(state: MemoryState, created: { start: NewRun; status: 'ready' | 'queued' }): RunRecord {
  const run = createdRun(created.start, { now: state.clock.now(), status: created.status });
  const record: RunRecord = {
    run,
    order: nextOrder(state),
    slot: -1,
    lane: null,
    origin: 'start',
    commits: 0,
    events: [],
    checkpoints: new Set(),
    inbox: [],
    inboxIds: new Set(),
    streams: new Map(),
    hooks: [],
  };
  state.runs.set(run.id, record);
  if (run.parent !== null) childrenOf(state, run.parent.run).add(record);
  joinThread(state, record);
  if (run.dueAt !== null) {
    joinLane(state, record);
    state.hints.push({ kind: 'due' });
  }
  return record;
}
