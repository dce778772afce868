/**
 * Telling watchers what changed. Each script publishes its hints on one channel of the namespace and answers them, too: what this store
 * changed its watchers hear at once, what others changed through the subscription.
 *
 *  D1 A store hears itself through the subscription. What it does not hear back within ECHO_MS, and what a read finds that no hint told
 *     of, show that the subscription is deaf: it is opened again.
 *  D2 It stands as long as somebody watches, and a while longer. Whenever it begins, watchers are told that anything may have changed.
 */

import type { Clock } from '../../runtime/clock.ts';
import type { Hint } from '../../runtime/store.ts';
import { createLingering } from '../lingering.ts';
import type { Connection } from './connection.ts';
import { ToldTails } from './told-tails.ts';

export interface Doorbell {
  /** Watchers hear what others change. */
  readonly hears: boolean;
  watch(listener: (hint: Hint) => void): () => void;
  /** What a script of this store changed. */
  tell(hints: Hint[]): void;
  /** How far a stream is, as a read found it. */
  saw(run: string, at: { stream: string; tail: number }): void;
  close(): void;
}

const ECHO_MS = 2_000;

interface DoorbellOptions {
  connection: Connection;
  clock: Clock;
  channel: string;
  /** Tells this store's messages from those of others. */
  me: string;
}

export function createDoorbell(options: DoorbellOptions): Doorbell {
  const listeners = new Set<(hint: Hint) => void>();
  const tails = new ToldTails(options.clock);
  const ring = (hints: Hint[]): void => {
    for (const hint of hints) if (hint.kind === 'stream') tails.told(hint);
    queueMicrotask(() => {
      for (const hint of hints) for (const listener of listeners) listener(hint);
    });
  };
  const line = openLine(options, ring);
  const listening = createLingering({ open: line.start, close: line.stop, clock: options.clock });
  return {
    get hears() {
      return line.hears;
    },
    watch(listener) {
      listeners.add(listener);
      if (listeners.size === 1) listening.enter();
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) listening.leave();
      };
    },
    tell(hints) {
      if (hints.length === 0) return;
      line.expectEcho();
      ring(hints);
    },
    saw(run, { stream, tail }) {
      // D1
      if (line.hears) tails.saw({ run, stream, tail }, () => line.restart());
    },
    close() {
      listeners.clear();
      listening.end();
    },
  };
}

interface Line {
  /** From the moment when it was opened on, until it is lost. */
  readonly hears: boolean;
  start(): void;
  stop(): void;
  /** Does nothing if it has been stopped. */
  restart(): void;
  expectEcho(): void;
}

/** The subscription, as often as it has to be opened. */
function openLine({ connection, clock, channel, me }: DoorbellOptions, ring: (hints: Hint[]) => void): Line {
  let unsubscribe: (() => void) | undefined;
  let cancelEcho: (() => void) | undefined;
  let hears = false;
  const heard = (text: string): void => {
    if (text.startsWith(me)) forgetEcho();
    else ring(toHints(text.slice(me.length)));
  };
  const forgetEcho = (): void => {
    cancelEcho?.();
    cancelEcho = undefined;
  };
  const stop = (): void => {
    unsubscribe?.();
    unsubscribe = undefined;
    hears = false;
    forgetEcho();
  };
  const open = (): void => {
    stop();
    unsubscribe = connection.subscribe(channel, {
      message: heard,
      open() {
        hears = true;
        // D2
        ring([{ kind: 'any' }]);
      },
      lost() {
        hears = false;
        forgetEcho();
      },
    });
  };
  return {
    get hears() {
      return hears;
    },
    start() {
      if (unsubscribe === undefined) open();
    },
    stop,
    restart() {
      if (unsubscribe !== undefined) open();
    },
    expectEcho() {
      // D1
      if (hears) cancelEcho ??= clock.schedule(open, ECHO_MS);
    },
  };
}

/** What is no list of hints, of a newer release or of somebody else, says only that something was said. */
function toHints(text: string): Hint[] {
  try {
    const hints: unknown = JSON.parse(text);
    if (Array.isArray(hints)) return hints as Hint[];
  } catch {
    // Below.
  }
  return [{ kind: 'any' }];
}
