/** Runs that this process cannot go on with, since they began under another version of their workflow: they must not wait unseen. */

import { DurableError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Registry } from '../runtime/registry.ts';
import type { Store } from '../runtime/store.ts';

export interface OtherVersionsParts {
  store: Store;
  registry: Registry;
  logger: Logger;
}

/** A warning per workflow and version. Never rejects: what it tells of holds up nothing. */
export async function warnOfOtherVersions({ store, registry, logger }: OtherVersionsParts): Promise<void> {
  try {
    for (const { queue, runs } of await store.backlog(registry.queues)) {
      const other = registry.otherVersion(queue);
      if (other === undefined) continue;
      const { workflow, version } = other;
      logger.warn(
        { workflow, version, runs, own: registry.version },
        `${runs} open ${runs === 1 ? 'run' : 'runs'} of ${queue} can go on only in a process with that version, and this one has ${registry.version}: ` +
          'keep one with the former code running until they have ended, or cancel them',
      );
    }
  } catch (error) {
    const code = DurableError.is(error) ? error.code : 'internal_error';
    logger.warn({ code, err: error }, 'open runs of other versions could not be counted');
  }
}
