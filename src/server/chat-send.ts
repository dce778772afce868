/** `POST /chat`: what the last message means, and the response that answers it. */

import { messageIdOf } from '../agent/run/agent-state.ts';
import { inputUiMessages, readInput } from '../agent/history/thread.ts';
import type { Runtime } from '../app/create-runtime.ts';
import type { StartInput } from '../app/start-input.ts';
import { DurableError } from '../runtime/errors.ts';
import type { RunInfo } from '../app/run-info.ts';
import type { AccessRequest, Caller } from './access.ts';
import { deliverAnswers } from './chat-answers.ts';
import { notAccepted, readLastMessage } from './chat-message.ts';
import type { AnsweredPart, ChatBody, UserMessage } from './chat-message.ts';
import { allowRow } from './row-access.ts';
import type { Allow } from './row-access.ts';
import { readTail } from './stream-position.ts';
import { checkThreadId, regeneratedRunId, runIdOf } from './thread-id.ts';
import { lastRun } from './thread-state.ts';

export interface Sent {
  run: RunInfo;
  /** Where the answer begins in the run's stream. */
  offset: number;
  /** The message went into a run that was active. */
  steered: boolean;
}

export interface SendOptions {
  agent: string;
  body: ChatBody;
  allow: Allow;
}

export async function sendChat(runtime: Runtime, options: SendOptions): Promise<Sent> {
  const { body, allow } = options;
  const posted = readLastMessage(body.messages);
  const thread = body.id === undefined ? undefined : checkThreadId(body.id);
  const access: AccessRequest = { action: 'chat.send', ...(thread === undefined ? {} : { threadId: thread }) };
  if (posted.kind === 'assistant') return answer(runtime, { posted, access, allow });
  const caller = await allow(access);
  const { message } = posted;
  const place = thread === undefined ? await placeByHistory(runtime, { message, options, caller }) : { thread, caller };
  const send = { ...options, message, ...place };
  return body.trigger === 'regenerate-message' ? regenerate(runtime, send) : start(runtime, send);
}

interface Send extends SendOptions {
  message: UserMessage;
  thread: string;
  caller: Caller;
}

async function start(runtime: Runtime, { agent, body, message, thread, caller }: Send): Promise<Sent> {
  const { tenant } = caller;
  const id = runIdOf({ tenant, thread, message: message.id });
  const before = body.whenBusy === 'steer' ? await activeTail(runtime, { thread, tenant }) : null;
  try {
    const run = await startRun(runtime, agent, {
      id,
      thread,
      tenant,
      whenBusy: body.whenBusy,
      content: { message, by: caller.id },
    });
    if (run.id === id) return { run, offset: 0, steered: false };
    return { run, offset: before?.run === run.id ? before.tail : await readTail(runtime, run.id), steered: true };
  } catch (error) {
    if (!DurableError.is(error, 'run_conflict')) throw error;
    throw notAccepted(`the message "${message.id}" was sent before with another content`, { message: message.id });
  }
}

/** A steered message becomes a chunk at once: its reader begins before it. */
async function activeTail(
  runtime: Runtime,
  { thread, tenant }: { thread: string; tenant: string | null },
): Promise<{ run: string; tail: number } | null> {
  const run = await lastRun(runtime, { id: thread, tenant });
  return run === null ? null : { run: run.id, tail: await readTail(runtime, run.id) };
}

/** The superseded run's own input starts the new one: what the client says that it was is not read. */
async function regenerate(runtime: Runtime, { agent, body, message, thread, caller }: Send): Promise<Sent> {
  const { tenant } = caller;
  const last = await lastRun(runtime, { id: thread, tenant });
  if (last === null) throw notAccepted(`the thread "${thread}" has no answer to generate again`, { thread });
  const asked = body.messageId?.startsWith('msg_') === true ? body.messageId.slice('msg_'.length) : last.id;
  const id = regeneratedRunId(asked);
  if (last.id === id) return { run: last, offset: 0, steered: false };
  if (asked !== last.id || !inputUiMessages(last).some((input) => input.id === message.id)) {
    throw notAccepted('only the last answer of a thread can be generated again', {
      thread,
      last: messageIdOf(last.id),
    });
  }
  const { uiMessage, messages, callOptions, by } = readInput(last);
  const content = {
    ...(uiMessage === undefined ? { messages } : { message: uiMessage }),
    ...(callOptions === undefined ? {} : { options: callOptions }),
    ...(by === undefined ? {} : { by }),
  };
  const { whenBusy } = body;
  const run = await startRun(runtime, agent, { id, thread, tenant, whenBusy, supersedes: last.id, content });
  return { run, offset: 0, steered: false };
}

async function startRun(
  runtime: Runtime,
  agent: string,
  options: {
    id: string;
    thread: string;
    tenant: string | null;
    whenBusy: ChatBody['whenBusy'];
    supersedes?: string;
    content: Record<string, unknown>;
  },
): Promise<RunInfo> {
  const { id, thread, tenant, whenBusy, supersedes, content } = options;
  const input: StartInput = {
    ...content,
    id,
    thread,
    ...(tenant === null ? {} : { tenant }),
    ...(whenBusy === undefined ? {} : { whenBusy }),
    ...(supersedes === undefined ? {} : { supersedes }),
  };
  return (await runtime.start(agent, input)).info();
}

interface Answer {
  posted: { id: string; parts: AnsweredPart[] };
  access: AccessRequest;
  allow: Allow;
}

async function answer(runtime: Runtime, { posted, access, allow }: Answer): Promise<Sent> {
  const missing = (): DurableError =>
    notAccepted(`the message "${posted.id}" is no answer of this thread`, { message: posted.id });
  const read = async (): Promise<RunInfo> => {
    const run = await runOfMessage(runtime, posted.id);
    if (run === null || (access.threadId !== undefined && run.thread !== access.threadId)) throw missing();
    return run;
  };
  const { row: run, ...allowed } = await allowRow(runtime, { allow, access, read, missing });
  const offset = await deliverAnswers(runtime, { run, parts: posted.parts, allow, ...allowed });
  return { run, offset, steered: false };
}

/** The run that wrote an assistant's message; null for messages of nobody's. */
async function runOfMessage(runtime: Runtime, message: string): Promise<RunInfo | null> {
  if (!message.startsWith('msg_')) return null;
  try {
    return await runtime.getRun(message.slice('msg_'.length)).info();
  } catch (error) {
    if (DurableError.is(error, 'run_not_found')) return null;
    throw error;
  }
}

/**
 * The thread of a request that names none, and who may use it: they are asked for once more, now that it is known. The ids of the messages
 * before the last say where the request belongs; their content is not read. A first message makes a new thread.
 */
async function placeByHistory(
  runtime: Runtime,
  { message, options, caller }: { message: UserMessage; options: SendOptions; caller: Caller },
): Promise<{ thread: string; caller: Caller }> {
  const { body, allow } = options;
  const thread = (await threadOfHistory(runtime, body, caller)) ?? checkThreadId(`thread_${message.id}`);
  return { thread, caller: await allow({ action: 'chat.send', threadId: thread }) };
}

async function threadOfHistory(runtime: Runtime, { messages }: ChatBody, { tenant }: Caller): Promise<string | null> {
  for (const earlier of messages.slice(0, -1).toReversed()) {
    const { id, role } = (earlier ?? {}) as { id?: unknown; role?: unknown };
    const run = role === 'assistant' && typeof id === 'string' ? await runOfMessage(runtime, id) : null;
    if (run !== null && run.tenant === tenant && run.thread !== null) return run.thread;
  }
  return null;
}
