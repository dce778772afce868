/**
 * What many open streams want to know of one run or thread, read once for all of them.
 *
 *  B1 A state that somebody gets was read after the last hint that had come when they asked, and after they opened it: each hint
 *     begins a new version, and what others read before is not for a newcomer.
 *  B2 Hints may be lost: while somebody waits, a poll begins a new version every second.
 *  B3 A state is kept while it is open; hints are taken while any is.
 */

import type { Clock } from '../runtime/clock.ts';
import type { Hint } from '../runtime/store.ts';

export interface SharedState<T> {
  readonly version: number;
  read(): Promise<T>;
  /** Calls `changed` at each new version, until the answer is called. */
  onChange(changed: () => void): () => void;
  release(): void;
}

export interface SharedStates<KEY, T> {
  /** Each call needs one `release`. */
  open(key: KEY): SharedState<T>;
}

export interface SharedStatesOptions<KEY, T> {
  clock: Clock;
  watch(listener: (hint: Hint) => void): () => void;
  nameOf(key: KEY): string;
  load(key: KEY): Promise<T>;
  concerns(hint: Hint, key: KEY): boolean;
}

const POLL_MS = 1_000;

interface Entry<KEY, T> {
  key: KEY;
  version: number;
  loaded: Promise<T> | undefined;
  listeners: Set<() => void>;
  users: number;
  cancelPoll: (() => void) | undefined;
}

export function createSharedStates<KEY, T>(options: SharedStatesOptions<KEY, T>): SharedStates<KEY, T> {
  const entries = new Map<string, Entry<KEY, T>>();
  let unwatch: (() => void) | undefined;

  const onHint = (hint: Hint): void => {
    for (const entry of entries.values()) if (hint.kind === 'any' || options.concerns(hint, entry.key)) bump(entry);
  };

  const entryOf = (key: KEY): Entry<KEY, T> => {
    const name = options.nameOf(key);
    const known = entries.get(name);
    if (known !== undefined) return known;
    const created = newEntry<KEY, T>(key);
    entries.set(name, created);
    poll(created, options.clock);
    return created;
  };

  const drop = (entry: Entry<KEY, T>): void => {
    entry.cancelPoll?.();
    entries.delete(options.nameOf(entry.key));
    if (entries.size > 0) return;
    unwatch?.();
    unwatch = undefined;
  };

  return {
    open(key) {
      const entry = entryOf(key);
      entry.users += 1;
      entry.loaded = undefined; // B1
      unwatch ??= options.watch(onHint);
      return toState(entry, { load: options.load, drop });
    },
  };
}

function newEntry<KEY, T>(key: KEY): Entry<KEY, T> {
  return { key, version: 0, loaded: undefined, listeners: new Set(), users: 0, cancelPoll: undefined };
}

function bump<KEY, T>(entry: Entry<KEY, T>): void {
  entry.version += 1;
  entry.loaded = undefined;
  for (const listener of entry.listeners) listener();
}

function poll<KEY, T>(entry: Entry<KEY, T>, clock: Clock): void {
  entry.cancelPoll = clock.schedule(() => {
    bump(entry);
    poll(entry, clock);
  }, POLL_MS);
}

function toState<KEY, T>(
  entry: Entry<KEY, T>,
  { load, drop }: { load: (key: KEY) => Promise<T>; drop: (entry: Entry<KEY, T>) => void },
): SharedState<T> {
  let isOpen = true;
  return {
    get version() {
      return entry.version;
    },
    read() {
      const loaded = (entry.loaded ??= load(entry.key));
      // Whoever reads gets the error; the next one reads again.
      loaded.catch(() => {
        if (entry.loaded === loaded) entry.loaded = undefined;
      });
      return loaded;
    },
    onChange(changed) {
      entry.listeners.add(changed);
      return () => entry.listeners.delete(changed);
    },
    release() {
      if (!isOpen) return;
      isOpen = false;
      entry.users -= 1;
      if (entry.users === 0) drop(entry);
    },
  };
}
