/** Chat: send, history, streams, stop. */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import { messageIdOf } from '../agent/run/agent-state.ts';
import { isEnded } from '../runtime/store.ts';
import type { RunInfo } from '../app/run-info.ts';
import {
  encodeHandle,
  encodePosition,
  LAST_EVENT_ID_HEADER,
  NEXT_OFFSET_HEADER,
  RUN_ID_HEADER,
  STREAM_HEADERS,
  TAIL_INDEX_HEADER,
  THREAD_START,
} from '../streams/wire.ts';
import type { Caller } from './access.ts';
import { chatBodySchema } from './chat-message.ts';
import type { ChatBody } from './chat-message.ts';
import { sendChat } from './chat-send.ts';
import { endpoint } from './endpoint.ts';
import type { Call, Endpoint } from './endpoint.ts';
import { createEventBody } from './event-body.ts';
import { DONE_FRAME, unstoredFrame } from './frames.ts';
import { jsonResponse } from './json.ts';
import { runResponse } from './run-response.ts';
import { readRunState } from './run-state.ts';
import { eventStreamSchema, idParams, messageSchema, waitSchema } from './schemas.ts';
import type { ServerParts } from './server-parts.ts';
import {
  assertRunsKept,
  findTarget,
  findThreadPosition,
  noPositionIn,
  readTail,
  resolvePosition,
} from './stream-position.ts';
import { checkThreadId } from './thread-id.ts';
import { lastRun, readThreadState, toThreadStatus } from './thread-state.ts';
import type { ThreadKey } from './thread-state.ts';
import { ThreadSource } from './thread-source.ts';
import type { ThreadStart } from './thread-source.ts';

const EVENTS = 'text/event-stream';
const STREAM = { description: 'The stream.', schema: eventStreamSchema(), type: EVENTS };

export function chatEndpoints(parts: ServerParts): Endpoint[] {
  const { agent } = parts;
  const chats = agent === null ? [] : [send({ ...parts, agent })];
  return [...chats, history(parts), stream(parts), stop(parts), threadStream(parts)];
}

type ChatParts = ServerParts & { agent: string };

function send(parts: ChatParts): Endpoint {
  const { runtime, agent } = parts;
  return endpoint({
    method: 'post',
    path: '/chat',
    summary: 'Sends the last message; answers its stream.',
    body: chatBodySchema(),
    responses: {
      200: STREAM,
      202: {
        description: 'Sent; the answer is read from a stream. For requests that accept JSON only.',
        schema: sentSchema(),
      },
    },
    async handle(call) {
      const { request, body, allow } = call;
      if (!wantsJson(request)) return sendAndFollow(parts, call);
      const { run, offset, steered } = await sendChat(runtime, { agent, body, allow });
      const handle = encodeHandle({ run: run.id, offset });
      const sent = { threadId: run.thread, runId: run.id, handle, messageId: messageIdOf(run.id), steered };
      return jsonResponse(sent, { status: 202, headers: { [RUN_ID_HEADER]: handle } });
    },
  });
}

function sendAndFollow(parts: ChatParts, call: Call<undefined, undefined, ChatBody>): Promise<Response> {
  const { runtime, agent, connections } = parts;
  return connections.answer(call, async (connection, allow) => {
    const { run, offset } = await sendChat(runtime, { agent, body: call.body, allow });
    const tail = await readTail(runtime, run.id);
    // Stock clients count the chunks of a POST's response.
    return runResponse(parts, { run, connection, base: offset, offset, tailIndex: tail - offset - 1, counts: true });
  });
}

function wantsJson(request: Request): boolean {
  const accept = request.headers.get('accept') ?? '';
  return accept.includes('application/json') && !accept.includes(EVENTS);
}

function history({ runtime }: ServerParts): Endpoint {
  return endpoint({
    method: 'get',
    path: '/chat/{id}',
    summary: 'The history of a thread.',
    params: idParams('The thread.'),
    responses: { 200: { description: 'The history.', schema: historySchema() } },
    async handle({ params: { id }, allow }) {
      const { tenant } = await allow({ action: 'chat.read', threadId: id });
      const thread = await runtime.thread(id, { tenant });
      const { run, queued } = toThreadStatus(thread);
      return jsonResponse({
        id,
        messages: thread.uiMessages,
        authors: thread.authors,
        cursor: encodePosition(thread.cursor),
        run,
        queued,
      });
    },
  });
}

function stream(parts: ServerParts): Endpoint {
  const { runtime, connections } = parts;
  return endpoint({
    method: 'get',
    path: '/chat/{id}/stream',
    summary: 'Joins or resumes a response.',
    params: idParams('A thread, a run, or a response handle.'),
    query: z.object({ startIndex: z.string().optional() }),
    responses: { 200: STREAM, 204: { description: 'Nothing is going on.' } },
    handle(call) {
      const { request, params, query } = call;
      const { id } = params;
      const { startIndex } = query;
      return connections.answer(call, async (connection, allow) => {
        const target = await findTarget(runtime, { id, action: 'chat.read', allow });
        const lastEventId = request.headers.get(LAST_EVENT_ID_HEADER);
        if (target === null) return withoutRuns(id, { lastEventId, startIndex });
        const isWhole = lastEventId === null && startIndex === undefined;
        if (isWhole && !(await goesOn(parts, target.run))) return new Response(null, { status: 204 });
        const from = await resolvePosition(runtime, target, { lastEventId, startIndex });
        return runResponse(parts, { ...target, ...from, connection });
      });
    },
  });
}

async function goesOn({ runtime }: ServerParts, run: RunInfo): Promise<boolean> {
  if (isEnded(run.status) || run.status === 'parked') return false;
  return !(await readRunState(runtime, run.id)).isSuspended;
}

/** A new chat has nothing to resume. A client that cannot take a 204 gets an end; one that had read something is told. */
function withoutRuns(thread: string, asked: { lastEventId: string | null; startIndex: string | undefined }): Response {
  const { lastEventId, startIndex } = asked;
  if (lastEventId === null && startIndex === undefined) return new Response(null, { status: 204 });
  if (lastEventId !== null || !/^(?:0+|-\d{1,15})$/.test(startIndex ?? '')) throw noPositionIn(thread, asked);
  return new Response(unstoredFrame({ type: 'finish' }) + DONE_FRAME, {
    headers: { ...STREAM_HEADERS, [TAIL_INDEX_HEADER]: '-1' },
  });
}

function stop({ runtime }: ServerParts): Endpoint {
  return endpoint({
    method: 'post',
    path: '/chat/{id}/stop',
    summary: 'Stops the active run.',
    params: idParams('A thread, a run, or a response handle.'),
    responses: { 202: { description: 'The stop is stored.', schema: stoppedSchema() } },
    async handle({ params: { id }, allow }) {
      const target = await findTarget(runtime, { id, action: 'chat.stop', allow });
      if (target === null || isEnded(target.run.status))
        return jsonResponse({ runId: null, status: null }, { status: 202 });
      const run = runtime.getRun(target.run.id);
      await run.cancel();
      return jsonResponse({ runId: run.id, status: await run.status }, { status: 202 });
    },
  });
}

function threadStream(parts: ServerParts): Endpoint {
  const { runtime, connections, encoders, threadStates } = parts;
  return endpoint({
    method: 'get',
    path: '/threads/{id}/stream',
    summary: 'All runs of a thread as they come; stays open.',
    params: idParams('The thread.'),
    query: z.object({ after: z.string().optional() }),
    responses: { 200: STREAM },
    handle(call) {
      const { request, params, query } = call;
      const { id } = params;
      return connections.answer(call, async (connection, allow) => {
        const caller = await allow({ action: 'chat.read', threadId: id });
        const key = { id: checkThreadId(id), tenant: caller.tenant };
        const position = request.headers.get(LAST_EVENT_ID_HEADER) ?? query.after;
        const start = await startAt(parts, { key, position, caller });
        const begins = await positionOf(parts, start);
        const body = createEventBody({ parts, connection, about: { thread: id } }, (wake) => {
          const state = threadStates.open(key);
          return new ThreadSource(runtime, { key, start, state, encode: encoders.runFrames, wake });
        });
        return new Response(body, { headers: { ...STREAM_HEADERS, [NEXT_OFFSET_HEADER]: begins } });
      });
    },
  });
}

/** A reader that is cut before its first id comes back to where it was. */
async function positionOf({ runtime }: ServerParts, start: ThreadStart): Promise<string> {
  if (start.kind === 'in') return encodePosition({ run: start.run.id, offset: start.offset });
  if (start.run === null) return THREAD_START;
  return encodePosition({ run: start.run.id, offset: await readTail(runtime, start.run.id) });
}

async function startAt(
  parts: ServerParts,
  { key, position, caller }: { key: ThreadKey; position: string | undefined; caller: Caller },
): Promise<ThreadStart> {
  if (position === undefined) return startNow(parts, key);
  const { runtime } = parts;
  const at = position === THREAD_START ? null : await findThreadPosition(runtime, { position, thread: key.id, caller });
  await assertRunsKept(runtime, key, at?.run ?? null);
  return at === null ? { kind: 'after', run: null } : { kind: 'in', ...at };
}

async function startNow({ runtime }: ServerParts, key: ThreadKey): Promise<ThreadStart> {
  const { active, goesOn } = await readThreadState(runtime, key);
  if (active === null) return { kind: 'after', run: await lastRun(runtime, key) };
  return { kind: 'in', run: active, offset: goesOn ? 0 : await readTail(runtime, active.id) };
}

function sentSchema(): ZodType {
  return z.object({
    threadId: z.string().nullable(),
    runId: z.string(),
    handle: z.string(),
    messageId: z.string(),
    steered: z.boolean(),
  });
}

function stoppedSchema(): ZodType {
  return z.object({ runId: z.string().nullable(), status: z.string().nullable() });
}

function historySchema(): ZodType {
  return z.object({
    id: z.string(),
    messages: z.array(messageSchema()),
    authors: z.record(z.string(), z.string()),
    cursor: z.string(),
    run: z
      .object({ id: z.string(), status: z.string(), messageId: z.string(), waits: z.array(waitSchema()) })
      .nullable(),
    queued: z.array(z.object({ runId: z.string(), messages: z.array(messageSchema()), by: z.string().nullable() })),
  });
}
