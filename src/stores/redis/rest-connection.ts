/**
 * Upstash over REST. What is asked for in one turn of the event loop goes in one request, as far as the limit on its size lets it. The
 * client repeats what failed in the network, so each script is safe to repeat.
 */

import { isUnknownScript } from './connection.ts';
import type { Connection, ScriptCall } from './connection.ts';
import type { Reply } from './script.ts';
import { restCommand, subscribeByEvents } from './rest-access.ts';
import type { Access } from './rest-access.ts';
import type { RequestTimeouts } from './rest-timeouts.ts';
import { MAX_REQUEST_BYTES, sizeOf, staged } from './rest-staging.ts';

/** The methods that are used of `Redis` of @upstash/redis. */
export interface UpstashClient {
  pipeline(): UpstashPipeline;
}

interface UpstashPipeline {
  evalsha(sha: string, keys: string[], args: string[]): unknown;
  setrange(key: string, offset: number, value: string): unknown;
  pexpire(key: string, ms: number): unknown;
  scriptLoad(source: string): unknown;
  exec(options: { keepErrors: true }): Promise<Array<{ result?: unknown; error?: string }>>;
}

interface RestOptions {
  client: UpstashClient;
  timeouts: RequestTimeouts;
  access: Access;
}

interface Waiting {
  call: ScriptCall;
  args: string[];
  bytes: number;
  resolve(reply: Reply): void;
  reject(error: unknown): void;
}

export function restConnection({ client, timeouts, access }: RestOptions): Connection {
  let waiting: Waiting[] = [];

  const send = async (group: Waiting[]): Promise<void> => {
    try {
      const unknown = await timeouts.within(() => sendAll(client, group));
      if (unknown.length === 0) return;
      await timeouts.within(() => loadScripts(client, unknown));
      const still = await timeouts.within(() => sendAll(client, unknown));
      for (const one of still)
        one.reject(new Error('NOSCRIPT The server forgot a script that it had just been given.'));
    } catch (error) {
      for (const one of group) one.reject(error);
    }
  };
  const sendWaiting = (): void => {
    const all = waiting;
    waiting = [];
    for (const group of groupsOf(all)) void send(group);
  };
  const enqueue = (call: ScriptCall, args: string[]): Promise<Reply> =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) queueMicrotask(sendWaiting);
      waiting.push({ call, args, bytes: sizeOf(args), resolve, reject });
    });

  return {
    readsText: true,
    run: async (call) => enqueue(call, await staged(client, call)),
    command: (...command) => timeouts.within(() => restCommand(access, { command, signal: timeouts.signal() })),
    subscribe: (channel, subscriber) => subscribeByEvents({ ...access, channel }, subscriber),
    close: () => Promise.resolve(),
  };
}

/** As many at once as a request may hold. */
function* groupsOf(all: Waiting[]): Iterable<Waiting[]> {
  let group: Waiting[] = [];
  let bytes = 0;
  for (const one of all) {
    if (group.length > 0 && bytes + one.bytes > MAX_REQUEST_BYTES) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(one);
    bytes += one.bytes;
  }
  if (group.length > 0) yield group;
}

/** Answers those whose script the server did not know. */
async function sendAll(client: UpstashClient, group: Waiting[]): Promise<Waiting[]> {
  const pipeline = client.pipeline();
  for (const { call, args } of group) pipeline.evalsha(call.script.sha, [call.key], args);
  const answers = await pipeline.exec({ keepErrors: true });
  return group.filter((one, index) => {
    const { result, error } = answers[index] ?? { error: 'The server answered fewer commands than it got.' };
    if (error === undefined) one.resolve((result ?? null) as Reply);
    else if (isUnknownScript(error)) return true;
    else one.reject(new Error(error));
    return false;
  });
}

/** By itself: scripts beside what they are called with might be too much for one request. */
async function loadScripts(client: UpstashClient, unknown: Waiting[]): Promise<void> {
  const pipeline = client.pipeline();
  for (const source of new Set(unknown.map(({ call }) => call.script.source))) pipeline.scriptLoad(source);
  const failed = (await pipeline.exec({ keepErrors: true })).find(({ error }) => error !== undefined);
  if (failed !== undefined) throw new Error(failed.error);
}
