/** What is asked of Upstash without its client: a subscription that notices its end and is opened again, and single commands. */

import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { Clock } from '../../runtime/clock.ts';
import type { Subscriber } from './connection.ts';
import type { Reply } from './script.ts';

export interface Access {
  url: string;
  token: string;
  clock: Clock;
}

const AGAIN_MS = 200;
const MOST_AGAIN_MS = 5_000;

/** A command whose answer is text or lists of it. */
export async function restCommand(
  { url, token }: Access,
  { command, signal }: { command: string[]; signal: AbortSignal },
): Promise<Reply> {
  const response = await fetch(url, { method: 'POST', headers: bearer(token), body: JSON.stringify(command), signal });
  const { result, error } = (await response.json()) as { result?: Reply; error?: string };
  if (error !== undefined) throw new Error(error);
  return result ?? null;
}

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
}

/** Server-sent events, one connection after the other; the answer ends them. */
export function subscribeByEvents(access: Access & { channel: string }, subscriber: Subscriber): () => void {
  const { clock } = access;
  const end = new AbortController();
  let failures = 0;
  let cancelAgain: (() => void) | undefined;
  const listen = async (): Promise<void> => {
    for await (const data of events(access, end.signal)) {
      failures = 0;
      if (data.startsWith('subscribe,')) subscriber.open();
      else if (data.startsWith('message,'))
        subscriber.message(data.slice('message,'.length + access.channel.length + 1));
    }
  };
  const start = (): void => {
    // However it ended: hints that are lost meanwhile have a poll behind them (S26).
    const again = (): void => {
      if (end.signal.aborted) return;
      subscriber.lost();
      cancelAgain = clock.schedule(start, Math.min(MOST_AGAIN_MS, AGAIN_MS * 2 ** failures));
      failures += 1;
    };
    listen().then(again, again);
  };
  start();
  return () => {
    end.abort();
    cancelAgain?.();
  };
}

async function* events(
  { url, token, channel }: Access & { channel: string },
  signal: AbortSignal,
): AsyncIterable<string> {
  const response = await fetch(`${url}/subscribe/${encodeURIComponent(channel)}`, {
    method: 'POST',
    headers: { ...bearer(token), accept: 'text/event-stream' },
    signal,
  });
  if (!response.ok || response.body === null) throw new Error(`The subscription was refused with ${response.status}.`);
  const parsed = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { data } of parsed) yield data;
}
