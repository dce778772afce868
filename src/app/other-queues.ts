/** Runs that this process does not go on with: those of another version of their workflow, and those that it leaves to others. They must not wait unseen. */

import { DurableError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Registry } from '../runtime/registry.ts';
import type { Store } from '../runtime/store.ts';

export interface OtherQueuesParts {
  store: Store;
  registry: Registry;
  /** What this process executes. */
  queues: readonly string[];
  logger: Logger;
}

/** A warning per workflow and other version, a note per queue that is left to others. Never rejects: what it tells of holds up nothing. */
export async function tellOfOtherQueues({ store, registry, queues, logger }: OtherQueuesParts): Promise<void> {
  try {
    const own = registry.queues;
    for (const { queue, runs } of await store.backlog(queues)) {
      const open = `${runs} open ${runs === 1 ? 'run' : 'runs'} of ${queue}`;
      const other = registry.otherVersion(queue);
      if (own.includes(queue))
        logger.info({ queue, runs, executes: queues }, `${open} can go on only in another process, by worker.queues`);
      if (other === undefined) continue;
      const { workflow, version } = other;
      logger.warn(
        { workflow, version, runs, own: registry.version },
        `${open} can go on only in a process with that version, and this one has ${registry.version}: ` +
          `keep one with the former code running until they have ended, or cancel them; if the code is still the same, add "${queue}" to worker.queues`,
      );
    }
  } catch (error) {
    const code = DurableError.is(error) ? error.code : 'internal_error';
    logger.warn({ code, err: error }, 'open runs of other versions could not be counted');
  }
}
