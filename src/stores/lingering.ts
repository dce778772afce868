/** What is opened for the first who uses it, and closed a while after the last: who comes soon after finds it open. */

import type { Clock } from '../runtime/clock.ts';

export interface Lingering {
  enter(): void;
  leave(): void;
  /** Closes it now. */
  end(): void;
}

/** A process without a worker listens only while somebody waits or reads; one often comes after the other. */
const LINGER_MS = 10_000;

export function createLingering(options: {
  open: () => void;
  close: () => void;
  clock: Pick<Clock, 'schedule'>;
}): Lingering {
  let isOpen = false;
  let cancel: (() => void) | undefined;
  const end = (): void => {
    cancel?.();
    if (isOpen) options.close();
    isOpen = false;
  };
  return {
    enter() {
      cancel?.();
      if (!isOpen) options.open();
      isOpen = true;
    },
    leave() {
      cancel = options.clock.schedule(end, LINGER_MS);
    },
    end,
  };
}
