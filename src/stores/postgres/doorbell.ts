/**
 * Telling watchers what changed: at once what this store wrote, and through LISTEN and NOTIFY what other processes wrote.
 *
 *  N1 A NOTIFY goes out after the transaction that it tells of, in a statement of its own: one within would make the commits of all
 *     processes wait for each other. What gathers while one is under way goes with the next.
 *  N2 A connection listens as long as somebody watches, and a while longer. It is made again when it is lost, and looked at while it is silent. What was missed is one general hint.
 *  N3 While nothing is heard, or nobody may listen, watchers are told whenever any transaction wrote something, found by a poll.
 */

import type { Clock } from '../../runtime/clock.ts';
import type { Hint } from '../../runtime/store.ts';
import { createLingering } from '../lingering.ts';
import { attend } from './client.ts';
import type { PostgresSession } from './client.ts';
import { fromJson, toJson } from './payloads.ts';
import { toHint } from './rows.ts';
import type { JsonRow } from './rows.ts';

export interface Doorbell {
  tell(hints: Hint[]): void;
  watch(listener: (hint: Hint) => void): () => void;
  /** Resolves when all that was told has gone out, or is lost. */
  settled(): Promise<void>;
  close(): void;
}

export interface DoorbellOptions {
  clock: Clock;
  channel: string;
  /** Tells this store's own notifications from those of others. */
  origin: string;
  /** A connection that can listen; null where there is none. */
  connect: (() => Promise<PostgresSession>) | null;
  /** One statement, on any connection. Answers the first column of its first row. */
  ask: (name: string, sql: string, values: unknown[]) => Promise<string | null>;
  pollMs: number;
  /** Said once: the connection listens, and hears nothing. */
  warn: (message: string) => void;
}

/** It is a transaction that writes; its commit need not wait for the disk, as no notification outlives the server. */
const NOTIFY = "SELECT pg_notify($1, $2), set_config('synchronous_commit', 'off', true)";
/** Postgres takes less than 8,000 bytes. */
const MOST_BYTES = 7_900;
const RETRY_MS = { first: 100, most: 5_000 };
/** A silent connection is looked at this often; so long may it take to answer. */
const PROBE_MS = 15_000;
const ANSWER_MS = 5_000;

export function createDoorbell(options: DoorbellOptions): Doorbell {
  const listeners = new Set<(hint: Hint) => void>();
  const tellAll = (hints: Hint[]): void => {
    for (const hint of hints) for (const listener of listeners) listener(hint);
  };
  const sender = createSender(options);
  const ear = createEar(options, tellAll);
  const listening = createLingering({ ...ear, clock: options.clock });
  return {
    tell(hints) {
      if (hints.length === 0) return;
      sender.send(hints);
      // Not from within a call: a listener may fail, or ask for the next one.
      if (listeners.size > 0) queueMicrotask(() => tellAll(hints));
    },
    watch(listener) {
      listeners.add(listener);
      if (listeners.size === 1) listening.enter();
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) listening.leave();
      };
    },
    settled: sender.settled,
    close() {
      listeners.clear();
      listening.end();
    },
  };
}

/** N1 */
function createSender({ channel, origin, ask }: DoorbellOptions): {
  send(hints: Hint[]): void;
  settled(): Promise<void>;
} {
  let waiting = new Map<string, Hint>();
  let isLost = false;
  let sending: Promise<void> | null = null;
  const sendAll = async (): Promise<void> => {
    while (waiting.size > 0) {
      const hints = isLost ? [{ kind: 'any' as const }] : [...waiting.values()];
      waiting = new Map();
      // Hints may be lost; the next one that gets through is general, and behind all is a poll.
      isLost = await ask('notify', NOTIFY, [channel, message(origin, hints)]).then(
        () => false,
        () => true,
      );
    }
    sending = null;
  };
  return {
    send(hints) {
      for (const hint of hints) waiting.set(JSON.stringify(hint), hint);
      sending ??= sendAll();
    },
    settled: async () => void (await sending),
  };
}

function message(origin: string, hints: Hint[]): string {
  const json = toJson({ origin, hints });
  return Buffer.byteLength(json) <= MOST_BYTES ? json : toJson({ origin, hints: [{ kind: 'any' }] });
}

/** Whoever may connect may ring, as may a later release: what is not understood says that something may have changed. */
function heardHints(payload: string): { origin: string | null; hints: Hint[] } {
  try {
    const { origin, hints } = fromJson(payload) as { origin: string; hints: JsonRow[] };
    return { origin, hints: hints.map((hint) => toHint(hint) ?? { kind: 'any' }) };
  } catch {
    return { origin: null, hints: [{ kind: 'any' }] };
  }
}

/** N2, N3 */
function createEar(options: DoorbellOptions, tell: (hints: Hint[]) => void): { open(): void; close(): void } {
  const poll = createPoll(options, tell);
  let current: Listening | null = null;
  return {
    open() {
      poll.start();
      if (options.connect === null) return;
      current = new Listening(options, {
        tell,
        heard: () => poll.stop(),
        deaf: () => poll.start(),
      });
    },
    close() {
      poll.stop();
      current?.close();
      current = null;
    },
  };
}

interface Ears {
  tell: (hints: Hint[]) => void;
  heard: () => void;
  deaf: () => void;
}

/** One connection after the other, until it is closed. */
class Listening {
  readonly #options: DoorbellOptions;
  readonly #ears: Ears;
  #session: PostgresSession | null = null;
  #failures = 0;
  #isClosed = false;
  #hasHeard = false;
  #cancel: () => void = () => undefined;

  constructor(options: DoorbellOptions, ears: Ears) {
    this.#options = options;
    this.#ears = ears;
    void this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
    this.#drop();
  }

  async #connect(): Promise<void> {
    const { channel, connect } = this.#options;
    try {
      const session = await connect?.();
      if (session === undefined) return;
      if (this.#isClosed) {
        session.release(true);
        return;
      }
      this.#session = session;
      attend(session, {
        notified: (payload) => session === this.#session && this.#hear(payload),
        lost: () => this.#lost(session),
      });
      await session.query({ text: `LISTEN "${channel}"`, values: [] });
      this.#probe();
    } catch {
      // Whatever it was, the next calls of the store meet it too and say so; here it is tried again.
      this.#lost(this.#session);
    }
  }

  #hear(payload: string): void {
    const { origin, hints } = heardHints(payload);
    if (!this.#hasHeard) {
      this.#hasHeard = true;
      this.#failures = 0;
      this.#ears.heard();
      // Between two connections something may have been missed.
      this.#ears.tell([{ kind: 'any' }]);
    }
    this.#cancel();
    this.#cancel = this.#options.clock.schedule(() => this.#probe(), PROBE_MS);
    if (origin !== this.#options.origin) this.#ears.tell(hints);
  }

  /** Rings itself: only what is heard shows that a connection listens. */
  #probe(): void {
    const { ask, channel, clock, origin, warn } = this.#options;
    const session = this.#session;
    let rang = false;
    this.#cancel = clock.schedule(() => {
      if (rang && !this.#hasHeard) {
        warn(
          'The connection for LISTEN hears nothing; what other processes write is found by a poll. Behind PgBouncer in transaction mode, ' +
            'give `listen` a connection string that leads to Postgres itself, or `false`.',
        );
      }
      this.#lost(session);
    }, ANSWER_MS);
    ask('notify', NOTIFY, [channel, message(origin, [])]).then(
      () => (rang = true),
      () => undefined,
    );
  }

  #lost(session: PostgresSession | null): void {
    if (this.#isClosed || session !== this.#session) return;
    this.#drop();
    this.#hasHeard = false;
    this.#ears.deaf();
    this.#cancel();
    const delay = Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** this.#failures);
    this.#failures += 1;
    this.#cancel = this.#options.clock.schedule(() => void this.#connect(), delay);
  }

  #drop(): void {
    const session = this.#session;
    this.#session = null;
    session?.release(true);
  }
}

/** Changes whenever a transaction that wrote has ended. */
const LATEST = 'SELECT pg_current_snapshot()::text AS latest';

/** N3 */
function createPoll(
  { clock, ask, pollMs }: DoorbellOptions,
  tell: (hints: Hint[]) => void,
): { start(): void; stop(): void } {
  let cancel: (() => void) | null = null;
  let known: string | null = null;
  let turn = 0;
  const arm = (mine: number): void => {
    cancel = clock.schedule(() => {
      void ask('latest', LATEST, [])
        .catch(() => null)
        .then((latest) => {
          if (turn !== mine) return;
          const isChanged = latest !== known;
          known = latest;
          arm(mine);
          if (isChanged) tell([{ kind: 'any' }]);
        });
    }, pollMs);
  };
  return {
    start() {
      if (cancel !== null) return;
      turn += 1;
      arm(turn);
    },
    stop() {
      cancel?.();
      cancel = null;
      turn += 1;
    },
  };
}
