/**
 * The AI SDK's ChatTransport over streams that outlive their connection. A response that was cut goes on inside its stream, so the
 * chat sees one answer however often the connection broke.
 */

import type { ChatTransport, UIMessage, UIMessageChunk } from 'ai';
import { decodePosition, encodeOffset, RUN_ID_HEADER } from '../streams/wire.ts';
import { createAgentApi } from './agent-api.ts';
import type { AgentApi, AgentApiOptions, Decision, RequestOptions, StreamSource, ThreadHistory } from './agent-api.ts';
import type { Events } from './event-connection.ts';
import { readThreadFeed } from './thread-feed.ts';
import type { ThreadUpdate } from './thread-feed.ts';

export interface DurableChatTransportOptions extends AgentApiOptions {
  /** More fields for the body of each send, for instance `{ whenBusy: 'steer' }`. */
  body?: object | (() => object);
}

export interface ToolOutput {
  chatId: string;
  /** The assistant's message with the call. */
  messageId: string;
  tool: string;
  toolCallId: string;
  /** One of both. */
  output?: unknown;
  errorText?: string;
}

export interface DurableChatTransport<MESSAGE extends UIMessage = UIMessage> extends ChatTransport<MESSAGE> {
  /** The thread's messages, to begin with; where it stands, and what it waits for. */
  history(chatId: string, options?: RequestOptions): Promise<ThreadHistory<MESSAGE>>;
  /**
   * Stops the active run of a thread, durably: resolves when its end was read. The chat's own `stop` only disconnects. A response that
   * is being read ends by itself, with what was generated until then.
   */
  stop(chatId: string, options?: RequestOptions): Promise<void>;
  /** Answers an approval; `input`: the tool runs with it. Rejects with `approval_decided` if another decision holds. */
  approve(approvalId: string, options?: Omit<Decision, 'approved'> & RequestOptions): Promise<void>;
  deny(approvalId: string, options?: { reason?: string } & RequestOptions): Promise<void>;
  /** Brings the output of a tool that runs in the page. Read on with `resumeStream` of the chat. */
  addToolOutput(output: ToolOutput, options?: RequestOptions): Promise<void>;
  /** All runs of a thread as they come, whoever sends; goes on until the signal aborts. */
  watch(
    chatId: string,
    options: { after?: string; signal: AbortSignal } & RequestOptions,
  ): AsyncGenerator<ThreadUpdate[], void, undefined>;
}

/**
 * Creates a transport for `useChat({ transport })`. Sends only the last message; reconnects by itself until `patienceMs` is spent
 * (`connection_lost`). An abort is a disconnect: the run goes on, and `stop` is what stops it. One transport may serve many chats.
 */
export function durableChatTransport<MESSAGE extends UIMessage = UIMessage>(
  options: DurableChatTransportOptions = {},
): DurableChatTransport<MESSAGE> {
  const api = createAgentApi(options);
  const responses = new Responses(api);
  /** By chat, the run whose answer its history left out since it was going on. */
  const leftOut = new Map<string, string>();
  return {
    async sendMessages({ trigger, chatId, messageId, messages, abortSignal, headers, body }) {
      const own = typeof options.body === 'function' ? options.body() : options.body;
      const last = messages.find(({ id, role }) => id === messageId && role === 'assistant') ?? messages.at(-1);
      const whole = { ...own, ...body, id: chatId, messages: [last], trigger, messageId };
      const stream = await responses.open(chatId, { body: whole, headers, abortSignal });
      // A response to a POST is never 204.
      return stream ?? new ReadableStream({ start: (controller) => controller.close() });
    },
    // A resumed response comes from its beginning: the chat begins its message anew.
    resumeStreamIsReplay: true,
    async reconnectToStream({ chatId, abortSignal, headers }) {
      // React's StrictMode mounts twice, and takes the first request back at once: before it is made.
      await Promise.resolve();
      abortSignal?.throwIfAborted();
      const run = leftOut.get(chatId);
      const stream = await responses.open(chatId, { headers, abortSignal, run });
      leftOut.delete(chatId);
      return stream;
    },
    async history(chatId, request) {
      const history = await api.history(chatId, request);
      const { run, messages } = history;
      if (run !== null && !messages.some(({ id }) => id === run.messageId)) leftOut.set(chatId, run.id);
      else leftOut.delete(chatId);
      return history as ThreadHistory<MESSAGE>;
    },
    stop: (chatId, request) => stop(api, { chatId, response: responses.of(chatId), request }),
    approve: (approvalId, { signal, headers, ...decision } = {}) =>
      api.decide(approvalId, { ...decision, approved: true }, { signal, headers }),
    deny: (approvalId, { signal, headers, ...decision } = {}) =>
      api.decide(approvalId, { ...decision, approved: false }, { signal, headers }),
    async addToolOutput(output, request) {
      await api.send(toOutputBody(output), request);
    },
    watch: (chatId, request) => readThreadFeed(api, { ...request, thread: chatId }),
  };
}

/** An assistant's message with nothing but the output. */
export function toOutputBody({ chatId, messageId, tool, toolCallId, output, errorText }: ToolOutput): object {
  const answer = errorText === undefined ? { state: 'output-available', output } : { state: 'output-error', errorText };
  const message = { id: messageId, role: 'assistant', parts: [{ type: `tool-${tool}`, toolCallId, ...answer }] };
  return { id: chatId, messages: [message], trigger: 'submit-message', messageId };
}

interface OpenResponse {
  handle: string;
  /** Id of the last event that was read. */
  lastEventId: string | undefined;
  /** Settles when the response has ended, or is read no more. */
  ended: Promise<void>;
}

interface OpenOptions extends Pick<StreamSource, 'headers' | 'body'> {
  abortSignal: AbortSignal | undefined;
  /** Reads this one from its beginning, also if it has ended. */
  run?: string | undefined;
}

/** What is being read, by chat. */
class Responses {
  readonly #api: AgentApi;
  readonly #open = new Map<string, OpenResponse>();

  constructor(api: AgentApi) {
    this.#api = api;
  }

  of(chatId: string): OpenResponse | undefined {
    return this.#open.get(chatId);
  }

  async open(chatId: string, options: OpenOptions): Promise<ReadableStream<UIMessageChunk> | null> {
    const { abortSignal, ...source } = options;
    const controller = new AbortController();
    const signal = abortSignal === undefined ? controller.signal : AbortSignal.any([abortSignal, controller.signal]);
    const events = await this.#connect(chatId, { ...source, signal });
    if (events === null) return null;
    const { handle, batches } = events;
    let settle = (): void => undefined;
    const ended = new Promise<void>((resolve) => (settle = resolve));
    const response: OpenResponse = { handle, lastEventId: undefined, ended };
    this.#open.set(chatId, response);
    return toChunkStream(batches, {
      cancel: () => controller.abort(),
      onEvents: (events) => (response.lastEventId = events.findLast(({ id }) => id)?.id ?? response.lastEventId),
      onEnd: () => {
        settle();
        if (this.#open.get(chatId) === response) this.#open.delete(chatId);
      },
    });
  }

  /** Once it is known which response it is, a reconnect asks for that one and for everything after what was received. */
  async #connect(
    chatId: string,
    { run, ...source }: Omit<StreamSource, 'path'> & Pick<OpenOptions, 'run'>,
  ): Promise<{ handle: string; batches: AsyncGenerator<Events, void, undefined> } | null> {
    let handle: string | undefined;
    const first = run === undefined ? `${encodeURIComponent(chatId)}/stream` : `${run}/stream?startIndex=0`;
    const batches = await this.#api.open({
      ...source,
      path: () => `/chat/${handle === undefined ? first : `${encodeURIComponent(handle)}/stream`}`,
      onOpen(response) {
        handle = response.headers.get(RUN_ID_HEADER) ?? handle ?? chatId;
        const at = decodePosition(handle);
        return at === undefined ? undefined : encodeOffset(at.offset);
      },
    });
    return batches === null ? null : { handle: handle ?? chatId, batches };
  }
}

interface ChunkStreamEvents {
  cancel(): void;
  onEvents(events: Events): void;
  onEnd(): void;
}

function toChunkStream(
  batches: AsyncGenerator<Events, void, undefined>,
  { cancel, onEvents, onEnd }: ChunkStreamEvents,
): ReadableStream<UIMessageChunk> {
  return new ReadableStream<UIMessageChunk>({
    async pull(controller) {
      try {
        const next = await batches.next();
        const events = next.done === true ? [] : next.value;
        const chunks = events.map(({ data }) => JSON.parse(data) as UIMessageChunk);
        for (const chunk of chunks) controller.enqueue(chunk);
        onEvents(events);
        // Nothing follows it, also if the connection broke before the response could say so.
        if (next.done !== true && !chunks.some(({ type }) => type === 'finish')) return;
        await batches.return();
        controller.close();
        onEnd();
      } catch (error) {
        onEnd();
        throw error;
      }
    },
    cancel() {
      cancel();
      onEnd();
    },
  });
}

interface StopOptions {
  chatId: string;
  response: OpenResponse | undefined;
  request: RequestOptions | undefined;
}

async function stop(api: AgentApi, { chatId, response, request }: StopOptions): Promise<void> {
  // The run that is being read, not one that may have begun meanwhile.
  const { runId } = await api.stop(response?.handle ?? chatId, request);
  if (runId === null) return;
  const isRead = response !== undefined && decodePosition(response.handle)?.run === runId;
  if (isRead) await response.ended;
  const position = isRead ? response.lastEventId : undefined;
  // The end of a response is not yet the end of the run.
  await waitForEnd(api, { thread: chatId, after: `${runId}~${position ?? encodeOffset(0)}`, request });
}

/** Resolves when the run of the position has the thread no more. */
async function waitForEnd(
  api: AgentApi,
  { thread, after, request = {} }: { thread: string; after: string; request: RequestOptions | undefined },
): Promise<void> {
  const { signal, headers } = request;
  const controller = new AbortController();
  const whole = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
  const run = decodePosition(after)?.run;
  for await (const updates of readThreadFeed(api, { thread, after, signal: whole, headers })) {
    const state = updates.findLast((update) => update.kind === 'thread');
    if (state !== undefined && state.status.run?.id !== run) return controller.abort();
  }
}
