/** Lets calls through to Redis while the store is open: opened before the first, errors translated, watchers told. */

import type { Clock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import type { Hint } from '../../runtime/store.ts';
import { closedError } from '../rules.ts';
import type { Connection } from './connection.ts';
import { createDoorbell } from './doorbell.ts';
import type { Doorbell } from './doorbell.ts';
import { toStoreError } from './failure.ts';
import { checkEviction, checkFormat, describeOpen, OPEN, readSettings } from './opening.ts';
import type { ServerSettings } from './opening.ts';
import { toText } from './payloads.ts';
import type { Reply, Request, Script } from './script.ts';

export interface Gate {
  /** Runs a script; its answer, without the hints. */
  ask(script: Script, request: Request): Promise<Reply>;
  /** Throws if the store is closed. */
  enter(): void;
  saw: Doorbell['saw'];
  /** Watchers hear what others change. */
  hears(): boolean;
  watch(listener: (hint: Hint) => void): () => void;
  close(): Promise<void>;
}

export interface GateOptions {
  connection: Connection;
  namespace: string;
  /** For errors: no secrets. */
  where: string;
  /** The platform's, for timers. */
  clock: Clock;
  /** Of due times; the server's where there is none. */
  dueClock: Clock | undefined;
  opened: (settings: ServerSettings) => void;
}

export function createGate(options: GateOptions): Gate {
  const { connection, namespace, where, dueClock } = options;
  const me = systemIds().nonce().slice(0, 12);
  const key = `{${namespace}}:meta`;
  const doorbell = createDoorbell({ connection, clock: options.clock, channel: `{${namespace}}:bell`, me });
  const pending = new Set<Promise<unknown>>();
  let opening: Promise<void> | undefined;
  let isClosed = false;

  const enter = (): void => {
    if (isClosed) throw closedError('Redis');
  };
  const run = async (script: Script, { text, payloads }: Request): Promise<Reply> => {
    const environment = JSON.stringify({ me, now: dueClock?.now(), text: connection.readsText });
    const reply = await connection.run({ script, key, texts: [environment, text], payloads });
    const [answer = null, hints = ''] = reply as Reply[];
    doorbell.tell(toText(hints));
    return answer;
  };
  const open = async (): Promise<void> => {
    const settings = await readSettings(connection);
    checkEviction(settings.eviction, where);
    checkFormat(await run(OPEN, describeOpen()), namespace);
    options.opened(settings);
  };
  const ensureOpen = (): Promise<void> =>
    (opening ??= open().catch((error: unknown) => {
      opening = undefined;
      throw error;
    }));
  const translated = async (script: Script, request: Request): Promise<Reply> => {
    try {
      await ensureOpen();
      return await run(script, request);
    } catch (error) {
      throw toStoreError(error, { doing: `${script.name} in`, where });
    }
  };
  return {
    enter,
    async ask(script, request) {
      enter();
      const asked = translated(script, request);
      pending.add(asked);
      return asked.finally(() => pending.delete(asked));
    },
    saw: doorbell.saw,
    hears: () => doorbell.hears,
    watch(listener) {
      enter();
      return doorbell.watch(listener);
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      doorbell.close();
      await Promise.allSettled(pending);
      await connection.close();
    },
  };
}
