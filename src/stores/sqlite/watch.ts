/** Telling watchers what changed: exactly for what this store wrote, as one general hint for what other processes wrote. */

import type { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../runtime/clock.ts';
import type { Hint } from '../../runtime/store.ts';

export interface Watchers {
  add(listener: (hint: Hint) => void): () => void;
  tell(hints: Hint[]): void;
  close(): void;
}

interface WatchOptions {
  clock: Clock;
  /** How often to look for what others wrote; 0: never. */
  everyMs: number;
}

export function prepareWatchers(db: DatabaseSync, options: WatchOptions): Watchers {
  const listeners = new Set<(hint: Hint) => void>();
  const poll = preparePoll(db, { ...options, onChange: () => tell([{ kind: 'any' }]) });
  const tell = (hints: Hint[]): void => {
    if (hints.length === 0 || listeners.size === 0) return;
    // Not from within a write: a listener may fail, or ask for the next write.
    queueMicrotask(() => {
      for (const hint of hints) for (const listener of listeners) listener(hint);
    });
  };
  return {
    tell,
    add(listener) {
      listeners.add(listener);
      if (listeners.size === 1) poll.start();
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) poll.stop();
      };
    },
    close() {
      listeners.clear();
      poll.stop();
    },
  };
}

/** `data_version` changes when another connection has committed; reading it costs a microsecond. */
function preparePoll(
  db: DatabaseSync,
  options: WatchOptions & { onChange: () => void },
): { start(): void; stop(): void } {
  const statement = db.prepare('PRAGMA data_version');
  const version = (): number => Number(statement.get()?.['data_version']);
  let known = 0;
  let cancel: (() => void) | null = null;
  const arm = (): void => {
    cancel = options.clock.schedule(() => {
      const current = version();
      const isChanged = current !== known;
      known = current;
      arm();
      if (isChanged) options.onChange();
    }, options.everyMs);
  };
  return {
    start() {
      if (options.everyMs === 0) return;
      known = version();
      arm();
    },
    stop() {
      cancel?.();
      cancel = null;
    },
  };
}
