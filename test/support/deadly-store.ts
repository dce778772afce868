/** A store whose process kills itself at a chosen write: what a power cut or the kernel does, at a place that a test can name. */
import { appendFileSync } from 'node:fs';
import { decodeEvent } from '../../src/runtime/event.ts';
import type { Commit, Store } from '../../src/runtime/store.ts';

/**
 * One write: the first that holds what `at` names once `since` was written, or the `flush`-th after `since` that holds chunks alone (the
 * next that records something, if that comes sooner).
 */
export interface Death {
  when: 'before' | 'after';
  since?: string;
  at?: string;
  flush?: number;
  /** Instead of all that: simply the n-th write. */
  nth?: number;
}

/**
 * Writes are starts, deliveries, and commits but for mere heartbeats. Each is told to `log`, one line, before it is applied. At its death the
 * process gets SIGKILL: before the write reaches the file, or after its COMMIT and before the runtime hears of it.
 */
export function deadlyStore(inner: Store, { death, log }: { death: Death | undefined; log: string }): Store {
  const isLast = death === undefined ? () => false : lookOut(death);
  const pass = async <T>(parts: string[], write: () => Promise<T>): Promise<T> => {
    const last = isLast(parts);
    appendFileSync(log, `${last ? '! ' : ''}${parts.join(', ')}\n`);
    if (last && death?.when === 'before') die();
    const answer = await write();
    if (last) die();
    return answer;
  };
  return {
    ...inner,
    start: (runs, claim) => pass(['start'], () => inner.start(runs, claim)),
    deliver: (messages, claim) => pass(['deliver'], () => inner.deliver(messages, claim)),
    commit: (batch) => {
      const parts = batch.flatMap(partsOf);
      return parts.length === 0 ? inner.commit(batch) : pass(parts, () => inner.commit(batch));
    },
  };
}

function lookOut({ since, at, flush = 0, nth }: Death): (parts: string[]) => boolean {
  let writes = 0;
  if (nth !== undefined) return () => (writes += 1) === nth;
  let isNear = since === undefined;
  let flushes = 0;
  return (parts) => {
    const wasNear = isNear;
    isNear ||= since !== undefined && parts.includes(since);
    // What usually are two writes may be one.
    if (at !== undefined) return isNear && parts.includes(at);
    return wasNear && (parts.some((part) => part !== 'chunks') || (flushes += 1) === flush);
  };
}

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  // The signal is not delivered in the very instruction.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  throw new Error('unreachable');
}

/** What it writes, without random ids: `turn_completed agent#0/t0`, `chunks`, `wait`. Empty for a heartbeat. */
function partsOf(commit: Commit): string[] {
  const events = commit.events.map((payload) => {
    const { type, key } = decodeEvent(payload);
    return `${type} ${key}`
      .trim()
      .replaceAll(/tk_[0-9a-f]{8}/g, 'tk')
      .replaceAll(/apr_[0-9a-f]{32}/g, 'apr');
  });
  return [
    ...events,
    ...(commit.then.kind === 'run' ? [] : [commit.then.kind]),
    ...(commit.chunks.length > 0 ? ['chunks'] : []),
  ];
}
