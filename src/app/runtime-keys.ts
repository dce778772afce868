/** The keys of a runtime: those of its secrets, and the one that its store keeps. */

import type { Clock } from '../runtime/clock.ts';
import { DurableError } from '../runtime/errors.ts';
import { randomBytes } from '../runtime/ids.ts';
import { keyFrom, Keyring } from '../runtime/keyring.ts';
import type { Key } from '../runtime/keyring.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Store } from '../runtime/store.ts';

export interface RuntimeKeysParts {
  /** Newest first; empty if the store's is to be used. */
  secrets: readonly string[];
  store: Pick<Store, 'secret'>;
  clock: Clock;
  logger: Logger;
  /** The store is not asked again then. */
  isClosing: () => boolean;
}

export async function openKeyring(parts: RuntimeKeysParts): Promise<Keyring> {
  const [first, ...others] = parts.secrets.map(keyFrom);
  const stored = async (): Promise<Key> => keyFrom(await storedSecret(parts));
  return new Keyring({ keys: first === undefined ? [await stored()] : [first, ...others], stored });
}

const OPEN_RETRY_MS = { first: 50, cap: 2_000 };

/** A store that is busy or away when the process starts is asked again, until the runtime is closed. */
async function storedSecret({ store, clock, logger, isClosing }: RuntimeKeysParts): Promise<Uint8Array> {
  const proposed = randomBytes(32);
  for (let failures = 0; ; failures += 1) {
    try {
      return await store.secret(proposed);
    } catch (error) {
      if (!DurableError.is(error) || !error.retryable || isClosing()) throw error;
      const retryInMs = Math.min(OPEN_RETRY_MS.cap, OPEN_RETRY_MS.first * 2 ** failures);
      logger.warn({ code: error.code, err: error, retryInMs }, 'the store could not be opened and is asked again');
      await new Promise<void>((resolve) => clock.schedule(resolve, retryInMs));
    }
  }
}
