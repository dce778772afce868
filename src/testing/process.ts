/**
 * One life of a runtime, as a test sees it: a store and a clock that stop answering when the life ends.
 *
 *  L1 After the end no call reaches the store, none is answered, and no timer fires: nothing is written, as after SIGKILL.
 *  L2 Plain JavaScript that is on its way goes on until it asks the runtime for something, which then never settles. A test cannot
 *     stop that; a killed process does.
 */

import type { Clock } from '../runtime/clock.ts';
import type { Commit, CommitResult, Store } from '../runtime/store.ts';

/** Where a life ends: before the `n`-th commit that records something is applied, or after it, counted from the arming on. */
export interface CrashPoint {
  n: number;
  when: 'before' | 'after';
}

export interface Process {
  readonly store: Store;
  readonly clock: Clock;
  readonly alive: boolean;
  /** Resolves when the life has ended and the store has settled what was on its way. */
  readonly ended: Promise<void>;
  /** Nonces of the leases that this life has asked for. */
  readonly nonces: ReadonlySet<string>;
  /** Commits of this life that recorded something. Flushes of chunks alone and heartbeats do not count. */
  readonly commits: number;
  arm(point: CrashPoint): void;
  kill(): void;
}

export interface ProcessParts {
  store: Store;
  clock: Clock;
  /** Called after each commit. */
  onCommit: () => void;
}

export function createProcess({ store, clock, onCommit }: ProcessParts): Process {
  const nonces = new Set<string>();
  const pulse = createPulse();
  const fuse = { commits: 0, at: Number.POSITIVE_INFINITY, when: 'after' as CrashPoint['when'] };
  const commit = async (batch: Commit[]): Promise<CommitResult[]> => {
    const fatal = batch.findIndex((one) => records(one) && (fuse.commits += 1) >= fuse.at);
    if (fatal < 0) {
      const answers = await store.commit(batch);
      onCommit();
      return answers;
    }
    const applied = batch.slice(0, fuse.when === 'before' ? fatal : fatal + 1);
    pulse.end();
    return applied.length === 0 ? [] : store.commit(applied);
  };
  return {
    store: mortalStore(store, { pulse, nonces, commit }),
    clock: mortalClock(clock, pulse),
    ended: pulse.ended,
    nonces,
    get alive() {
      return pulse.alive;
    },
    get commits() {
      return fuse.commits;
    },
    arm: ({ n, when }) => {
      fuse.at = fuse.commits + n;
      fuse.when = when;
    },
    kill: () => pulse.end(),
  };
}

/** Events, or another state of the run. */
function records(commit: Commit): boolean {
  return commit.events.length > 0 || commit.then.kind !== 'run';
}

interface Pulse {
  readonly alive: boolean;
  readonly ended: Promise<void>;
  end(): void;
  /** Calls `run` at the end; the answer takes it back. */
  onEnd(run: () => void): () => void;
  /** A call of the store: its answer while alive, none after the end. */
  answer<T>(call: () => Promise<T>): Promise<T>;
}

function createPulse(): Pulse {
  const listeners = new Set<() => void>();
  const calls = new Set<Promise<unknown>>();
  const { promise: ended, resolve: hasEnded } = Promise.withResolvers<void>();
  let alive = true;
  const end = (): void => {
    if (!alive) return;
    alive = false;
    for (const listener of listeners) listener();
    // A microtask later: the call that ends the life is one of those on their way.
    queueMicrotask(() => void Promise.allSettled(calls).then(() => hasEnded()));
  };
  return {
    get alive() {
      return alive;
    },
    ended,
    end,
    onEnd: (run) => {
      listeners.add(run);
      return () => void listeners.delete(run);
    },
    answer: (call) => {
      if (!alive) return never();
      const answer = call();
      calls.add(answer);
      const settled = <RESULT>(settle: (result: RESULT) => void) => {
        return (result: RESULT): void => {
          calls.delete(answer);
          if (alive) settle(result);
        };
      };
      return new Promise((resolve, reject) => void answer.then(settled(resolve), settled(reject)));
    },
  };
}

interface MortalStoreParts {
  pulse: Pulse;
  nonces: Set<string>;
  commit: Store['commit'];
}

function mortalStore(inner: Store, { pulse, nonces, commit }: MortalStoreParts): Store {
  const mortal =
    <ARGS extends unknown[], ANSWER>(call: (...args: ARGS) => Promise<ANSWER>) =>
    (...args: ARGS): Promise<ANSWER> =>
      pulse.answer(() => call(...args));
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    start: mortal((runs, claim) => {
      if (claim !== undefined) nonces.add(claim.nonce);
      return inner.start(runs, claim);
    }),
    claim: mortal((request) => {
      nonces.add(request.nonce);
      return inner.claim(request);
    }),
    commit: mortal(commit),
    load: mortal((run, from) => inner.load(run, from)),
    deliver: mortal((messages, claim) => {
      if (claim !== undefined) nonces.add(claim.nonce);
      return inner.deliver(messages, claim);
    }),
    control: mortal((run, control) => inner.control(run, control)),
    read: mortal((run, stream, options) => inner.read(run, stream, options)),
    get: mortal((run) => inner.get(run)),
    list: mortal((query) => inner.list(query)),
    backlog: mortal((without) => inner.backlog(without)),
    limits: mortal((keys) => inner.limits(keys)),
    hook: mortal((tokenHash) => inner.hook(tokenHash)),
    listHooks: mortal((query) => inner.listHooks(query)),
    thread: mortal((id, tenant) => inner.thread(id, tenant)),
    note: mortal((tokenHash, note) => inner.note(tokenHash, note)),
    ledger: mortal((query) => inner.ledger(query)),
    ledgerTotals: mortal((scopes) => inner.ledgerTotals(scopes)),
    secret: mortal((proposed) => inner.secret(proposed)),
    gc: mortal((options) => inner.gc(options)),
    trim: mortal((request) => inner.trim(request)),
    compact: mortal((run, stream) => inner.compact(run, stream)),
    putParts: mortal((id, parts) => inner.putParts(id, parts)),
    getParts: mortal((id, hashes) => inner.getParts(id, hashes)),
    watch: (listener) => inner.watch?.((hint) => pulse.alive && listener(hint)) ?? (() => {}),
    // The store outlives the process; the test runtime closes it.
    close: () => Promise.resolve(),
  };
}

function mortalClock(inner: Clock, pulse: Pulse): Clock {
  const ifAlive = (run: () => void) => (): void => {
    if (pulse.alive) run();
  };
  return {
    now: () => inner.now(),
    monotonic: () => inner.monotonic(),
    schedule: (run, delay) => {
      if (!pulse.alive) return () => {};
      const cancel = inner.schedule(() => {
        forget();
        run();
      }, delay);
      const forget = pulse.onEnd(cancel);
      return () => {
        forget();
        cancel();
      };
    },
    defer: (run) => inner.defer(ifAlive(run)),
    settle: () => new Promise((resolve) => inner.defer(ifAlive(resolve))),
  };
}

function never(): Promise<never> {
  return new Promise(() => {});
}
