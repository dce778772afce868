/** Stores that break one obligation each. */

import { memoryStore } from 'everturn/memory';
import { claim, takeRun } from '../../../src/stores/memory/claim.ts';
import { commit } from '../../../src/stores/memory/commit.ts';
import { control } from '../../../src/stores/memory/end.ts';
import { deliver } from '../../../src/stores/memory/inbox.ts';
import { load, list } from '../../../src/stores/memory/read.ts';
import { start } from '../../../src/stores/memory/start.ts';
import { copyHook, copyRun, createState, setDue } from '../../../src/stores/memory/state.ts';
import type { MemoryState } from '../../../src/stores/memory/state.ts';
import { read } from '../../../src/stores/memory/streams.ts';
import type {
  ClaimRequest,
  ClaimResult,
  Commit,
  CommitResult,
  DeliverResult,
  Hint,
  Store,
} from '../../../src/runtime/store.ts';
import type { World } from '../world.ts';

export interface StoreMutant {
  claim?: (state: MemoryState, request: ClaimRequest) => ClaimResult;
  commit?: (state: MemoryState, request: Commit) => CommitResult;
  deliver?: (state: MemoryState, request: Parameters<typeof deliver>[1]) => DeliverResult;
  control?: (state: MemoryState, command: Parameters<typeof control>[1]) => ReturnType<typeof control>;
  load?: (state: MemoryState, request: Parameters<typeof load>[1]) => ReturnType<typeof load>;
}

/** The memory store's transitions over a state that the mutant can reach. */
export function mutantStore(world: World, mutant: StoreMutant): Store {
  const state = createState(world.storeClock);
  const listeners = new Set<(hint: Hint) => void>();
  const transition = async <T>(run: () => T): Promise<T> => {
    const answer = run();
    const hints = state.hints.splice(0);
    queueMicrotask(() => hints.forEach((hint) => listeners.forEach((listener) => listener(hint))));
    return answer;
  };
  const run = { claim, commit, deliver, control, load, ...mutant };
  return {
    ...memoryStore({ clock: world.storeClock }),
    start: (runs, claimed) => transition(() => runs.map((each) => start(state, { start: each, claim: claimed }))),
    claim: (request) => transition(() => run.claim(state, request)),
    load: (id, from) => transition(() => run.load(state, { id, from })),
    commit: (batch) => transition(() => batch.map((each) => run.commit(state, each))),
    deliver: (messages, claimed) =>
      transition(() => messages.map((delivery) => run.deliver(state, { delivery, claim: claimed }))),
    control: (id, command) => transition(() => run.control(state, { id, control: command })),
    read: (id, stream, { from, maxBytes }) => transition(() => read(state, { id, stream, from, maxBytes })),
    get: (id) => transition(() => copied(state.runs.get(id)?.run, copyRun)),
    list: (query) => transition(() => list(state, query)),
    hook: (token) => transition(() => copied(state.hooks.get(token)?.hook, copyHook)),
    watch: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

function copied<T>(value: T | undefined, copy: (value: T) => T): T | null {
  return value === undefined ? null : copy(value);
}

/** The commit as if its token were the one in the row. Its number, which belongs to the token, goes too. */
function withRowsToken(state: MemoryState, { number: _number, ...request }: Commit): Commit {
  const row = state.runs.get(request.run)?.run;
  if (row === undefined || row.status !== 'running') return request;
  return { ...request, token: { epoch: row.epoch, nonce: row.nonce ?? '' } };
}

/** The slots that were taken before the change are taken after it. */
function withSlotsKept<T>(state: MemoryState, change: () => T): T {
  const before = [...state.limits];
  const answer = change();
  state.limits.clear();
  for (const [key, use] of before) state.limits.set(key, use);
  return answer;
}

/** The commit as if it had seen all messages; what was seen is put right afterwards. */
function withAllSeen(state: MemoryState, request: Commit): CommitResult {
  const row = state.runs.get(request.run)?.run;
  const answer = commit(state, { ...request, seen: row?.inboxHead ?? request.seen });
  if (row !== undefined && answer.kind === 'applied') row.seen = request.seen;
  return answer;
}

export const STORE_MUTANTS: Record<string, StoreMutant> = {
  'no check of the token': {
    commit: (state, request) => commit(state, withRowsToken(state, request)),
  },
  'no check of token and head': {
    commit: (state, request) => {
      const head = state.runs.get(request.run)?.run.head ?? request.expect;
      return commit(state, withRowsToken(state, { ...request, expect: head }));
    },
  },
  'a hook closed although it took a message that its run has not seen': {
    commit: (state, request) => (request.hooks.close.length === 0 ? commit : withAllSeen)(state, request),
  },
  'chunks appended without a check of the token': {
    commit: (state, request) => {
      const answer = commit(state, request);
      const streams = state.runs.get(request.run)?.streams;
      if (answer.kind !== 'fenced' || streams === undefined) return answer;
      for (const { stream, chunks } of request.chunks) streams.get(stream)?.chunks.push(...chunks);
      return answer;
    },
  },
  'epoch and nonce not renewed by a claim': {
    claim: (state, request) => {
      const before = new Map(
        [...state.runs.values()].map(({ run: row }) => [row.id, { epoch: row.epoch, nonce: row.nonce }]),
      );
      const answer = claim(state, request);
      for (const each of answer.claims) {
        const { epoch, nonce } = before.get(each.run.id) ?? { epoch: 0, nonce: null };
        const row = state.runs.get(each.run.id)?.run;
        if (epoch === 0 || nonce === null || row === undefined) continue;
        row.epoch = epoch;
        row.nonce = nonce;
        each.token = { epoch, nonce };
      }
      return answer;
    },
  },
  'nonce not renewed by a claim, the epoch goes back': {
    claim: (state, request) => {
      const answer = claim(state, request);
      for (const each of answer.claims) {
        const row = state.runs.get(each.run.id)?.run;
        if (row === undefined) continue;
        row.epoch = 1;
        each.token = { ...each.token, epoch: 1 };
      }
      return answer;
    },
  },
  'claim ignores leases': {
    claim: (state, request) => {
      const now = state.clock.now();
      for (const record of state.runs.values())
        if (record.run.status === 'running') setDue(state, { record, dueAt: now });
      return claim(state, request);
    },
  },
  'a commit extends no lease and says that it did': {
    commit: (state, request) => {
      const record = state.runs.get(request.run);
      const dueAt = record?.run.dueAt ?? null;
      const answer = commit(state, request);
      if (record !== undefined && answer.kind === 'applied' && answer.extended) setDue(state, { record, dueAt });
      return answer;
    },
  },
  'wait ignores the inbox': {
    commit: (state, request) => (request.then.kind === 'wait' ? withAllSeen(state, request) : commit(state, request)),
  },
  'wait ignores a cancel': {
    commit: (state, request) => commit(state, { ...request, cancelSeen: true }),
  },
  'end ignores the inbox': {
    commit: (state, request) => (request.then.kind === 'end' ? withAllSeen(state, request) : commit(state, request)),
  },
  'commit ids are not compared': {
    commit: (state, request) => {
      const record = state.runs.get(request.run);
      if (record !== undefined) record.run.lastCommit = null;
      return commit(state, request);
    },
  },
  'deliver does not look for duplicates': {
    deliver: (state, request) => {
      for (const record of state.runs.values()) record.inboxIds.delete(request.delivery.id);
      return deliver(state, request);
    },
  },
  'deliver does not wake': {
    deliver: (state, { delivery }) => {
      const waiting = [...state.runs.values()].filter((record) => record.run.status === 'waiting');
      const dues = waiting.map((record) => record.run.dueAt);
      const answer = deliver(state, { delivery, claim: undefined });
      waiting.forEach((record, index) => {
        record.run.status = 'waiting';
        setDue(state, { record, dueAt: dues[index] ?? null });
      });
      return answer;
    },
  },
  'a hook takes a second payload': {
    deliver: (state, request) => {
      const { delivery } = request;
      const answer = deliver(state, request);
      const found = 'hook' in delivery.to ? state.hooks.get(delivery.to.hook) : undefined;
      if (answer.kind === 'ok' && found !== undefined) found.hook.status = 'open';
      return answer;
    },
  },
  'deliver claims a run that is held': {
    deliver: (state, request) => {
      const answer = deliver(state, request);
      const record = answer.kind === 'ok' ? state.runs.get(answer.run) : undefined;
      if (answer.kind !== 'ok' || request.claim === undefined || record?.run.status !== 'running') return answer;
      return {
        ...answer,
        claimed: { claim: takeRun(state, { record, claim: request.claim }), now: state.clock.now() },
      };
    },
  },
  'cancel does not wake': {
    control: (state, command) => {
      const record = state.runs.get(command.id);
      const status = record?.run.status;
      const dueAt = record?.run.dueAt ?? null;
      const answer = control(state, command);
      if (record !== undefined && status === 'waiting' && command.control === 'cancel') {
        record.run.status = 'waiting';
        setDue(state, { record, dueAt });
      }
      return answer;
    },
  },
  'an acknowledged event is forgotten': {
    commit: (state, request) => {
      const answer = commit(state, request);
      const record = state.runs.get(request.run);
      if (
        answer.kind === 'applied' &&
        record !== undefined &&
        record.events.length > 3 &&
        request.then.kind === 'wait'
      ) {
        record.events.pop();
        record.run.head -= 1;
      }
      return answer;
    },
  },
  'load forgets former checkpoints': {
    load: (state, request) => {
      const answer = load(state, request);
      return answer === null ? null : { ...answer, checkpoints: [] };
    },
  },
  'a parent is not told of the end of its child': {
    commit: (state, request) => {
      const record = state.runs.get(request.run);
      if (record === undefined || request.then.kind !== 'end') return commit(state, request);
      const { parent } = record.run;
      record.run.parent = null;
      const answer = commit(state, request);
      record.run.parent = parent;
      return answer;
    },
  },
  'commits that come late are not known': {
    commit: (state, { number: _number, ...request }) => commit(state, request),
  },
  'progress does not set the attempts back': {
    commit: (state, request) => {
      const row = state.runs.get(request.run)?.run;
      const attempts = row?.attempts ?? 0;
      const answer = commit(state, request);
      if (row !== undefined && row.status === 'running') row.attempts = attempts;
      return answer;
    },
  },
  'suspects are not stored': {
    commit: (state, request) => commit(state, { ...request, suspects: [] }),
  },
  'a run that is yielded is not due': {
    commit: (state, request) => {
      const answer = commit(state, request);
      const record = state.runs.get(request.run);
      if (record !== undefined && answer.kind === 'applied' && request.then.kind === 'yield')
        setDue(state, { record, dueAt: null });
      return answer;
    },
  },
  'a run that is let go keeps its slot': {
    commit: (state, request) =>
      request.then.kind === 'run' ? commit(state, request) : withSlotsKept(state, () => commit(state, request)),
  },
  'a run that waits keeps its slot': {
    commit: (state, request) =>
      request.then.kind === 'wait' ? withSlotsKept(state, () => commit(state, request)) : commit(state, request),
  },
  'claims take no slots': {
    claim: (state, request) => withSlotsKept(state, () => claim(state, request)),
  },
  'a takeover gives the slot of the former holder away': {
    claim: (state, request) => {
      const answer = claim(state, request);
      if (answer.claims.some(({ from }) => from === 'lease')) state.limits.clear();
      return answer;
    },
  },
  'a thread has two active runs': {
    claim: (state, request) => {
      for (const record of state.runs.values()) {
        if (record.run.status !== 'queued') continue;
        record.run.status = 'ready';
        setDue(state, { record, dueAt: state.clock.now() });
      }
      return claim(state, request);
    },
  },
};
