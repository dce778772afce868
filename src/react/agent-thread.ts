/** One thread in one page: its view, its connection, and what people do with it. */

import { convertFileListToFileUIParts } from 'ai';
import type { ChatOnDataCallback, ChatOnToolCallCallback, FileUIPart, UIMessage } from 'ai';
import { createAgentApi } from '../client/agent-api.ts';
import type { Accepted, AgentApi, AgentApiOptions, Decision, RequestOptions } from '../client/agent-api.ts';
import { toOutputBody } from '../client/durable-chat-transport.ts';
import type { ToolOutput } from '../client/durable-chat-transport.ts';
import { DurableError } from '../runtime/errors.ts';
import { browserTabs } from './tabs.ts';
import { openThreadLink } from './thread-link.ts';
import type { ThreadLink } from './thread-link.ts';
import { ThreadView } from './thread-view.ts';
import type { RunEnd, ThreadSnapshot } from './thread-view.ts';

export interface AgentThreadOptions extends AgentApiOptions {
  /** Shown until the history is here. */
  messages?: UIMessage[];
  /** More fields for the body of each send. */
  body?: object;
  generateId: () => string;
  /** `own`: this page does not share its connection, for pages of one origin that are not one user's. Default `shared`. */
  tabs?: 'shared' | 'own';
}

/** What a page wants to hear of. */
export interface AgentThreadEvents {
  onError?(error: Error): void;
  /** A run of the thread has ended, whoever started it. */
  onFinish?(end: RunEnd & { messages: UIMessage[]; isDisconnect: false }): void;
  onData?: ChatOnDataCallback<UIMessage>;
  /** A client-side tool is waited for. Called in one tab, also after a reload. */
  onToolCall?: ChatOnToolCallCallback;
}

export type WhenBusy = 'reject' | 'queue' | 'steer' | 'interrupt';

export interface SendOptions {
  /** What happens if the agent is at work: `reject` (default), answer afterwards, take it in, or stop first. */
  whenBusy?: WhenBusy | undefined;
  headers?: Record<string, string> | Headers | undefined;
  body?: object | undefined;
}

/** A message as a page writes it. */
export type Draft =
  | { text: string; files?: FileList | FileUIPart[]; metadata?: unknown; messageId?: string }
  | { text?: never; files: FileList | FileUIPart[]; metadata?: unknown; messageId?: string }
  | (Pick<UIMessage, 'parts'> & Partial<UIMessage> & { text?: never; files?: never; messageId?: string });

export class AgentThread {
  readonly id: string;
  readonly #options: AgentThreadOptions;
  readonly #api: AgentApi;
  readonly #view: ThreadView;
  readonly #listeners = new Set<() => void>();
  readonly #events: () => AgentThreadEvents;
  /** Client-side calls that this page was told of. */
  readonly #called = new Set<string>();
  #link: ThreadLink | undefined;
  #holders = 0;
  #isTelling = false;

  constructor(id: string, options: AgentThreadOptions, events: () => AgentThreadEvents) {
    this.id = id;
    this.#options = options;
    this.#events = events;
    this.#api = createAgentApi(options);
    this.#view = new ThreadView(id, options.messages ?? [], {
      onChange: () => this.#tell(),
      onChunk: (chunk) => {
        if (chunk.type.startsWith('data-')) events().onData?.(chunk as Parameters<ChatOnDataCallback<UIMessage>>[0]);
      },
      onFinish: (end) => events().onFinish?.({ ...end, messages: this.snapshot().messages, isDisconnect: false }),
      onError: (error) => events().onError?.(error),
      onBroken: () => this.#link?.refresh({ load: true }),
    });
  }

  /**
   * Connects as long as somebody holds it. A release counts at the end of the macrotask: React's StrictMode mounts twice, and
   * that is one connection.
   */
  hold(): () => void {
    this.#holders += 1;
    this.#link ??= openThreadLink({
      api: this.#api,
      thread: this.id,
      name: `everturn ${this.#options.api ?? ''} ${this.id}`,
      tabs: this.#options.tabs === 'own' ? undefined : browserTabs(),
      sink: this.#view,
    });
    return () => {
      this.#holders -= 1;
      this.#api.environment.clock.defer(() => {
        if (this.#holders > 0) return;
        this.#link?.close();
        this.#link = undefined;
      });
    };
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly snapshot = (): ThreadSnapshot => this.#view.snapshot();

  /** Resolves when the server has the message, or has refused it: an error is shown, never thrown. */
  async send(draft: Draft | undefined, { whenBusy, headers, body }: SendOptions = {}): Promise<void> {
    // Answers to approvals and outputs are sent as they are given.
    if (draft === undefined) return;
    const read = toMessage(draft, this.#options.generateId);
    const message = read instanceof Promise ? await read : read;
    const { run } = this.snapshot();
    const sending = this.#view.addSending(message, { isQueued: whenBusy === 'queue' && run !== null });
    try {
      const accepted = await this.#post(
        { messages: [message], trigger: 'submit-message', whenBusy },
        { headers, body },
      );
      this.#view.updateSending(sending, {
        state: 'accepted',
        steered: accepted.steered ? accepted.runId : undefined,
      });
    } catch (error) {
      this.#view.updateSending(sending, { state: 'failed' });
      this.#view.setError(toError(error));
    }
  }

  /** Generates the last answer again. */
  async regenerate({ messageId, whenBusy, headers, body }: { messageId?: string } & SendOptions = {}): Promise<void> {
    const { messages } = this.snapshot();
    const at = messageId === undefined ? messages.length - 1 : messages.findIndex(({ id }) => id === messageId);
    const asked = messages.slice(0, at + 1).findLast(({ role }) => role === 'user');
    if (asked === undefined) {
      throw new DurableError(
        'invalid_argument',
        `There is no answer ${JSON.stringify(messageId ?? '')} to generate again.`,
      );
    }
    this.#view.setError(undefined);
    const target = messages[at];
    const answer = target?.role === 'assistant' ? { messageId: target.id } : {};
    await this.#attempt(() =>
      this.#post({ messages: [asked], trigger: 'regenerate-message', whenBusy, ...answer }, { headers, body }),
    );
  }

  /** Stops the active run, durably; resolves when its end is shown. */
  async stop(): Promise<void> {
    await this.#attempt(async () => {
      const { runId } = await this.#api.stop(this.snapshot().run?.id ?? this.id);
      if (runId !== null) await this.#until(({ run }) => run?.id !== runId);
    });
  }

  /** Takes back a message that waits for its turn. */
  async removeQueued(messageId: string): Promise<void> {
    const queued = this.snapshot().queued.find(({ message }) => message.id === messageId);
    const runId = queued?.runId;
    if (runId != null) await this.#attempt(() => this.#api.stop(runId));
  }

  /** Stops the active run and sends this one next. It is another message then: what was taken back stays taken back. */
  async sendQueuedNow(messageId: string): Promise<void> {
    const queued = this.snapshot().queued.find(({ message }) => message.id === messageId);
    if (queued === undefined) return;
    await this.removeQueued(messageId);
    await this.send({ ...queued.message, id: this.#options.generateId() }, { whenBusy: 'interrupt' });
  }

  /** Rejects, with `approval_decided` for instance: a card shows it where it stands. */
  decide(approvalId: string, decision: Decision): Promise<void> {
    return this.#api.decide(approvalId, decision);
  }

  /** Rejects, with `question_settled` or `payload_invalid` for instance: a card shows it where it stands. */
  answer(questionId: string, answer: unknown): Promise<void> {
    return this.#api.answer(questionId, answer);
  }

  async addToolOutput({
    messageId,
    ...output
  }: Omit<ToolOutput, 'chatId' | 'messageId'> & { messageId?: string }): Promise<void> {
    const id = messageId ?? this.snapshot().run?.messageId;
    if (id === undefined) return;
    await this.#attempt(() => this.#api.send(toOutputBody({ ...output, chatId: this.id, messageId: id })));
  }

  setMessages(messages: UIMessage[] | ((messages: UIMessage[]) => UIMessage[])): void {
    this.#view.setMessages(typeof messages === 'function' ? messages(this.snapshot().messages) : messages);
  }

  clearError(): void {
    this.#view.setError(undefined);
  }

  /** Connects anew, at once. */
  refresh(): void {
    this.#link?.refresh();
  }

  #post(fields: object, { headers, body }: SendOptions): Promise<Accepted> {
    const request: RequestOptions = { headers };
    return this.#api.send({ ...this.#options.body, ...body, id: this.id, ...fields }, request);
  }

  async #attempt(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#view.setError(toError(error));
    }
  }

  /** Also resolves when the page shows the thread no more. */
  #until(isSo: (snapshot: ThreadSnapshot) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#link !== undefined && !isSo(this.snapshot())) return;
        this.#listeners.delete(look);
        resolve();
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** Once for all that changed in a macrotask. */
  #tell(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    this.#api.environment.clock.defer(() => {
      this.#isTelling = false;
      for (const listener of this.#listeners) listener();
      this.#callTools();
    });
  }

  #callTools(): void {
    const { onToolCall } = this.#events();
    if (onToolCall === undefined || this.#link?.isLeader !== true) return;
    for (const wait of this.snapshot().waits) {
      if (wait.kind !== 'client-tool' || this.#called.has(wait.toolCallId)) continue;
      this.#called.add(wait.toolCallId);
      const { toolCallId, tool: toolName, input } = wait;
      void onToolCall({ toolCall: { toolCallId, toolName, input } });
    }
  }
}

/** What the page picked from a disk has to be read first; anything else can be shown at once. */
function toMessage(draft: Draft, generateId: () => string): UIMessage | Promise<UIMessage> {
  const { messageId, metadata } = draft;
  const own = metadata === undefined ? {} : { metadata };
  if ('parts' in draft) return { ...own, id: draft.id ?? messageId ?? generateId(), role: 'user', parts: draft.parts };
  const { text, files = [] } = draft;
  const textParts = text === undefined ? [] : [{ type: 'text' as const, text }];
  const id = messageId ?? generateId();
  const toWhole = (parts: FileUIPart[]): UIMessage => ({ ...own, id, role: 'user', parts: [...parts, ...textParts] });
  return Array.isArray(files) ? toWhole(files) : convertFileListToFileUIParts(files).then(toWhole);
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
