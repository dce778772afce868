/** Any event stream of the server, read outside of a chat: in browsers, workers and servers. */

import { BYTES_EVENT, decodePosition, encodeOffset, NEXT_OFFSET_HEADER, RUN_ID_HEADER } from '../streams/wire.ts';
import { createAgentApi } from './agent-api.ts';
import type { AgentApiOptions } from './agent-api.ts';

export interface ReadStreamOptions extends Omit<AgentApiOptions, 'api'> {
  /** Read what comes after it: the `id` of the last event that was taken, or a number of chunks. Default: where the address begins. */
  from?: string | number;
  /** Ends the reading; rejects with its reason. */
  signal?: AbortSignal;
}

export interface StreamEvent<T = unknown> {
  /** Keep it to go on after this event. Undefined for what is not stored: it comes again. */
  id: string | undefined;
  /** What it is, where a stream has several kinds: `thread` and `run` of a thread's stream, `bytes`. */
  event: string | undefined;
  /** A JSON value; a `Uint8Array` for `bytes`. */
  data: T;
}

/**
 * Reads an event stream: `/runs/:id/streams/:namespace`, `/chat/:id/stream` or `/threads/:id/stream` of the server. Each event comes once,
 * in order, however often the connection breaks; it ends at the stream's explicit end, and a thread's not at all. Leaving the loop
 * closes the connection. Throws what the server refuses with (`run_not_found`, `offset_expired`), and `connection_lost` when patience is spent.
 */
export async function* readStream<T = unknown>(
  url: string | URL,
  options: ReadStreamOptions = {},
): AsyncGenerator<StreamEvent<T>, void, undefined> {
  const { from } = options;
  const closing = new AbortController();
  const signal = options.signal === undefined ? closing.signal : AbortSignal.any([options.signal, closing.signal]);
  let address = String(url);
  const connection = await createAgentApi({ ...options, api: '' }).open({
    path: () => address,
    signal,
    lastEventId: typeof from === 'number' ? encodeOffset(from) : from,
    onOpen({ headers }) {
      const handle = headers.get(RUN_ID_HEADER);
      if (handle === null) return headers.get(NEXT_OFFSET_HEADER) ?? undefined;
      address = ofResponse(address, handle);
      return encodeOffset(decodePosition(handle)?.offset ?? 0);
    },
  });
  if (connection === null) return;
  try {
    for await (const events of connection) {
      for (const { id, event, data } of events) yield { id, event, data: decode(event, data) as T };
    }
  } finally {
    closing.abort();
  }
}

/** A thread's address means another response once that one has ended: what was begun is read to its end. */
function ofResponse(address: string, handle: string): string {
  return address.replace(
    /(\/chat\/)[^/?]+(?=\/stream(?:\?|$))/,
    (_, path: string) => path + encodeURIComponent(handle),
  );
}

function decode(event: string | undefined, data: string): unknown {
  if (event !== BYTES_EVENT) return JSON.parse(data);
  return Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
}
