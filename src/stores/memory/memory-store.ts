/**
 * The store in memory: the reference for what each transition does. It forgets everything when its process ends, so it is
 * for tests, for simulation and for work that need not outlive its process.
 *
 * Each call takes effect at once, before it returns its promise; so calls take effect in the order in which they are made.
 */

import { systemClock } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Hint, Store } from '../../runtime/store.ts';
import { closedError } from '../rules.ts';
import { claim } from './claim.ts';
import { commit } from './commit.ts';
import { control } from './end.ts';
import { deliver } from './inbox.ts';
import { ledger, ledgerTotals } from './ledger.ts';
import { backlog, gc, list, listHooks, load, thread } from './read.ts';
import { getParts, putParts } from './parts.ts';
import { limitUses } from './lanes.ts';
import { start } from './start.ts';
import { copyHook, copyRun, createState } from './state.ts';
import type { MemoryState } from './state.ts';
import { read, trim } from './streams.ts';

export interface MemoryStoreOptions {
  /** The clock that due times, leases and ages are compared on. Default: the platform's. */
  clock?: Clock;
}

/** A store that keeps runs in this process's memory. Each call makes a new, empty one. */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  const state = createState(options.clock ?? systemClock());
  const { watch, transition, close } = createGate(state);
  return {
    name: 'memory',
    capabilities: { durability: 'none', push: true, flushMs: 2, maxRequestBytes: 1_048_576 },
    start: (runs, claimed) => transition(() => runs.map((run) => start(state, { start: run, claim: claimed }))),
    claim: (request) => transition(() => claim(state, request)),
    load: (id, from) => transition(() => load(state, { id, from })),
    commit: (batch) => transition(() => batch.map((one) => commit(state, one))),
    deliver: (messages, claimed) =>
      transition(() => messages.map((delivery) => deliver(state, { delivery, claim: claimed }))),
    control: (id, command) => transition(() => control(state, { id, control: command })),
    read: (id, stream, { from, maxBytes }) => transition(() => read(state, { id, stream, from, maxBytes })),
    get: (id) => transition(() => copyOrNull(state.runs.get(id)?.run, copyRun)),
    list: (query) => transition(() => list(state, query)),
    backlog: (without) => transition(() => backlog(state, without)),
    limits: (keys) => transition(() => limitUses(state, keys)),
    hook: (tokenHash) => transition(() => copyOrNull(state.hooks.get(tokenHash)?.hook, copyHook)),
    listHooks: (query) => transition(() => listHooks(state, query)),
    thread: (id, tenant = null) => transition(() => thread(state, { thread: id, tenant })),
    note: (tokenHash, note) => transition(() => state.hooks.get(tokenHash)?.hook.notes.push(note) !== undefined),
    ledger: (query) => transition(() => ledger(state, query)),
    ledgerTotals: (scopes) => transition(() => ledgerTotals(state, scopes)),
    secret: (proposed) => transition(() => (state.secret ??= proposed.slice())),
    gc: (limits) => transition(() => gc(state, limits)),
    trim: (request) => transition(() => trim(state, request)),
    putParts: (id, parts) => transition(() => putParts(state, { id, parts })),
    getParts: (id, hashes) => transition(() => getParts(state, { id, hashes })),
    // S28: an array of chunks is as small as it gets.
    compact: () => transition(() => false),
    watch,
    close,
  };
}

function copyOrNull<T>(value: T | undefined, copy: (value: T) => T): T | null {
  return value === undefined ? null : copy(value);
}

interface Gate {
  transition<T>(run: () => T): Promise<T>;
  watch(listener: (hint: Hint) => void): () => void;
  close(): Promise<void>;
}

/** Lets transitions through while the store is open, and tells watchers what they changed. */
function createGate(state: MemoryState): Gate {
  const listeners = new Set<(hint: Hint) => void>();
  let isClosed = false;
  const tell = (): void => {
    const hints = state.hints;
    if (hints.length === 0) return;
    state.hints = [];
    if (listeners.size === 0) return;
    queueMicrotask(() => {
      for (const hint of hints) for (const listener of listeners) listener(hint);
    });
  };
  return {
    async transition(run) {
      if (isClosed) throw closedError('memory');
      const answer = run();
      tell();
      return answer;
    },
    watch(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async close() {
      isClosed = true;
      listeners.clear();
    },
  };
}
