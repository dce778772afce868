/**
 * What lies between a process and the store: each call is a request that takes its time, one atomic transition, and an answer that
 * takes its time. Either may get lost, requests may come twice or very late, and processes die and stall in between.
 */

import { DurableError } from '../../src/runtime/errors.ts';
import type { Commit, Hint, Store } from '../../src/runtime/store.ts';
import type { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

export interface NetworkFaults {
  loseRequest: number;
  loseAnswer: number;
  /** A request that comes a second time, its second answer unheard. */
  repeatRequest: number;
  /** Requests that take longer than a lease. */
  delayRequest: number;
  loseHint: number;
}

export const NO_FAULTS: NetworkFaults = {
  loseRequest: 0,
  loseAnswer: 0,
  repeatRequest: 0,
  delayRequest: 0,
  loseHint: 0,
};

/** A fault that strikes at a certain call of a process. */
export interface Strike {
  call: number;
  phase: 'sent' | 'applied' | 'answered';
  stallMs: number | null;
}

export interface NetworkOptions {
  world: World;
  process: SimProcess;
  store: Store;
  /** Read at each call: faults stop one day. */
  faults: () => NetworkFaults;
  leaseMs: number;
  strikes: () => Strike[];
  onCommit?: (commit: Commit) => void;
}

/** Calls that the runtime gives up by itself, so that an answer may never come. */
const TIMED: ReadonlySet<string> = new Set(['claim', 'load', 'commit']);

export class Network {
  readonly #options: NetworkOptions;
  readonly #random: Random;
  readonly #open = new Map<string, { id: string; token: string }>();
  #calls = 0;
  /** Number of calls by name. */
  readonly counts = new Map<string, number>();

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#random = options.world.random.fork();
  }

  /** The store as the process sees it. */
  get store(): Store {
    const { store } = this.#options;
    return {
      name: store.name,
      capabilities: store.capabilities,
      start: (runs, claim) => this.#call('start', () => store.start(runs, claim)),
      claim: (request) => this.#call('claim', () => store.claim(request)),
      load: (run, from) => this.#call('load', () => store.load(run, from)),
      commit: (batch) => this.#commit(batch),
      deliver: (messages, claim) => this.#call('deliver', () => store.deliver(messages, claim)),
      control: (run, control) => this.#call('control', () => store.control(run, control)),
      read: (run, stream, options) => this.#call('read', () => store.read(run, stream, options)),
      get: (run) => this.#call('get', () => store.get(run)),
      backlog: (without) => this.#call('backlog', () => store.backlog(without)),
      limits: (keys) => this.#call('limits', () => store.limits(keys)),
      list: (query) => this.#call('list', () => store.list(query)),
      hook: (token) => this.#call('hook', () => store.hook(token)),
      listHooks: (query) => this.#call('listHooks', () => store.listHooks(query)),
      thread: (id, tenant) => this.#call('thread', () => store.thread(id, tenant)),
      note: (token, note) => this.#call('note', () => store.note(token, note)),
      ledger: (query) => this.#call('ledger', () => store.ledger(query)),
      ledgerTotals: (scopes) => this.#call('ledgerTotals', () => store.ledgerTotals(scopes)),
      secret: (proposed) => this.#call('secret', () => store.secret(proposed)),
      gc: (options) => this.#call('gc', () => store.gc(options)),
      trim: (request) => this.#call('trim', () => store.trim(request)),
      compact: (run, stream) => this.#call('compact', () => store.compact(run, stream)),
      putParts: (id, parts) => this.#call('putParts', () => store.putParts(id, parts)),
      getParts: (id, hashes) => this.#call('getParts', () => store.getParts(id, hashes)),
      ...(store.capabilities.push ? { watch: (listener: (hint: Hint) => void) => this.#watch(listener) } : {}),
      close: () => Promise.resolve(),
    };
  }

  #watch(listener: (hint: Hint) => void): () => void {
    const { process, store, faults } = this.#options;
    return (
      store.watch?.((hint) => {
        if (!this.#random.chance(faults().loseHint)) process.after(this.#latency(), () => listener(hint));
      }) ?? (() => {})
    );
  }

  #commit(batch: Commit[]): ReturnType<Store['commit']> {
    // What is on the wire does not change any more.
    const sent = batch.map((commit) => ({
      ...commit,
      events: [...commit.events],
      chunks: commit.chunks.map((write) => ({ ...write, chunks: [...write.chunks] })),
      starts: [...commit.starts],
      cancels: [...commit.cancels],
    }));
    for (const commit of sent) this.#begin(commit);
    for (const commit of sent) this.#options.onCommit?.(commit);
    const answer = this.#call('commit', () => this.#options.store.commit(sent));
    // One answer is enough, whichever of the repeated requests it is for.
    answer.then(
      () => sent.forEach((commit) => this.#end(commit)),
      () => undefined,
    );
    return answer;
  }

  /** E1: at most one commit of a run is in flight under one token; a repeated one has the same id. */
  #begin(commit: Commit): void {
    const token = `${commit.token.epoch}:${commit.token.nonce}`;
    const open = this.#open.get(commit.run);
    if (open !== undefined && open.token === token && open.id !== commit.id) {
      this.#options.world.fail(
        `two commits of ${commit.run} are in flight under one token: ${open.id} and ${commit.id} (E1)`,
      );
    }
    this.#open.set(commit.run, { id: commit.id, token });
  }

  #end(commit: Commit): void {
    if (this.#open.get(commit.run)?.id === commit.id) this.#open.delete(commit.run);
  }

  #call<T>(name: string, apply: () => Promise<T>): Promise<T> {
    const { world, process, faults } = this.#options;
    const call = (this.#calls += 1);
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    const { loseRequest, loseAnswer, repeatRequest } = faults();
    return new Promise<T>((resolve, reject) => {
      const answer = (settle: () => void): void => {
        if (this.#random.chance(loseAnswer)) this.#loss(name, reject);
        else
          process.after(this.#latency(), () => {
            settle();
            this.#strike(call, 'answered');
          });
      };
      const arrive = (): void => {
        apply().then(
          (value) => answer(() => resolve(value)),
          (error: unknown) => answer(() => reject(error)),
        );
        this.#strike(call, 'applied');
      };
      if (this.#random.chance(loseRequest)) this.#loss(name, reject);
      else world.after(this.#requestLatency(call), arrive);
      if (this.#random.chance(repeatRequest)) {
        world.after(this.#random.between(0, 100), () => void apply().catch(() => undefined));
      }
      this.#strike(call, 'sent');
    });
  }

  /** A connection that breaks is noticed at once, late, or never. */
  #loss(name: string, reject: (error: Error) => void): void {
    if (TIMED.has(name) && this.#random.chance(0.5)) return;
    const error = new DurableError('store_unavailable', 'The connection to the store broke.', { retryable: true });
    this.#options.process.after(this.#random.between(0, 300), () => reject(error));
  }

  #strike(call: number, phase: Strike['phase']): void {
    const { process, strikes } = this.#options;
    for (const strike of strikes()) {
      if (strike.call !== call || strike.phase !== phase) continue;
      if (strike.stallMs === null) process.crash();
      else process.stall(strike.stallMs);
    }
  }

  #requestLatency(call: number): number {
    const { faults, leaseMs, strikes } = this.#options;
    // What a process sends before it stalls may leave it only afterwards.
    const strike = strikes().find((each) => each.call === call && each.phase === 'sent');
    if (strike?.stallMs != null && this.#random.chance(0.7)) return strike.stallMs + this.#latency();
    if (this.#random.chance(faults().delayRequest)) return this.#random.between(0.3, 2) * leaseMs;
    return this.#latency();
  }

  #latency(): number {
    return this.#random.chance(0.1) ? this.#random.between(4, 40) : this.#random.between(0.05, 4);
  }
}
