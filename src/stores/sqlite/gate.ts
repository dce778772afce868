/** Lets calls through to the file while the store is open: errors translated, writes gathered, watchers told. */

import { closedError } from '../rules.ts';
import { toStoreError } from './failure.ts';
import type { ProcessLock } from './lock.ts';
import type { OpenFile } from './open-file.ts';
import { prepareWatchers } from './watch.ts';
import type { Watchers } from './watch.ts';
import { prepareWrites } from './writes.ts';

export interface Gate {
  read<T>(run: () => T): Promise<T>;
  write<T>(part: () => T): Promise<T>;
  /** What may be taken back by a loss of power, and is not waited for. */
  writeAside<T>(part: () => T): Promise<T>;
  /** Parts of one call; each stands by itself. */
  writeAll<T>(parts: Array<() => T>): Promise<T[]>;
  /** Must come before the first claim. */
  join(): void;
  watch: Watchers['add'];
  close(): Promise<void>;
}

export interface GateOptions {
  path: string;
  lock: ProcessLock;
  watchMs: number;
}

export function createGate(file: OpenFile, { path, lock, watchMs }: GateOptions): Gate {
  const { db, clock } = file;
  const watchers = prepareWatchers(db, { clock, everyMs: watchMs });
  const takeHints = (): OpenFile['hints'] => file.hints.splice(0);
  const writes = prepareWrites(db, {
    clock,
    onBegin: () => file.fresh.clear(),
    beforeCommit: () => file.fresh.seal(file.hints),
    onCommit: () => watchers.tell(takeHints()),
    onRollback: () => {
      takeHints();
      file.fresh.clear();
    },
    translate: (error) => toStoreError(error, { doing: 'write to', path }),
  });
  // Not ?1: Node 22 takes numbered parameters for named ones.
  const freeLeases = db.prepare("UPDATE runs SET due_at = ? WHERE due_at > ? AND status = 'running'");
  const freeAll = (now: number): void => void freeLeases.run(now, now);
  let isClosed = false;
  const enter = (): void => {
    if (isClosed) throw closedError('SQLite');
  };
  return {
    async read(run) {
      enter();
      return translated(run, { doing: 'read from', path });
    },
    async write<T>(part: () => T) {
      enter();
      const [answer] = await writes.submit([part]);
      return answer as T;
    },
    async writeAside(part) {
      enter();
      return writes.putAside(part);
    },
    async writeAll(parts) {
      enter();
      return parts.length === 0 ? [] : writes.submit(parts);
    },
    join() {
      enter();
      translated(() => lock.join(() => freeAll(clock.now())), { doing: 'claim runs of', path });
    },
    watch: (listener) => {
      enter();
      return watchers.add(listener);
    },
    async close() {
      if (isClosed) return;
      writes.flush();
      isClosed = true;
      watchers.close();
      lock.close();
      translated(() => db.exec('PRAGMA wal_checkpoint(PASSIVE)'), { doing: 'close', path });
      db.close();
    },
  };
}

function translated<T>(run: () => T, at: { doing: string; path: string }): T {
  try {
    return run();
  } catch (error) {
    throw toStoreError(error, at);
  }
}
