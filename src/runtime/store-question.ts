/** What a run's code asks the store beside its journal. Code that waits for nothing but the answer does not count as waiting. */

import { DurableError } from './errors.ts';
import type { RunCore } from './run-core.ts';
import type { Store } from './store.ts';

const ASK_AGAIN_MS = 200;

export function askStore<T>(core: RunCore, ask: (store: Store) => Promise<T>): Promise<T> {
  const leaf = core.root.presence.leaf('busy');
  return ask(core.store).finally(() => leaf.leave());
}

/** A store that is away is asked again, as long as the run is held. */
export async function askUntilAnswered<T>(core: RunCore, ask: (store: Store) => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await askStore(core, ask);
    } catch (error) {
      if (!DurableError.is(error) || !error.retryable || core.dropped) throw error;
      core.logger.warn({ code: error.code, err: error }, 'the store did not answer a run and is asked again');
      await askStore(core, () => new Promise<void>((resolve) => core.clock.schedule(resolve, ASK_AGAIN_MS)));
    }
  }
}
