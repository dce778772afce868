/** When to try again, and when to give up. */

import { backoffMs } from '../runtime/backoff.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Environment } from './environment.ts';
import type { TransientFailure } from './failure.ts';

const BACKOFF = { baseMs: 250, capMs: 5_000 };

export interface Retries {
  /** Resolves when it is time for the next try. Throws `connection_lost` when patience is spent, and the signal's reason. */
  failed(failure: TransientFailure, tookMs: number): Promise<void>;
  succeeded(): void;
}

export interface RetriesOptions {
  environment: Environment;
  /** How long failures may go on while the page is online. */
  patienceMs: number;
  signal: AbortSignal;
}

/**
 * Exponential backoff with full jitter. What counts against patience is the time of tries and the planned delays, not what a clock
 * says: a laptop that slept has lost none. Nor has a page that is offline, though it goes on trying, for it may be wrong about it.
 */
export function createRetries({ environment, patienceMs, signal }: RetriesOptions): Retries {
  let failures = 0;
  let spentMs = 0;
  return {
    async failed(failure, tookMs) {
      failures += 1;
      if (environment.network.isOnline()) spentMs += tookMs;
      if (spentMs >= patienceMs) throw lost(failure, { failures, spentMs });
      const delay = Math.max(backoffMs(BACKOFF, failures, environment.random()), failure.retryAfterMs);
      const isNews = await pause(environment, delay, signal);
      if (environment.network.isOnline() && !isNews) spentMs += delay;
    },
    succeeded() {
      failures = 0;
      spentMs = 0;
    },
  };
}

/** Waits; good news of the network ends it at once. */
function pause({ clock, network }: Environment, delay: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const finish = (end: () => void): void => {
      cancel();
      ignore();
      signal.removeEventListener('abort', abort);
      end();
    };
    const abort = (): void => finish(() => reject(signal.reason as Error));
    const cancel = clock.schedule(() => finish(() => resolve(false)), delay);
    const ignore = network.onNews(() => finish(() => resolve(true)));
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
}

function lost(failure: TransientFailure, { failures, spentMs }: { failures: number; spentMs: number }): DurableError {
  const seconds = Math.round(spentMs / 1000);
  return new DurableError(
    'connection_lost',
    `The server could not be reached for ${seconds} s, in ${failures} tries (${failure.message}). Nothing that it acknowledged is lost. ` +
      'Check the connection, then resume.',
    { retryable: true, cause: failure, details: { failures, seconds } },
  );
}
