/** Durable sleep and the run's own time and randomness. */

import { systemClock } from './clock.ts';
import { currentFrame, requireContext } from './context.ts';
import { momentOf } from './duration.ts';
import type { Duration } from './duration.ts';
import { randomBytes, uuidFrom } from './ids.ts';
import { bytesToHex } from './signature.ts';

export interface SleepOptions {
  /** Takes the sleep back: it rejects with the signal's reason, and no timer stays behind to wake the run. */
  signal?: AbortSignal;
}

/**
 * Waits for a duration (milliseconds or text such as "2 days") or until a Date. The run holds nothing meanwhile and goes on after
 * restarts. Outside a run it is a plain timer. Throws `invalid_duration`, and `inside_step` in a step's body.
 *
 * @example
 * const controller = new AbortController();
 * const answer = await Promise.race([hook, sleep('1 day', { signal: controller.signal }).then(() => undefined)]);
 * controller.abort();
 */
export async function sleep(until: Duration | Date, { signal }: SleepOptions = {}): Promise<void> {
  if (currentFrame.getStore() === undefined) return plainSleep(until, signal);
  const context = requireContext('sleep()');
  const moment = momentOf(until, { now: 0, where: 'sleep()' });
  const key = context.nextKey('sleep');
  signal?.throwIfAborted();
  await context.sleep(key, until instanceof Date ? until : moment, signal);
}

async function plainSleep(until: Duration | Date, signal: AbortSignal | undefined): Promise<void> {
  const clock = systemClock();
  const now = clock.now();
  const dueAt = momentOf(until, { now, where: 'sleep()' });
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const takeBack = (): void => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.schedule(() => {
      signal?.removeEventListener('abort', takeBack);
      resolve();
    }, dueAt - now);
    signal?.addEventListener('abort', takeBack, { once: true });
  });
}

/** Milliseconds since the epoch. In a run: the time of the last recorded event, the same on replay. */
export function now(): number {
  return currentFrame.getStore()?.context.now() ?? systemClock().now();
}

/**
 * A UUID (version 4). In a run it is derived from the run, the place and the calls before it there: the same on replay and in
 * each attempt of a step. Not for secrets.
 */
export function randomUUID(): string {
  const context = currentFrame.getStore()?.context;
  if (context === undefined) return uuidFrom(bytesToHex(randomBytes(16)));
  return uuidFrom(context.sign(`uuid\n${context.run.id}\n${context.nextKey(UUID_NAME)}`));
}

/** No name of a user's is like it: theirs have their percent signs escaped. */
const UUID_NAME = '%uuid';
