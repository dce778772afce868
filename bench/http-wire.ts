/** What the processes of the HTTP bench say to each other, and the chunks that carry the moment of their writing. */

import { setTimeout as delay } from 'node:timers/promises';
import type { Measured } from './measure.ts';
import { machineNow } from './measure.ts';

/** A server with streams that are written as the bench says: everturn's, or a plain one. */
export type ServerCommand =
  /** Answers `OpenedStream`. */
  | { kind: 'open' }
  /** Answers how long it took, in ms. Without a pace as fast as readers let it. */
  | { kind: 'write'; stream: string; count: number; perSecond?: number; bytes?: number }
  | { kind: 'close'; stream: string }
  /** Answers bytes after a garbage collection. */
  | { kind: 'memory' }
  /** Of everturn's server: a thread with so much history, whose last run waits. Answers `WaitingThread`. */
  | { kind: 'ask-approval'; historyBytes: number };

export interface ServerArgument {
  /** Of the database; null: in memory. */
  path: string | null;
  /** Waiting runs stay in memory for a while, as they do by default. */
  warm: boolean;
}

export interface Listening {
  url: string;
}

export interface OpenedStream {
  stream: string;
  /** Each chunk as it was written. */
  counted: string;
  /** As a page that joins gets it. */
  joined: string;
}

export interface WaitingThread {
  approval: string;
  /** Where its reader stands. */
  path: string;
}

/** How requests of the bench look to a server. */
export interface HttpRequest {
  path: string;
  headers?: Record<string, string>;
  /** A POST with it as JSON. */
  body?: unknown;
}

export type ReaderCommand =
  /** Opens so many readers, which have had a first byte when it answers. One more takes nothing after it. */
  | { kind: 'open'; url: string; request: HttpRequest; readers: number; stalled?: boolean }
  /** Answers `Received` when all of them have so many chunks with a stamp; closes them. */
  | { kind: 'collect'; count: number }
  /** One request on a connection of its own, until `until` was read. Answers ms since it was sent. */
  | { kind: 'request'; url: string; request: HttpRequest; until: string }
  /** A request whose effect is seen in the stream of another one. Answers `Effect`. */
  | { kind: 'effect'; url: string; stream: HttpRequest; request: HttpRequest; until: string }
  /** One request until the end of the text, taken as a page takes it. Answers ms since it was sent. */
  | { kind: 'replay'; url: string; request: HttpRequest; deltas: number };

/** In ms since the request was sent. */
export interface Effect {
  answeredMs: number;
  seenMs: number;
}

export interface Received {
  p50: number;
  p99: number;
  /** Over readers: how late the last chunk came to each. */
  last: Measured;
  /** When the last of them had all, on the machine's clock. */
  doneAt: number;
}

export type Stamped = { type: 'text-delta'; id: string; delta: string };

/** A delta that says when it was made. */
export function stamped(bytes = 40): Stamped {
  return { type: 'text-delta', id: '1', delta: `${machineNow().toFixed(3)} `.padEnd(bytes, 'abcdefgh') };
}

/** What stands in a stream before its deltas. */
export const OPENING_CHUNKS: readonly object[] = [{ type: 'start' }, { type: 'text-start', id: '1' }];

/** Waits for the next beat; a late one does not put off those after it. */
export function paceOf(perSecond: number | undefined): (() => Promise<void>) | undefined {
  if (perSecond === undefined) return undefined;
  let at = machineNow();
  return async () => {
    at += 1_000 / perSecond;
    await delay(Math.max(0, at - machineNow()));
  };
}
