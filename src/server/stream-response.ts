/** Answers to readers of a run's stream. */

import type { StreamPage } from '../runtime/store.ts';
import { DONE_FRAME, toBytes } from './frames.ts';
import {
  countWhole,
  CURSOR_HEADER,
  DATA_ENCODING_HEADER,
  encodeBody,
  encodeControlEvent,
  entityTag,
  formOf,
  isUpToDate,
  matchesTag,
  nextCursor,
  positionHeaders,
} from './durable-streams.ts';
import { encodeOffset, NEXT_OFFSET_HEADER } from '../streams/wire.ts';
import type { Connection } from './connections.ts';
import { createEventBody } from './event-body.ts';
import { SAFE_HEADERS } from './http-error.ts';
import { LogSource } from './log-source.ts';
import type { LogEncoding } from './log-source.ts';
import type { ServerParts } from './server-parts.ts';
import { encodeLastLine } from './stream-lines.ts';
import { EVENTS_TYPE, LINES_TYPE } from './stream-request.ts';
import type { ReadMode } from './stream-request.ts';

/** What a reader gets, after all of it was checked. */
export interface StreamRead {
  run: string;
  stream: string;
  offset: number;
  /** What there is at the reader's place. */
  page: StreamPage;
  mode: ReadMode;
  contentType: string;
  /** The tail was asked for: what a moment ago was its place is nothing to keep. */
  isNow: boolean;
  /** The cursor of the reader's last answer. */
  cursor: string | undefined;
  /** Go on at the tail. */
  follow: boolean;
  ifNoneMatch: string | null;
  signal: AbortSignal;
  connection: Connection;
}

/** How long a request waits for news. Shorter than what proxies give an answer. */
export const LONG_POLL_MS = 20_000;

/** Readers may be of different people on one machine, and the forms of a stream share its address. */
const VARY = 'accept, authorization, cookie';
const SAFE = { ...SAFE_HEADERS, vary: VARY };
/** No shared cache knows who may read. Chunks never change; the stream may be removed with its run. */
const KEEP = 'private, max-age=86400, immutable';
const ASK_AGAIN = 'private, no-cache';
const FORGET = 'no-store';
const STREAMING = { 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' };

/** HEAD: where the stream's tail is. */
export function tailResponse(page: StreamPage, contentType: string): Response {
  const headers = { ...SAFE, ...positionHeaders(page), 'content-type': contentType, 'cache-control': FORGET };
  return new Response(null, { headers });
}

/** One page, as the protocol's catch-up reads have it. */
export function pageResponse({ page, contentType, isNow, ifNoneMatch }: StreamRead): Response {
  const form = formOf(contentType);
  const tag = entityTag(page, form);
  const isFinal = page.closed || !isUpToDate(page);
  const headers = {
    ...SAFE,
    ...positionHeaders(page),
    'content-type': contentType,
    ...(isNow ? { 'cache-control': FORGET } : { 'cache-control': isFinal ? KEEP : ASK_AGAIN, etag: tag }),
  };
  if (!isNow && matchesTag(ifNoneMatch, tag)) return new Response(null, { status: 304, headers });
  return new Response(encodeBody(page, form), { headers });
}

/** The next page, when there is one; 204 at the end of the stream, and when nothing came. */
export async function longPollResponse({ runtime, clock, random }: ServerParts, read: StreamRead): Promise<Response> {
  const { run, stream, offset: from, contentType, signal } = read;
  const cursor = runtime.streams.cursor({ run, stream, from, signal });
  const cancel = clock.schedule(cursor.finish, LONG_POLL_MS);
  const came = await cursor.next().finally(() => {
    cancel();
    cursor.finish();
  });
  const page = came ?? (await runtime.streams.page({ run, stream, from }));
  const headers = {
    ...SAFE,
    ...positionHeaders(page),
    'cache-control': FORGET,
    [CURSOR_HEADER]: nextCursor(read.cursor, { now: clock.now(), random: random() }),
  };
  if (page.chunks.length === 0) return new Response(null, { status: 204, headers });
  return new Response(encodeBody(page, formOf(contentType)), { headers: { ...headers, 'content-type': contentType } });
}

/** Lines or events, until the stream is closed. */
export function followingResponse(parts: ServerParts, read: StreamRead): Response {
  const { runtime } = parts;
  const { run, stream, offset, page, follow, mode, connection } = read;
  const encoding = encodingOf(parts, read);
  const isLines = mode === 'lines';
  const body = createEventBody(
    { parts, connection, about: { run, stream }, idle: isLines ? LINES_IDLE : undefined },
    (wake) => new LogSource(runtime, { at: { run, offset }, first: page, stream, follow, wake, encoding }),
  );
  const headers = {
    ...SAFE,
    ...STREAMING,
    'content-type': isLines ? LINES_TYPE : EVENTS_TYPE,
    // A reader that is cut before its first chunk comes back to the same place, also if it had asked for the tail.
    [NEXT_OFFSET_HEADER]: encodeOffset(offset),
  };
  const isEncoded = mode === 'durable-events' && formOf(read.contentType) === 'bytes';
  return new Response(body, { headers: { ...headers, ...(isEncoded ? { [DATA_ENCODING_HEADER]: 'base64' } : {}) } });
}

/** Readers of lines skip empty ones. */
const LINES_IDLE = { opening: undefined, heartbeat: toBytes('\n') };

function encodingOf(parts: ServerParts, read: StreamRead): LogEncoding {
  const { encoders } = parts;
  if (read.mode === 'lines') return { page: encoders.lines, end: encodeLastLine };
  if (read.mode === 'events') return { page: encoders.events, end: () => toBytes(DONE_FRAME) };
  return durableEncoding(parts, read);
}

/** The protocol's events: a `control` after each `data`, and at once if the reader stands at the tail. */
function durableEncoding({ clock, random, encoders }: ServerParts, read: StreamRead): LogEncoding {
  const form = formOf(read.contentType);
  const { page, cursor: brought } = read;
  const control = (at: StreamPage): Uint8Array =>
    encodeControlEvent({ page: at, cursor: nextCursor(brought, { now: clock.now(), random: random() }) });
  let hasSaidClosed = false;
  return {
    first: page.chunks.length === 0 && !page.closed ? control(page) : undefined,
    page: encoders.dataEvents[form],
    ...(form === 'text' ? { countWhole } : {}),
    afterPage(each) {
      hasSaidClosed = each.closed;
      return control(each);
    },
    end: ({ offset, closed }) =>
      hasSaidClosed ? undefined : control({ chunks: [], from: offset, tail: offset, closed }),
  };
}
