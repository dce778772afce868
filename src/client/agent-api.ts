/** The server's endpoints as functions (docs/PROTOCOL.md). */

import type { UIMessage } from 'ai';
import { DurableError } from '../runtime/errors.ts';
import { ACCEPT_EVENTS, HEARTBEAT_MS, LAST_EVENT_ID_HEADER } from '../streams/wire.ts';
import type { BudgetWait, QuestionOption, ThreadStatus } from '../streams/wire.ts';
import { browserEnvironment } from './environment.ts';
import type { Environment } from './environment.ts';
import { connect } from './event-connection.ts';
import type { ConnectionOptions, Events } from './event-connection.ts';
import { toFailure, TransientFailure } from './failure.ts';
import { createRetries } from './retries.ts';

export interface AgentApiOptions {
  /** Where the server's API stands: its origin, if it is another one, and the base path of `createApp`. Default '/api'. */
  api?: string;
  /** For every request; a function is called for each, so that a token can be renewed. */
  headers?: HeadersSource;
  credentials?: RequestCredentials;
  fetch?: typeof globalThis.fetch;
  /** How long to try while the server cannot be reached. Default 120,000; time offline does not count. */
  patienceMs?: number;
  /** For tests: time, chance and news of the network. */
  environment?: Partial<Environment>;
}

export type HeadersSource = Headers | Record<string, string> | (() => HeadersOf | Promise<HeadersOf>);
type HeadersOf = Headers | Record<string, string>;

/** What a run waits for. */
export type Wait =
  | ApprovalWait
  | QuestionWait
  | ClientToolWait
  | { kind: 'hook'; key: string }
  | { kind: 'sleep'; until: number };

export interface ApprovalWait {
  kind: 'approval';
  approvalId: string;
  /** The run whose call it is: that of the thread, or one that it has started as a child, at any depth. */
  run: string;
  /** From the agent at the top over those below it to the tool: `["support", "research", "shell"]`. */
  path: string[];
  /** It is asked by an agent below the one that chats. */
  isInner: boolean;
  toolCallId: string;
  tool: string;
  input: unknown;
  /** JSON Schema of what the tool accepts, for an edit. */
  inputSchema: unknown;
  /** Of a call in doubt: JSON Schema of its result, where the tool has one. */
  outputSchema: unknown;
  reason: string | null;
  /**
   * `execute`: may the tool run. `in-doubt`: a call was interrupted, and nobody knows whether it had its effect. `budget`: a budget is used up;
   * `budget` has what can be chosen, and the answer's `input` the choice.
   */
  question: 'execute' | 'in-doubt' | 'budget';
  /** If the question is `budget`. */
  budget?: BudgetWait | null;
  approvers: string[] | null;
  needed: number;
  answers: Array<{ by: string; approved: boolean; at: number }>;
  /** The question in words, where the agent has some. */
  prompt: string | null;
  requestedAt: number;
  requestedBy: string | null;
  /** Until when it can be answered, if nobody else is asked after that. */
  expiresAt: number | null;
}

/** Somebody has to answer. */
export interface QuestionWait {
  kind: 'question';
  questionId: string;
  prompt: string;
  /** What can be chosen; null: `schema` says what an answer is. */
  options: QuestionOption[] | null;
  /** JSON Schema of the answer; null if there is none. */
  schema: unknown;
  /** The agent's tool that asks; null in a workflow's own code. */
  tool: string | null;
  toolCallId: string | null;
  askedAt: number;
  expiresAt: number | null;
  metadata?: unknown;
}

export interface ClientToolWait {
  kind: 'client-tool';
  toolCallId: string;
  tool: string;
  input: unknown;
}

export interface ThreadHistory<MESSAGE extends UIMessage = UIMessage> extends ThreadStatus<MESSAGE, Wait> {
  messages: MESSAGE[];
  /** By message id: who sent it, where that is known. */
  authors: Record<string, string>;
  /** Where `messages` ends; undefined for a thread without runs. */
  cursor: string | undefined;
}

export interface Decision {
  approved: boolean;
  reason?: string | undefined;
  /** The tool runs with it in place of the model's. */
  input?: unknown;
  /** Only if the question is `in-doubt`: what the tool has answered. */
  result?: unknown;
}

/** What `POST /chat` answers to who reads the stream elsewhere. */
export interface Accepted {
  threadId: string;
  runId: string;
  handle: string;
  messageId: string;
  /** The message went into a run that was active. */
  steered: boolean;
}

export interface Stopped {
  /** Null: nothing was active. */
  runId: string | null;
  status: string | null;
}

export interface RequestOptions {
  signal?: AbortSignal | undefined;
  headers?: HeadersOf | undefined;
}

export interface AgentApi {
  readonly environment: Environment;
  /** The messages of a thread and where it stands; empty if it has none yet. */
  history(thread: string, options?: RequestOptions): Promise<ThreadHistory>;
  /** Posts a chat request whose answer is read elsewhere. */
  send(body: object, options?: RequestOptions): Promise<Accepted>;
  /** `target`: a thread, a run, or a response handle. */
  stop(target: string, options?: RequestOptions): Promise<Stopped>;
  /** Rejects with `approval_decided` if another decision holds. */
  decide(approvalId: string, decision: Decision, options?: RequestOptions): Promise<void>;
  /** Rejects with `question_settled` if another answer holds, `payload_invalid` if it does not fit. */
  answer(questionId: string, answer: unknown, options?: RequestOptions): Promise<void>;
  /** A stream that reconnects; see `connect`. */
  open(source: StreamSource): Promise<AsyncGenerator<Events, void, undefined> | null>;
}

export interface StreamSource extends RequestOptions, Pick<ConnectionOptions, 'lastEventId' | 'onOpen'> {
  /** Of a GET. Asked anew for each try: a response may have told a better one. */
  path(): string;
  /** For the first answer: posted until something was answered. */
  body?: object;
  signal: AbortSignal;
}

const DEFAULT_PATIENCE_MS = 120_000;
const REQUEST_MS = 2 * HEARTBEAT_MS;

export function createAgentApi(options: AgentApiOptions = {}): AgentApi {
  const { patienceMs = DEFAULT_PATIENCE_MS, fetch, environment: overrides } = options;
  const environment = browserEnvironment({ ...(fetch === undefined ? {} : { fetch }), ...overrides });
  const ask = createAsk(options, environment);
  const json = createJson({ ask, environment, patienceMs });
  const chat = (id: string): string => `/chat/${encodeURIComponent(id)}`;
  return {
    environment,
    async history(thread, request) {
      try {
        return await json<ThreadHistory>(chat(thread), { ...request });
      } catch (error) {
        if (!DurableError.is(error, 'thread_not_found')) throw error;
        return { id: thread, messages: [], authors: {}, cursor: undefined, run: null, queued: [] };
      }
    },
    send: (body, request) => json('/chat', { ...request, body }),
    stop: (target, request) => json(`${chat(target)}/stop`, { ...request, body: {} }),
    async decide(approvalId, decision, request) {
      const path = `/approvals/${encodeURIComponent(approvalId)}/decision`;
      await json(path, {
        ...request,
        body: decision,
        // The answer to a decision that arrived may be lost; then it finds itself.
        isDone: (error) => error.details['status'] === (decision.approved ? 'approved' : 'denied'),
      });
    },
    answer: (questionId, answer, request) =>
      json(`/questions/${encodeURIComponent(questionId)}/answer`, { ...request, body: { answer } }),
    open({ path, body, headers, ...connection }) {
      let isAnswered = body === undefined;
      return connect({
        ...connection,
        environment,
        patienceMs,
        async request(lastEventId, signal) {
          const position = lastEventId === undefined ? {} : { [LAST_EVENT_ID_HEADER]: lastEventId };
          const asked = { accept: ACCEPT_EVENTS, ...position };
          if (isAnswered) return ask(path(), { signal, headers: [asked, headers] });
          const response = await ask('/chat', { signal, headers: [asked, headers], body });
          isAnswered = response.ok;
          return response;
        },
      });
    },
  };
}

interface Asked {
  signal: AbortSignal;
  headers: ReadonlyArray<HeadersOf | undefined>;
  /** A POST if there is one. */
  body?: object | undefined;
}

type Ask = (path: string, asked: Asked) => Promise<Response>;

function createAsk({ api = '/api', headers, credentials }: AgentApiOptions, environment: Environment): Ask {
  const base = api.replace(/\/+$/, '');
  return async (path, asked) => {
    const { body, signal } = asked;
    const all = new Headers(body === undefined ? {} : { 'content-type': 'application/json' });
    const own = typeof headers === 'function' ? await headers() : headers;
    for (const each of [own, ...asked.headers]) new Headers(each).forEach((value, name) => all.set(name, value));
    return environment.fetch(`${base}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: all,
      signal,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(credentials === undefined ? {} : { credentials }),
    });
  };
}

interface JsonRequest extends RequestOptions {
  body?: object;
  /** Whether a refusal of a repeated request says that the first one arrived. */
  isDone?: (refusal: DurableError) => boolean;
}

type Json = <T>(path: string, request: JsonRequest) => Promise<T>;

/** Requests that are safe to repeat, until they are answered. */
function createJson(options: { ask: Ask; environment: Environment; patienceMs: number }): Json {
  const { ask, environment, patienceMs } = options;
  const { clock } = environment;
  return async <T>(path: string, { body, signal, headers, isDone }: JsonRequest): Promise<T> => {
    const whole = signal ?? new AbortController().signal;
    const retries = createRetries({ environment, patienceMs, signal: whole });
    for (let tries = 1; ; tries += 1) {
      whole.throwIfAborted();
      const timeout = new AbortController();
      const startedAt = clock.monotonic();
      const cancel = clock.schedule(() => timeout.abort(new TransientFailure('the server did not answer')), REQUEST_MS);
      try {
        const asked = { signal: AbortSignal.any([whole, timeout.signal]), body, headers: [ACCEPT_JSON, headers] };
        const response = await ask(path, asked);
        if (!response.ok) throw await toFailure(response);
        return (await response.json()) as T;
      } catch (error) {
        whole.throwIfAborted();
        if (DurableError.is(error, 'approval_decided') && tries > 1 && isDone?.(error)) return undefined as T;
        if (DurableError.is(error)) throw error;
        const failure =
          error instanceof TransientFailure ? error : new TransientFailure(String(error), { cause: error });
        await retries.failed(failure, Math.min(clock.monotonic() - startedAt, REQUEST_MS));
      } finally {
        cancel();
      }
    }
  };
}

const ACCEPT_JSON = { accept: 'application/json' };
