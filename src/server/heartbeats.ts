/** Keeps idle connections visibly alive: one timer for all open streams. */

import type { Clock } from '../runtime/clock.ts';

export interface Heartbeats {
  /** Calls `beat` now and then until the answer is called. It comes twice per interval. */
  add(beat: () => void): () => void;
}

export function createHeartbeats(clock: Clock, intervalMs: number): Heartbeats {
  const beats = new Set<() => void>();
  let cancel: (() => void) | undefined;
  const arm = (): void => {
    cancel = clock.schedule(() => {
      for (const beat of beats) beat();
      if (beats.size > 0) arm();
    }, intervalMs / 2);
  };
  return {
    add(beat) {
      beats.add(beat);
      if (beats.size === 1) arm();
      return () => {
        beats.delete(beat);
        if (beats.size === 0) cancel?.();
      };
    },
  };
}
