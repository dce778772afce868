/**
 * Group commit: what the runs of a process want to commit in one macrotask is one call of the store.
 *
 *  G1 A source has at most one commit in flight.
 *  G2 A call that times out or throws is repeated with the same commit ids until each source gives up (its lease is about
 *     to end). Answers that come after a time-out are ignored: the repeated call's answer is the same.
 *  G3 If a batch of several throws, its commits are sent one by one, so that one bad run does not hold the others.
 */

import type { Clock } from './clock.ts';
import { DurableError } from './errors.ts';
import type { Logger } from './logger.ts';
import type { Commit, CommitResult, Store } from './store.ts';

const MAX_COMMITS = 256;
const MAX_BYTES = 524_288;
const RETRY_MS = 50;

export interface CommitSource {
  /** The commit to send now, or null if there is nothing to send. Called once per request. */
  takeCommit(): Commit | null;
  /** Exactly one call per commit taken; `lost` when the source gave up waiting. */
  commitSettled(commit: Commit, outcome: CommitResult | { kind: 'lost'; error: unknown }, sentAt: number): void;
  /** Whether it is still worth repeating its commit. */
  holdsLease(): boolean;
}

export interface CommitterOptions {
  store: Store;
  clock: Clock;
  logger: Logger;
  timeoutMs: number;
}

interface Sent {
  source: CommitSource;
  commit: Commit;
}

export class Committer {
  readonly #options: CommitterOptions;
  #requested = new Set<CommitSource>();
  #scheduled = false;
  #inFlight = 0;
  #idleWaiters: Array<() => void> = [];

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** The source's commit goes out at the end of this macrotask. */
  request(source: CommitSource): void {
    this.#requested.add(source);
    this.#schedule();
  }

  /** Resolves when no commit is in flight or asked for. */
  idle(): Promise<void> {
    if (this.#inFlight === 0 && this.#requested.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.clock.defer(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    const batch: Sent[] = [];
    let bytes = 0;
    for (const source of this.#requested) {
      if (batch.length >= MAX_COMMITS || bytes >= MAX_BYTES) break;
      this.#requested.delete(source);
      const commit = source.takeCommit();
      if (commit === null) continue;
      batch.push({ source, commit });
      bytes += commitBytes(commit);
    }
    if (this.#requested.size > 0) this.#schedule();
    if (batch.length > 0) void this.#send(batch);
    else this.#wakeIdle();
  }

  async #send(batch: Sent[]): Promise<void> {
    this.#inFlight += 1;
    const sentAt = this.#options.clock.monotonic();
    try {
      const answers = await this.#call(batch);
      batch.forEach(({ source, commit }, index) => {
        const answer = answers[index];
        if (answer !== undefined) source.commitSettled(commit, answer, sentAt);
      });
    } catch (error) {
      await this.#repeat(batch, error);
    }
    this.#inFlight -= 1;
    this.#wakeIdle();
  }

  async #repeat(batch: Sent[], error: unknown): Promise<void> {
    const alive = batch.filter(({ source, commit }) => {
      if (source.holdsLease()) return true;
      source.commitSettled(commit, { kind: 'lost', error }, 0);
      return false;
    });
    if (alive.length === 0) return;
    this.#options.logger.warn(
      { code: DurableError.is(error) ? error.code : 'store_unavailable', err: error, runs: alive.length },
      'a commit got no answer and is repeated',
    );
    await new Promise<void>((resolve) => this.#options.clock.schedule(resolve, RETRY_MS));
    if (alive.length === 1 || isTimeout(error)) await this.#send(alive);
    else await Promise.all(alive.map((sent) => this.#send([sent])));
  }

  #call(batch: Sent[]): Promise<CommitResult[]> {
    return new Promise((resolve, reject) => {
      const { clock, timeoutMs, store } = this.#options;
      const cancel = clock.schedule(() => reject(timeoutError(timeoutMs)), timeoutMs);
      store.commit(batch.map(({ commit }) => commit)).then(
        (answers) => {
          cancel();
          resolve(answers);
        },
        (error: unknown) => {
          cancel();
          reject(error);
        },
      );
    });
  }

  #wakeIdle(): void {
    if (this.#inFlight > 0 || this.#requested.size > 0) return;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }
}

function timeoutError(timeoutMs: number): DurableError {
  return new DurableError(
    'store_unavailable',
    `The store did not answer a commit within ${timeoutMs} ms. It is repeated until the lease ends.`,
    {
      retryable: true,
      details: { timeoutMs },
    },
  );
}

function isTimeout(error: unknown): boolean {
  return DurableError.is(error, 'store_unavailable') && 'timeoutMs' in error.details;
}

function commitBytes(commit: Commit): number {
  let bytes = 0;
  for (const event of commit.events) bytes += event.length;
  for (const write of commit.chunks) for (const chunk of write.chunks) bytes += chunk.length;
  return bytes;
}
