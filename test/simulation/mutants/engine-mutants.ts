/** Runtimes that break one rule each: parts are patched for as long as a mutant runs, or stand between a runtime and its store. */

import { Journal } from '../../../src/runtime/journal.ts';
import { ReleaseQueue } from '../../../src/runtime/release.ts';
import { RunCore } from '../../../src/runtime/run-core.ts';
import { RunMessages } from '../../../src/runtime/run-messages.ts';
import { Timers } from '../../../src/runtime/timers.ts';
import type { Commit, CommitResult, Store } from '../../../src/runtime/store.ts';
import type { ProfileName } from '../scenario.ts';
import type { SimProcess } from '../process.ts';
import type { World } from '../world.ts';

export interface EngineMutant {
  between?: (store: Store, world: World, process: SimProcess) => Store;
  /** Where it shows. */
  profile?: ProfileName;
  /** Patches; the answer takes the patch back. */
  patch?: () => () => void;
}

function replaced<T extends object, K extends keyof T>(
  prototype: T,
  name: K,
  make: (original: T[K]) => T[K],
): () => void {
  const original = prototype[name];
  prototype[name] = make(original);
  return () => {
    prototype[name] = original;
  };
}

function heartbeatOf(commit: Commit, id: string): Commit {
  return {
    ...commit,
    id,
    events: [],
    chunks: [],
    hooks: { create: [], close: [] },
    starts: [],
    cancels: [],
    ledger: [],
    then: { kind: 'run', heartbeat: true },
  };
}

function appliedEarly(commit: Commit, now: number): CommitResult {
  return {
    kind: 'applied',
    holder: true,
    head: commit.expect + commit.events.length,
    now,
    extended: false,
    cancel: false,
    messages: [],
    tails: {},
  };
}

export const ENGINE_MUTANTS: Record<string, EngineMutant> = {
  'a hook expires although it was answered': {
    patch: () => replaced(RunMessages.prototype, 'isAnswered', () => () => false),
  },
  'an answer to an approval counts though it has expired': {
    between: (store) => ({
      ...store,
      deliver: async (messages, claim) => {
        const answers = await store.deliver(messages, claim);
        return answers.map((answer, index) =>
          answer.kind === 'gone' && messages[index]?.decision !== undefined ? { ...answer, kind: 'ok' } : answer,
        );
      },
    }),
  },
  'a commit is repeated under a new id': {
    between: (store, _world, process) => {
      const known = new Set<string>();
      const renamed = (commit: Commit): Commit => {
        if (known.has(commit.id)) return { ...commit, id: process.ids.nonce() };
        known.add(commit.id);
        return commit;
      };
      return { ...store, commit: (batch) => store.commit(batch.map(renamed)) };
    },
  },
  'results are released before they are committed': {
    between: (store, world) => ({
      ...store,
      commit: async (batch) => {
        const answers = store.commit(batch);
        if (batch.some(({ then, events }) => then.kind !== 'run' || events.length === 0)) return answers;
        answers.catch(() => undefined);
        return batch.map((commit) => appliedEarly(commit, world.storeClock.now()));
      },
    }),
  },
  'a heartbeat is sent while a commit is in flight': {
    between: (store, _world, process) => ({
      ...store,
      commit: (batch) => {
        const answers = store.commit(batch);
        store.commit(batch.map((commit) => heartbeatOf(commit, process.ids.nonce()))).catch(() => undefined);
        return answers;
      },
    }),
  },
  'replay does not look into the journal': {
    patch: () => replaced(Journal.prototype, 'completion', () => () => undefined),
  },
  'replay releases completions in another order': {
    patch: () =>
      replaced(
        ReleaseQueue.prototype,
        'load',
        (load) =>
          function reversed(this: ReleaseQueue, entries) {
            load.call(this, entries.toReversed());
          },
      ),
  },
  'completions are released while the code that asks for them runs': {
    patch: () =>
      replaced(
        ReleaseQueue.prototype,
        'kickSoon',
        () =>
          function atOnce(this: ReleaseQueue) {
            this.kick();
          },
      ),
  },
  'timers fire early': {
    patch: () =>
      replaced(
        Timers.prototype,
        'fire',
        (fire) =>
          function early(this: Timers, now) {
            fire.call(this, now + 50);
          },
      ),
  },
  'bodies start before the rows of hooks are stored': {
    patch: () => mayStart((core) => core.active && !core.leaving && !core.queue.replaying && !core.dropped),
  },
  'bodies start while a wait is in flight': {
    profile: 'calm',
    patch: () =>
      mayStart(
        (core) =>
          core.active &&
          !core.queue.replaying &&
          !core.dropped &&
          core.pending.hooks.length === 0 &&
          !core.hooksInFlight,
      ),
  },
  'the attempts of lost holders are not counted': {
    patch: () => replaced(RunCore.prototype, 'lostAttempts', () => () => 0),
  },
};

function mayStart(get: (core: RunCore) => boolean): () => void {
  const original = Object.getOwnPropertyDescriptor(RunCore.prototype, 'mayStart');
  Object.defineProperty(RunCore.prototype, 'mayStart', {
    configurable: true,
    get(this: RunCore) {
      return get(this);
    },
  });
  return () => {
    if (original !== undefined) Object.defineProperty(RunCore.prototype, 'mayStart', original);
  };
}
