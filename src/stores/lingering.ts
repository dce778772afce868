/** What is opened for the first who uses it, and closed a while after the last: who comes soon after finds it open. */

import type { Clock } from '../runtime/clock.ts';

export interface Lingering {
  enter(): void;
  leave(): void;
  /** Closes it now. */
  end(): void;
}

/** A process without a worker listens only while somebody waits or reads; one often comes after the other. */
const LINGER_MS = 5_000;

export function createLingering(options: {
  open: () => void;
  close: () => void;
  clock: Pick<Clock, 'schedule' | 'monotonic'>;
}): Lingering {
  let isOpen = false;
  let until = Infinity;
  let cancel: (() => void) | undefined;
  const end = (): void => {
    cancel?.();
    if (isOpen) options.close();
    isOpen = false;
  };
  return {
    enter() {
      // A process that was frozen meanwhile cannot trust what it had open.
      if (options.clock.monotonic() > until) end();
      cancel?.();
      until = Infinity;
      if (!isOpen) options.open();
      isOpen = true;
    },
    leave() {
      until = options.clock.monotonic() + LINGER_MS;
      cancel = options.clock.schedule(end, LINGER_MS);
    },
    end,
  };
}
