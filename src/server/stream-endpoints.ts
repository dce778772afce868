/** Any stream of any run, in several forms: docs/PROTOCOL.md, "Run streams". */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import type { StreamPage } from '../runtime/store.ts';
import { LAST_EVENT_ID_HEADER } from '../streams/wire.ts';
import { endpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import { eventStreamSchema } from './schemas.ts';
import type { ServerParts } from './server-parts.ts';
import { findRun } from './stream-position.ts';
import { beyondTail, contentTypeOf, EVENTS_TYPE, LINES_TYPE, modeOf, startOf } from './stream-request.ts';
import type { StreamQuery } from './stream-request.ts';
import { followingResponse, longPollResponse, pageResponse, tailResponse } from './stream-response.ts';
import type { StreamRead } from './stream-response.ts';

/** The content type of a stream whose chunks are bytes or texts, such as 'text/csv'; undefined for one of JSON values. */
export type StreamType = (stream: { runId: string; workflow: string; namespace: string }) => string | undefined;

interface StreamParams {
  id: string;
  namespace: string;
}

export function streamEndpoints(parts: ServerParts): Endpoint[] {
  const { runtime } = parts;
  return [
    endpoint({
      method: 'get',
      path: '/runs/{id}/streams/{namespace}',
      summary: 'A stream of a run, by the Durable Streams protocol, as events or as lines.',
      isReadOnly: true,
      params: streamParams(),
      query: streamQuery(),
      responses: {
        200: {
          description: 'Chunks from the offset on.',
          content: {
            'application/json': z.array(z.unknown()).openapi({ description: 'A page: its chunks.' }),
            [EVENTS_TYPE]: eventStreamSchema(),
            [LINES_TYPE]: z
              .string()
              .openapi({ description: 'A JSON object a line: offset and chunk; the last has `closed`.' }),
          },
        },
        204: { description: 'live=long-poll: nothing came.' },
        304: { description: 'The same as the If-None-Match says.' },
      },
      handle({ request, params: { id, namespace }, query, allow }) {
        const reading = asked(request, query);
        const asking = { request, allow, isBrief: reading.mode === 'once' };
        return parts.connections.answer(asking, async (connection, allow) => {
          const run = await findRun(runtime, { id, action: 'stream.read', allow });
          const { headers, method } = request;
          const declared = parts.streamType({ runId: id, workflow: run.workflow, namespace });
          const contentType = contentTypeOf(declared, headers.get('accept'));
          const start =
            method === 'HEAD'
              ? 'now'
              : startOf(query, { mode: reading.mode, lastEventId: headers.get(LAST_EVENT_ID_HEADER) });
          const from = start === 'now' ? Number.MAX_SAFE_INTEGER : start;
          const page = placed(await runtime.streams.page({ run: id, stream: namespace, from }), start);
          if (method === 'HEAD') return tailResponse(page, contentType);
          const at = { run: id, stream: namespace, offset: page.from, page, contentType, isNow: start === 'now' };
          return answer(parts, { ...at, ...reading, connection });
        });
      },
    }),
  ];
}

function asked(
  { headers, signal }: Request,
  query: StreamQuery,
): Pick<StreamRead, 'mode' | 'cursor' | 'follow' | 'ifNoneMatch' | 'signal'> {
  const mode = modeOf(query, headers.get('accept'));
  return {
    mode,
    cursor: query.cursor,
    follow: mode !== 'lines' || query.follow !== 'false',
    ifNoneMatch: headers.get('if-none-match'),
    signal,
  };
}

function answer(parts: ServerParts, read: StreamRead): Response | Promise<Response> {
  switch (read.mode) {
    case 'once':
      return pageResponse(read);
    case 'long-poll':
      return longPollResponse(parts, read);
    case 'durable-events':
    case 'events':
    case 'lines':
      return followingResponse(parts, read);
  }
}

/** The page of a reader who may have asked for the tail. Throws `invalid_offset` for what lies behind it. */
function placed(page: StreamPage, start: number | 'now'): StreamPage {
  if (start === 'now') return { ...page, chunks: [], from: page.tail };
  if (start > page.tail) throw beyondTail(start, page.tail);
  return page;
}

function streamParams(): ZodType<StreamParams> {
  const inPath = (name: string, description: string): z.ZodString =>
    z
      .string()
      .min(1)
      .openapi({ param: { name, in: 'path' }, description });
  return z.object({
    id: inPath('id', 'The run.'),
    namespace: inPath('namespace', 'The stream; `default` is what `getWritable()` and agents write to.'),
  });
}

function streamQuery(): ZodType<StreamQuery> {
  return z.object({
    offset: z.string().optional(),
    live: z.enum(['long-poll', 'sse']).optional(),
    cursor: z.string().optional(),
    follow: z.enum(['true', 'false']).optional(),
  });
}
