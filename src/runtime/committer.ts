/**
 * Group commit: what the runs of a process want to commit in one macrotask is one call of the store.
 *
 *  G1 A source has at most one commit in flight.
 *  G2 A call that times out or throws is repeated with the same commit ids until each source gives up (its lease is about
 *     to end). Answers that come after a time-out are ignored: the repeated call's answer is the same.
 *  G3 Chunks alone wait for the pace of the process: two flushes after a pause go at the end of their macrotask, later
 *     ones come at least max(flushMs, twice a flush's duration) after the one before, whichever run's chunks they carry
 *     (`flush-pace.ts`). A call that is made anyway takes the chunks of all runs along.
 *  G4 If a batch of several throws, its commits are sent one by one, so that one bad run does not hold the others.
 *  G5 What a source throws is that source's alone.
 */

import type { Clock } from './clock.ts';
import { DurableError } from './errors.ts';
import { FlushPace } from './flush-pace.ts';
import type { Logger } from './logger.ts';
import { codeOf } from './store-calls.ts';
import type { Commit, CommitResult, Store } from './store.ts';

const MAX_COMMITS = 512;
const MAX_BYTES = 524_288;
const RETRY_MS = 50;

export type CommitOutcome = CommitResult | { kind: 'lost'; error: unknown };

export interface CommitSource {
  /** The commit to send now, or null if there is nothing to send. Chunks alone are sent only if `flush`, or if they are urgent. */
  takeCommit(options: { flush: boolean }): Commit | null;
  /** Exactly one call per commit taken; `lost` when the source gave up waiting. */
  commitSettled(commit: Commit, outcome: CommitOutcome, sentAt: number): void;
  /** It threw at one of the two: it must not be able to stop the others. */
  broken(error: unknown): void;
  /** Whether it is still worth repeating its commit. */
  holdsLease(): boolean;
}

export interface CommitterOptions {
  store: Store;
  clock: Clock;
  logger: Logger;
  timeoutMs: number;
  /** Told of each commit that was applied. */
  applied?: (commit: Commit) => void;
}

interface Sent {
  source: CommitSource;
  commit: Commit;
}

export class Committer {
  readonly #options: CommitterOptions;
  readonly #requested = new Set<CommitSource>();
  readonly #flushing = new Set<CommitSource>();
  readonly #pace: FlushPace;
  #scheduled = false;
  #timer = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
    this.#pace = new FlushPace(options.store.capabilities.flushMs);
  }

  /** The source's commit goes out at the end of this macrotask. */
  request(source: CommitSource): void {
    this.#requested.add(source);
    this.#schedule();
  }

  /** The source's chunks go out with the next flush (G3). */
  requestFlush(source: CommitSource): void {
    this.#flushing.add(source);
    if (!this.#scheduled && !this.#timer) this.#scheduleFlush();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.clock.defer(() => this.#gather());
  }

  #scheduleFlush(): void {
    const { clock } = this.#options;
    const wait = this.#pace.waitAt(clock.monotonic());
    if (wait <= 0) {
      this.#schedule();
      return;
    }
    this.#timer = true;
    clock.schedule(() => {
      this.#timer = false;
      if (this.#flushing.size > 0) this.#schedule();
    }, wait);
  }

  #gather(): void {
    this.#scheduled = false;
    const batch: Batch = { sent: [], bytes: 0 };
    const flush = this.#pace.waitAt(this.#options.clock.monotonic()) <= 0;
    take(batch, this.#requested, { flush });
    // A call that is made anyway takes the chunks of all runs along: one sync to disk (G3).
    if (flush || batch.sent.length > 0) take(batch, this.#flushing, { flush: true });
    if (batch.sent.length > 0) void this.#send(batch.sent);
    if (this.#requested.size > 0) this.#schedule();
    else if (this.#flushing.size > 0 && !this.#timer) this.#scheduleFlush();
  }

  async #send(batch: Sent[]): Promise<void> {
    const { clock } = this.#options;
    const sentAt = clock.monotonic();
    const hasChunks = batch.some(({ commit }) => commit.chunks.length > 0);
    if (hasChunks) this.#pace.sent(sentAt);
    try {
      const answers = await this.#call(batch);
      if (hasChunks) this.#pace.answered({ sentAt, now: clock.monotonic() });
      batch.forEach(({ source, commit }, index) => {
        const answer = answers[index];
        if (answer?.kind === 'applied') this.#options.applied?.(commit);
        if (answer !== undefined) settled({ source, commit }, answer, sentAt);
      });
    } catch (error) {
      await this.#repeat(batch, error);
    }
  }

  async #repeat(batch: Sent[], error: unknown): Promise<void> {
    const alive = batch.filter(({ source, commit }) => {
      if (source.holdsLease()) return true;
      settled({ source, commit }, { kind: 'lost', error }, 0);
      return false;
    });
    if (alive.length === 0) return;
    this.#options.logger.warn(
      { code: codeOf(error), err: error, runs: alive.length },
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
}

interface Batch {
  sent: Sent[];
  bytes: number;
}

/** Moves the commits of the sources into the batch, as many as it holds. */
function take(batch: Batch, sources: Set<CommitSource>, options: { flush: boolean }): void {
  for (const source of sources) {
    if (batch.sent.length >= MAX_COMMITS || batch.bytes >= MAX_BYTES) return;
    sources.delete(source);
    const commit = commitOf(source, options);
    if (commit === null) continue;
    batch.sent.push({ source, commit });
    batch.bytes += commitBytes(commit);
  }
}

/** G5 */
function commitOf(source: CommitSource, options: { flush: boolean }): Commit | null {
  try {
    return source.takeCommit(options);
  } catch (error) {
    source.broken(error);
    return null;
  }
}

/** G5 */
function settled({ source, commit }: Sent, outcome: CommitOutcome, sentAt: number): void {
  try {
    source.commitSettled(commit, outcome, sentAt);
  } catch (error) {
    source.broken(error);
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
