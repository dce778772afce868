/** Redis over TCP, by a client of the shape of ioredis: one connection for all calls, another for the subscription. */

import { Buffer } from 'node:buffer';
import type { Clock } from '../../runtime/clock.ts';
import { isUnknownScript } from './connection.ts';
import type { Connection, ScriptCall, Subscriber } from './connection.ts';
import { toMarkedBytes } from './payloads.ts';
import type { Reply } from './script.ts';

/** The methods that are used of a client; `Redis` and `Cluster` of ioredis have them. */
export interface RedisClient {
  callBuffer(command: string, ...args: Array<string | Buffer>): Promise<unknown>;
  /** Another connection with the same settings. */
  duplicate(): RedisClient;
  subscribe(channel: string): Promise<unknown>;
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  /** "wait" for one that connects with its first command. */
  status?: string;
  connect?(): Promise<unknown>;
  readonly options?: { keyPrefix?: string | undefined; autoResubscribe?: boolean | undefined };
  quit(): Promise<unknown>;
  disconnect(): void;
}

interface TcpOptions {
  /** Ends the client with the store. */
  isOwn: boolean;
  clock: Clock;
}

/** A little longer than a dead connection lives: over the next one its calls may still be answered. */
const ANSWER_MS = 6_000;

export function tcpConnection(open: () => Promise<RedisClient>, { isOwn, clock }: TcpOptions): Connection {
  let opened: Promise<RedisClient> | undefined;
  /** Why it has no connection; a call is only told that there is none. */
  let trouble: unknown;
  const openOnce = async (): Promise<RedisClient> => {
    const made = await open();
    if (!isOwn) return made;
    made.on('error', (error) => void (trouble = error));
    made.on('ready', () => void (trouble = undefined));
    return made;
  };
  const client = (): Promise<RedisClient> => (opened ??= openOnce());
  const call = async (name: string, ...args: Array<string | Buffer>): Promise<Reply> => {
    try {
      const used = await client();
      // The client keeps what it has sent for as long as it finds nobody to send it to again.
      return (await inTime(clock, used.callBuffer(name, ...args))) as Reply;
    } catch (error) {
      throw error instanceof Error && error.name === 'MaxRetriesPerRequestError' ? (trouble ?? error) : error;
    }
  };
  const evaluate = (command: 'EVALSHA' | 'EVAL', asked: ScriptCall): Promise<Reply> => {
    const { script, key, texts, payloads } = asked;
    const which = command === 'EVALSHA' ? script.sha : script.source;
    const marked = payloads.map((payload) => Buffer.from(toMarkedBytes(payload).buffer));
    return call(command, which, '1', key, ...texts, ...marked);
  };
  return {
    readsText: false,
    async run(asked) {
      try {
        return await evaluate('EVALSHA', asked);
      } catch (error) {
        if (!(error instanceof Error) || !isUnknownScript(error.message)) throw error;
        return evaluate('EVAL', asked);
      }
    },
    command: call,
    subscribe: (channel, subscriber) => subscribeOver(client, { channel, subscriber }),
    async close() {
      if (!isOwn || opened === undefined) return;
      const used = await opened.catch(() => null);
      if (used !== null) await inTime(clock, used.quit()).catch(() => used.disconnect());
    },
  };
}

/** Over a connection of its own. */
function subscribeOver(
  client: () => Promise<RedisClient>,
  { channel, subscriber }: { channel: string; subscriber: Subscriber },
): () => void {
  let used: RedisClient | undefined;
  let isOver = false;
  const start = async (): Promise<void> => {
    const made = (await client()).duplicate();
    if (isOver) return made.disconnect();
    used = made;
    // It would subscribe again by itself as well, and nobody waits for that: a failure of it would end the process.
    if (made.options !== undefined) made.options.autoResubscribe = false;
    // It stands before the keys of scripts, and so before what they publish on.
    const prefix = made.options?.keyPrefix ?? '';
    made.on('message', (_, text) => subscriber.message(String(text)));
    made.on('ready', () => void made.subscribe(prefix + channel).then(() => subscriber.open(), ignored));
    made.on('close', () => subscriber.lost());
    made.on('error', ignored);
    if (made.status === 'wait') await made.connect?.();
  };
  void start().catch(ignored);
  return () => {
    isOver = true;
    used?.disconnect();
  };
}

function inTime<T>(clock: Clock, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new Error(`There was no answer within ${ANSWER_MS} ms.`));
    const cancel = clock.schedule(late, ANSWER_MS);
    answer.then(resolve, reject).finally(cancel);
  });
}

/** A hint that is lost has a poll behind it (S26), and a connection that fails is opened again by its client. */
function ignored(): void {}
