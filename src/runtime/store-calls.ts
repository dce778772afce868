/** What a worker asks the store for, besides commits of runs that execute: each call with a time-out. */

import type { Clock } from './clock.ts';
import { encodeValue } from './codec.ts';
import { DurableError } from './errors.ts';
import { handBack, parkUnreadable } from './handback.ts';
import type { Ids } from './ids.ts';
import type { Logger } from './logger.ts';
import type { Claim, Commit, Message, Store } from './store.ts';

const RETRY_MS = { first: 50, cap: 2_000 };

export interface StoreCallsParts {
  store: Store;
  clock: Clock;
  ids: Ids;
  logger: Logger;
}

export class StoreCalls {
  readonly #parts: StoreCallsParts;
  readonly #timeoutMs: number;

  constructor(parts: StoreCallsParts, timeoutMs: number) {
    this.#parts = parts;
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects with `store_unavailable` if the store does not answer in time. */
  inTime<T>(call: (store: Store) => Promise<T>): Promise<T> {
    const { clock, store } = this.#parts;
    const timeoutMs = this.#timeoutMs;
    return new Promise((resolve, reject) => {
      const cancel = clock.schedule(
        () =>
          reject(
            new DurableError('store_unavailable', `The store did not answer within ${timeoutMs} ms.`, {
              retryable: true,
            }),
          ),
        timeoutMs,
      );
      call(store).then(resolve, reject).finally(cancel);
    });
  }

  /** Asks again as long as it is worth it; then throws what the last try did. */
  async insist<T>(call: (store: Store) => Promise<T>, isWorthIt: () => boolean): Promise<T> {
    for (let failures = 0; ; failures += 1) {
      try {
        return await this.inTime(call);
      } catch (error) {
        if (!isWorthIt()) throw error;
        const retryInMs = retryDelay(failures);
        this.#parts.logger.warn(
          { code: codeOf(error), err: error, retryInMs },
          'a large value could not be stored or loaded; it is tried again',
        );
        await new Promise<void>((resolve) => this.#parts.clock.schedule(resolve, retryInMs));
      }
    }
  }

  /** Messages of a claimed run that are not journaled. */
  async messages({ run }: Claim): Promise<Message[]> {
    const loaded = await this.inTime((store) => store.load(run.id, run.head));
    return loaded?.messages ?? [];
  }

  /** Gives up a run that was claimed and does not execute here: parked if it cannot be read, else for another worker. */
  async giveBack(claim: Claim, { leaseMs, unreadable }: { leaseMs: number; unreadable?: DurableError }): Promise<void> {
    const options = { id: this.#parts.ids.nonce(), leaseMs };
    const commit: Commit =
      unreadable === undefined ? handBack(claim, options) : parkUnreadable(claim, { ...options, error: unreadable });
    try {
      await this.inTime((store) => store.commit([commit]));
    } catch (error) {
      this.#parts.logger.warn(
        { run: claim.run.id, code: codeOf(error), err: error },
        'a claimed run could not be given back; it is claimed again when its lease has ended',
      );
    }
  }

  /** Makes a waiting run due, trying again while it is worth it: the run may have nothing else to wake it up. */
  async wake(run: string, isWorthIt: () => boolean): Promise<void> {
    const { ids, logger, clock } = this.#parts;
    const message = { to: { run }, id: ids.nonce(), kind: 'wake' as const, payload: encodeValue(null, 'a wake') };
    for (let failures = 0; isWorthIt(); failures += 1) {
      try {
        await this.inTime((store) => store.deliver([message]));
        return;
      } catch (error) {
        const retryInMs = retryDelay(failures);
        logger.warn({ run, code: codeOf(error), err: error, retryInMs }, 'a wake could not be delivered');
        await new Promise<void>((resolve) => clock.schedule(resolve, retryInMs));
      }
    }
  }
}

/** How long to wait after so many failures in a row. */
export function retryDelay(failures: number): number {
  return Math.min(RETRY_MS.cap, RETRY_MS.first * 2 ** failures);
}

/** What the log says where a call of the store failed. */
export function codeOf(error: unknown): string {
  return DurableError.is(error) ? error.code : 'store_unavailable';
}
