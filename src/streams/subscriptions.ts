/**
 * Local readers of one stream share one subscription: one watch of the store for the process, one poll per stream, and one
 * read per page however many readers stand at the same offset.
 *
 *  B1 A page that a reader gets was read after the last hint that the topic had when the reader asked: each hint begins a
 *     new version, and pages are shared within a version only.
 *  B2 Hints may be lost (S26): while a reader waits, a poll begins a new version every second; where looks cost money, ever more rarely
 *     while nothing comes, up to the store's `idlePollMs`.
 *  B3 A topic lives while it has readers; the store is watched while there are topics.
 */

import type { Clock } from '../runtime/clock.ts';
import type { Hint, Store, StreamPage } from '../runtime/store.ts';

/** What a reader needs of a store. */
export type StreamStore = Pick<Store, 'read' | 'watch' | 'capabilities'>;

export interface Topic {
  /** Grows whenever the stream may have changed. */
  readonly version: number;
  /** The page at an offset; null if there is no such run. */
  read(from: number): Promise<StreamPage | null>;
  /** Calls `wake` once, at the next version or, if it has passed already, at once; the answer takes the call back. */
  onChange(version: number, wake: () => void): () => void;
  release(): void;
}

export interface Subscriptions {
  /** The shared topic of a stream. Each call needs one `release`. */
  open(run: string, stream: string): Topic;
}

export const PAGE_BYTES = 65_536;
const POLL_MS = 1000;
/** Without hints the poll is all there is. */
const POLL_WITHOUT_HINTS_MS = 50;
/** Pages kept for other readers: those at the tail need one, replays at different offsets a few. */
const SHARED_PAGES = 16;

interface SharedTopic extends Omit<Topic, 'release'> {
  bump(): void;
  stop(): void;
  readers: number;
}

export function createSubscriptions(options: { store: StreamStore; clock: Clock }): Subscriptions {
  const { store, clock } = options;
  const runs = new Map<string, Map<string, SharedTopic>>();
  let unwatch: (() => void) | undefined;

  const onHint = (hint: Hint): void => {
    if (hint.kind === 'stream') runs.get(hint.run)?.get(hint.stream)?.bump();
    else if (hint.kind === 'run') bumpAll(runs.get(hint.run)); // the end of a run closes its streams
    else if (hint.kind === 'any') for (const topics of runs.values()) bumpAll(topics);
  };

  const drop = (run: string, stream: string): void => {
    const topics = runs.get(run);
    topics?.get(stream)?.stop();
    topics?.delete(stream);
    if (topics?.size === 0) runs.delete(run);
    if (runs.size > 0) return;
    unwatch?.();
    unwatch = undefined;
  };

  const topicOf = (run: string, stream: string): SharedTopic => {
    const topics = runs.get(run) ?? new Map<string, SharedTopic>();
    runs.set(run, topics);
    const known = topics.get(stream);
    if (known !== undefined) return known;
    const created = createTopic({
      clock,
      pollMs: store.watch === undefined ? POLL_WITHOUT_HINTS_MS : POLL_MS,
      idlePollMs: () => store.capabilities.idlePollMs ?? 0,
      read: (from) => store.read(run, stream, { from, maxBytes: PAGE_BYTES }),
    });
    topics.set(stream, created);
    return created;
  };

  return {
    open(run, stream) {
      unwatch ??= store.watch?.(onHint);
      const shared = topicOf(run, stream);
      shared.readers += 1;
      let isOpen = true;
      return {
        get version() {
          return shared.version;
        },
        read: shared.read,
        onChange: shared.onChange,
        release() {
          if (!isOpen) return;
          isOpen = false;
          shared.readers -= 1;
          if (shared.readers === 0) drop(run, stream);
        },
      };
    },
  };
}

function bumpAll(topics: Map<string, SharedTopic> | undefined): void {
  for (const topic of topics?.values() ?? []) topic.bump();
}

interface TopicOptions {
  clock: Clock;
  pollMs: number;
  /** So long at most between two polls that find nothing; it may change. */
  idlePollMs: () => number;
  read: (from: number) => Promise<StreamPage | null>;
}

function createTopic({ clock, pollMs, idlePollMs, read }: TopicOptions): SharedTopic {
  const waiting = new Set<() => void>();
  const pages = createSharedPages(read, () => (pause = pollMs));
  let version = 0;
  let pause = pollMs;
  let cancelPoll: (() => void) | undefined;

  const stop = (): void => {
    cancelPoll?.();
    cancelPoll = undefined;
  };

  const begin = (): void => {
    version += 1;
    pages.clear();
    const woken = [...waiting];
    waiting.clear();
    for (const wake of woken) wake();
    if (waiting.size === 0) stop();
  };

  const bump = (): void => {
    pause = pollMs;
    begin();
  };

  const poll = (): void => {
    cancelPoll = undefined;
    pause *= 2;
    begin();
  };

  return {
    readers: 0,
    get version() {
      return version;
    },
    bump,
    stop,
    read: pages.read,
    onChange(seen, wake) {
      if (seen !== version) {
        wake();
        return () => {};
      }
      waiting.add(wake);
      pause = Math.max(pollMs, Math.min(pause, idlePollMs()));
      cancelPoll ??= clock.schedule(poll, pause);
      return () => {
        waiting.delete(wake);
        if (waiting.size === 0) stop();
      };
    },
  };
}

interface SharedPages {
  read: TopicOptions['read'];
  clear: () => void;
}

/** Readers at the same place share what is read there. */
function createSharedPages(read: TopicOptions['read'], onChunks: () => void): SharedPages {
  const pages = new Map<number, Promise<StreamPage | null>>();
  const readShared = (from: number): Promise<StreamPage | null> => {
    const shared = pages.get(from);
    if (shared !== undefined) return shared;
    if (pages.size >= SHARED_PAGES) pages.clear();
    const page = read(from);
    pages.set(from, page);
    page.then(
      (found) => {
        if (found !== null && found.chunks.length > 0) onChunks();
      },
      () => pages.delete(from), // the readers get the error; the next one reads again
    );
    return page;
  };
  return { read: readShared, clear: () => pages.clear() };
}
