/**
 * Telling watchers what changed. Each script publishes its hints on one channel of the namespace and answers them, too: what this store
 * changed its watchers hear at once, what others changed through the subscription.
 *
 *  D1 A store hears itself through the subscription. What it does not hear back within ECHO_MS, and what a read finds that no hint told
 *     of, show that the subscription is deaf: it is opened again.
 *  D2 Whenever the subscription begins, watchers are told that anything may have changed.
 */

import type { Clock } from '../../runtime/clock.ts';
import type { Hint } from '../../runtime/store.ts';
import type { Connection } from './connection.ts';

export interface Doorbell {
  watch(listener: (hint: Hint) => void): () => void;
  /** What a script of this store changed. */
  tell(hints: string): void;
  /** How far a stream is, as a read found it. */
  saw(run: string, at: { stream: string; tail: number }): void;
  close(): void;
}

const ECHO_MS = 2_000;
/** A hint may come after the read that found what it tells of. */
const LATE_MS = 500;
/** Streams whose tails are remembered. */
const MOST_TAILS = 512;

interface DoorbellOptions {
  connection: Connection;
  clock: Clock;
  channel: string;
  /** Tells this store's messages from those of others. */
  me: string;
}

export function createDoorbell({ connection, clock, channel, me }: DoorbellOptions): Doorbell {
  const listeners = new Set<(hint: Hint) => void>();
  const tails = new Map<string, { tail: number; isTold: boolean }>();
  let unsubscribe: (() => void) | undefined;
  let cancelEcho: (() => void) | undefined;
  let isOpen = false;

  const ring = (hints: Hint[]): void => {
    for (const hint of hints) {
      if (hint.kind !== 'stream') continue;
      const known = tails.get(keyOf(hint.run, hint.stream));
      if (known !== undefined) known.isTold = true;
    }
    queueMicrotask(() => {
      for (const hint of hints) for (const listener of listeners) listener(hint);
    });
  };
  const heard = (text: string): void => {
    if (!text.startsWith(me)) return ring(JSON.parse(text.slice(me.length)) as Hint[]);
    cancelEcho?.();
    cancelEcho = undefined;
  };
  const subscribe = (): void => {
    isOpen = false;
    cancelEcho?.();
    cancelEcho = undefined;
    unsubscribe?.();
    unsubscribe = connection.subscribe(channel, {
      message: heard,
      open: () => {
        isOpen = true;
        ring([{ kind: 'any' }]);
      },
    });
  };
  const stop = (): void => {
    unsubscribe?.();
    unsubscribe = undefined;
    cancelEcho?.();
    cancelEcho = undefined;
    tails.clear();
  };

  return {
    watch(listener) {
      listeners.add(listener);
      if (unsubscribe === undefined) subscribe();
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) stop();
      };
    },
    tell(hints) {
      if (unsubscribe === undefined || hints === '') return;
      // D1
      if (isOpen) cancelEcho ??= clock.schedule(subscribe, ECHO_MS);
      ring(JSON.parse(hints) as Hint[]);
    },
    saw(run, { stream, tail }) {
      if (unsubscribe === undefined || !isOpen) return;
      const key = keyOf(run, stream);
      const before = tails.get(key);
      const entry = { tail, isTold: false };
      if (tails.size >= MOST_TAILS && before === undefined) tails.clear();
      tails.set(key, entry);
      if (before === undefined || before.isTold || before.tail >= tail) return;
      // D1
      clock.schedule(() => {
        if (!before.isTold && !entry.isTold && unsubscribe !== undefined) subscribe();
      }, LATE_MS);
    },
    close() {
      listeners.clear();
      stop();
    },
  };
}

function keyOf(run: string, stream: string): string {
  return JSON.stringify([run, stream]);
}
