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

export interface Answer {
  answer: Reply;
  /** What the script changed. */
  hints: Hint[];
  /** What `answers` was when it came. */
  version: number;
}

export interface Gate {
  /** Runs a script, and tells watchers what it changed. */
  ask(script: Script, request: Request): Promise<Reply>;
  /** Runs a script; what it changed is the caller's to tell. */
  askQuietly(script: Script, request: Request): Promise<Answer>;
  tell(hints: Hint[]): void;
  /** Grows with each answer, and when the macrotask in which the last one came has ended. */
  answers(): number;
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
  const { connection, namespace, where } = options;
  const me = systemIds().nonce().slice(0, 12);
  const { run, answers } = prepareRun(options, me);
  const doorbell = createDoorbell({ connection, clock: options.clock, channel: `{${namespace}}:bell`, me });
  const pending = new Set<Promise<unknown>>();
  const ensureOpen = prepareOpen(options, run);
  let isClosed = false;

  const enter = (): void => {
    if (isClosed) throw closedError('Redis');
  };
  const translated = async (script: Script, request: Request): Promise<Answer> => {
    try {
      await ensureOpen();
      return await run(script, request);
    } catch (error) {
      throw toStoreError(error, { doing: `${script.name} in`, where });
    }
  };
  const askQuietly = async (...call: [Script, Request]): Promise<Answer> => {
    enter();
    const asked = translated(...call).finally(() => pending.delete(asked));
    pending.add(asked);
    return asked;
  };
  return {
    enter,
    async ask(script, request) {
      const { answer, hints } = await askQuietly(script, request);
      doorbell.tell(hints);
      return answer;
    },
    askQuietly,
    answers,
    tell: doorbell.tell,
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

/** `me`: tells this store's messages from those of others. */
function prepareRun(
  { connection, namespace, clock, dueClock }: GateOptions,
  me: string,
): { run: (script: Script, request: Request) => Promise<Answer>; answers: Gate['answers'] } {
  const key = `{${namespace}}:meta`;
  let answers = 0;
  return {
    answers: () => answers,
    async run(script, { text, payloads }) {
      const environment = JSON.stringify({ me, now: dueClock?.now(), text: connection.readsText });
      const reply = await connection.run({ script, key, texts: [environment, text], payloads });
      const [answer = null, hints = ''] = reply as Reply[];
      const version = (answers += 1);
      clock.defer(() => void (answers += 1));
      const told = toText(hints);
      return { answer, version, hints: told === '' ? [] : (JSON.parse(told) as Hint[]) };
    },
  };
}

type Run = ReturnType<typeof prepareRun>['run'];

/** Opens it before the first call, and again before the next one if that failed. */
function prepareOpen({ connection, namespace, where, opened }: GateOptions, run: Run): () => Promise<void> {
  let opening: Promise<void> | undefined;
  const open = async (): Promise<void> => {
    const settings = await readSettings(connection);
    checkEviction(settings.eviction, where);
    checkFormat((await run(OPEN, describeOpen())).answer, namespace);
    opened(settings);
  };
  return () =>
    (opening ??= open().catch((error: unknown) => {
      opening = undefined;
      throw error;
    }));
}
