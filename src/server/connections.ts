/**
 * Open streams: how many a principal may have, and for how long.
 *
 *  C1 A place is taken before anything of the request has an effect. It is free again when the body has ended, when its request is gone, or
 *     when no body came of it.
 *  C2 The body of a client that said that it reconnects ends when it is old: whoever may no longer read learns of it, and what stands
 *     between gets a connection that it can move. Others are never ended so.
 */

import type { Clock } from '../runtime/clock.ts';
import { DurableError } from '../runtime/errors.ts';
import { RECONNECTING } from '../streams/wire.ts';
import type { Caller } from './access.ts';
import type { Allow } from './row-access.ts';

export interface Connection {
  /** A body reads on it, which will close it. */
  isHeld: boolean;
  /** C2 */
  isOld(): boolean;
  close(): void;
}

export interface Connections {
  /**
   * Answers a request whose response may be an event stream. `answer` gets the connection that its body holds, and an `allow` that takes the
   * place of whoever may. Throws `too_many_streams`.
   */
  answer(call: Asking, answer: (connection: Connection, allow: Allow) => Promise<Response>): Promise<Response>;
}

interface Asking {
  request: Request;
  allow: Allow;
  /** Answered without waiting for anything: it needs no place. */
  isBrief?: boolean;
}

export interface ConnectionsOptions {
  clock: Clock;
  /** In [0, 1). */
  random(): number;
  /** Per principal. */
  limit: number;
}

const OLD_MS = 600_000;
/** Streams that began together do not end together. */
const OLD_SPREAD_MS = 120_000;

export function createConnections({ clock, random, limit }: ConnectionsOptions): Connections {
  const places = new Map<string, number>();
  return {
    async answer({ request, allow, isBrief = false }, answer) {
      const reconnects = RECONNECTING.test(request.headers.get('accept') ?? '');
      const oldAt = clock.monotonic() + OLD_MS - random() * OLD_SPREAD_MS;
      let leave: (() => void) | undefined;
      const connection: Connection = {
        isHeld: false,
        isOld: () => reconnects && clock.monotonic() >= oldAt,
        close: () => leave?.(),
      };
      const allowed: Allow = async (access) => {
        const caller = await allow(access);
        // The body of an answer to HEAD is never read, so nothing would say that it ended.
        if (request.method !== 'HEAD' && !isBrief) leave ??= takePlace(places, { caller, limit, gone: request.signal });
        return caller;
      };
      try {
        return await answer(connection, allowed);
      } finally {
        if (!connection.isHeld) connection.close();
      }
    },
  };
}

/** C1 */
function takePlace(
  places: Map<string, number>,
  { caller, limit, gone }: { caller: Caller; limit: number; gone: AbortSignal },
): () => void {
  const name = JSON.stringify([caller.tenant, caller.id]);
  const taken = places.get(name) ?? 0;
  if (taken >= limit) throw tooMany(limit);
  places.set(name, taken + 1);
  let hasLeft = false;
  const leave = (): void => {
    if (hasLeft) return;
    hasLeft = true;
    gone.removeEventListener('abort', leave);
    const left = (places.get(name) ?? 1) - 1;
    if (left === 0) places.delete(name);
    else places.set(name, left);
  };
  if (gone.aborted) leave();
  else gone.addEventListener('abort', leave);
  return leave;
}

function tooMany(limit: number): DurableError {
  return new DurableError(
    'too_many_streams',
    `Cannot open another stream: this principal has ${limit} open. Close some, share one between tabs, or raise maxStreams of createApp.`,
    { retryable: true, details: { limit } },
  );
}
