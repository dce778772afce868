/**
 * A thread as a page shows it: what is stored, what is being streamed, and what was sent and is not there yet.
 *
 *  V1 What is shown follows from the record alone, but for messages on their way: each tab that has the record shows the same.
 *  V2 A message that was sent is shown at once, and once: it gives way when the thread has it.
 *  V3 Snapshots are immutable; a new one is made when somebody looks after a change.
 */

import type { UIMessage, UIMessageChunk } from 'ai';
import type { Wait } from '../client/agent-api.ts';
import type { ThreadUpdate } from '../client/thread-feed.ts';
import { DurableError } from '../runtime/errors.ts';
import type { ThreadStatus } from '../streams/wire.ts';
import { createMessageFold } from './message-fold.ts';
import type { MessageFold } from './message-fold.ts';
import { authorsOf, extendRecord } from './thread-record.ts';
import type { RunUpdate, ThreadRecord } from './thread-record.ts';

export type AgentStatus = 'submitted' | 'streaming' | 'waiting' | 'ready' | 'error';

export interface ThreadSnapshot {
  messages: UIMessage[];
  /** By message id: who sent it, where that is known; of messages that wait for their turn too. */
  authors: Record<string, string>;
  /** What is sent after the active run has ended. */
  queued: QueuedMessage[];
  status: AgentStatus;
  run: ThreadStatus['run'];
  /** What the run waits for. */
  waits: Wait[];
  error: Error | undefined;
  /** Whether the thread's history is here. */
  isLoaded: boolean;
}

export interface QueuedMessage {
  /** Null: on its way. */
  runId: string | null;
  message: UIMessage;
}

/** A message that the thread does not have yet. */
export interface Sending {
  readonly message: UIMessage;
  readonly isQueued: boolean;
  state: 'posting' | 'accepted' | 'failed';
  /** The run that takes it in its course. */
  steered: string | undefined;
}

export interface ThreadViewEvents {
  onChange(): void;
  /** A chunk that was not there when the page opened. */
  onChunk(chunk: UIMessageChunk): void;
  onFinish(end: RunEnd): void;
  onError(error: Error): void;
  /** What was received makes no sense: it has to be loaded again. */
  onBroken(error: unknown): void;
}

export interface RunEnd {
  message: UIMessage;
  isAbort: boolean;
  isError: boolean;
}

interface OpenFold {
  run: string;
  messageId: string;
  fold: MessageFold;
  /** Told to `onFinish`; not of a run whose end was there when the page opened. */
  isLive: boolean;
  isAbort: boolean;
  isError: boolean;
}

export class ThreadView {
  readonly #events: ThreadViewEvents;
  readonly #id: string;
  #record: ThreadRecord | undefined;
  #messages: UIMessage[];
  #fold: OpenFold | undefined;
  /** Runs whose `finish` was seen: an ending that is not stored may be told again. */
  readonly #ended = new Set<string>();
  /** Runs of which something was streamed since their last wait. */
  #streaming: string | undefined;
  #sending: Sending[] = [];
  #error: Error | undefined;
  #trouble: DurableError | undefined;
  #snapshot: ThreadSnapshot | undefined;
  /** Of folds: those of an earlier record are void. */
  #generation = 0;

  constructor(id: string, initial: UIMessage[], events: ThreadViewEvents) {
    this.#id = id;
    this.#messages = initial;
    this.#events = events;
  }

  get record(): ThreadRecord | undefined {
    return this.#record;
  }

  /** V1. Everything anew, from what the server or another tab knows. */
  reset(record: ThreadRecord): void {
    this.#generation += 1;
    this.#fold = undefined;
    this.#streaming = undefined;
    this.#ended.clear();
    const { messages, updates } = record;
    this.#messages = messages;
    this.#record = { ...record, updates: [] };
    this.#take(updates, { isLive: false });
    this.#record = { ...this.#record, updates: [...updates] };
    this.#settleSending();
    this.#changed();
  }

  apply(updates: readonly ThreadUpdate[]): void {
    if (this.#record === undefined) return;
    extendRecord(this.#record, updates);
    this.#take(
      updates.filter((update): update is RunUpdate => update.kind !== 'thread'),
      { isLive: true },
    );
    if (this.#record.status.run?.status !== 'running') this.#streaming = undefined;
    this.#settleSending();
    this.#changed();
  }

  /** The connection's, which goes away by itself. */
  setTrouble(trouble: DurableError | undefined): void {
    if (this.#trouble === trouble) return;
    this.#trouble = trouble;
    if (trouble !== undefined) this.#events.onError(trouble);
    this.#changed();
  }

  setError(error: Error | undefined): void {
    this.#error = error;
    if (error === undefined) this.#sending = this.#sending.filter(({ state }) => state !== 'failed');
    else this.#events.onError(error);
    this.#changed();
  }

  /** Until the server says something else. */
  setMessages(messages: UIMessage[]): void {
    this.#messages = messages;
    this.#changed();
  }

  /** V2 */
  addSending(message: UIMessage, options: { isQueued: boolean }): Sending {
    this.setError(undefined);
    const sending: Sending = { message, ...options, state: 'posting', steered: undefined };
    this.#sending = [...this.#sending, sending];
    this.#changed();
    return sending;
  }

  updateSending(sending: Sending, change: Partial<Pick<Sending, 'state' | 'steered'>>): void {
    Object.assign(sending, change);
    this.#settleSending();
    this.#changed();
  }

  /** V3 */
  snapshot(): ThreadSnapshot {
    this.#snapshot ??= this.#look();
    return this.#snapshot;
  }

  #take(updates: readonly RunUpdate[], { isLive }: { isLive: boolean }): void {
    for (const update of updates) {
      if (update.kind === 'run') this.#begin(update.beginning, isLive);
      else if (!this.#ended.has(update.run)) this.#write(update, isLive);
    }
  }

  #begin(
    { runId, messageId, messages, supersedes }: (RunUpdate & { kind: 'run' })['beginning'],
    isLive: boolean,
  ): void {
    this.#error = undefined;
    if (supersedes !== null) this.#messages = this.#messages.filter(({ id }) => id !== `msg_${supersedes}`);
    for (const message of messages) this.#show(message);
    this.#open({ run: runId, messageId, isLive });
  }

  #write({ run, chunk }: RunUpdate & { kind: 'chunk' }, isLive: boolean): void {
    const open = this.#fold?.run === run ? this.#fold : this.#open({ run, messageId: `msg_${run}`, isLive });
    open.fold.write(chunk);
    if (isLive) this.#events.onChunk(chunk);
    if (chunk.type === 'abort') open.isAbort = true;
    if (chunk.type === 'steering-message') this.#drop(chunk.id);
    if (chunk.type === 'error') {
      open.isError = true;
      this.#error = new Error(chunk.errorText);
      if (isLive) this.#events.onError(this.#error);
    }
    if (isContent(chunk)) this.#streaming = run;
    if (chunk.type === 'finish') this.#end(open, isLive);
  }

  #open({ run, messageId, isLive }: { run: string; messageId: string; isLive: boolean }): OpenFold {
    const generation = this.#generation;
    const isCurrent = (): boolean => this.#generation === generation;
    const known = this.#messages.find(({ id }) => id === messageId);
    const fold = createMessageFold({
      message: known ?? { id: messageId, role: 'assistant', parts: [] },
      onMessage: (message) => {
        if (!isCurrent() || message.parts.length === 0) return;
        this.#show(message);
        this.#changed();
      },
      onBroken: (error) => {
        if (isCurrent()) this.#events.onBroken(error);
      },
    });
    this.#fold = { run, messageId, fold, isLive, isAbort: false, isError: false };
    return this.#fold;
  }

  #end(open: OpenFold, isLive: boolean): void {
    const generation = this.#generation;
    this.#ended.add(open.run);
    this.#fold = undefined;
    void open.fold.close().then(() => {
      if (this.#generation !== generation) return;
      this.#condense();
      const message = this.#messages.find(({ id }) => id === open.messageId);
      const { isAbort, isError } = open;
      if (isLive && message !== undefined) this.#events.onFinish({ message, isAbort, isError });
    });
  }

  /** Between runs the messages are whole, and need no updates to make them. */
  #condense(): void {
    if (this.#fold !== undefined || this.#record === undefined) return;
    this.#record = { ...this.#record, messages: this.#messages, updates: [] };
  }

  /** In its place if it is there. */
  #show(message: UIMessage): void {
    const at = this.#messages.findIndex(({ id }) => id === message.id);
    this.#messages = at < 0 ? [...this.#messages, message] : this.#messages.with(at, message);
  }

  #drop(id: string): void {
    this.#sending = this.#sending.filter(({ message }) => message.id !== id);
  }

  /** V2 */
  #settleSending(): void {
    const status = this.#record?.status;
    const known = new Set(this.#messages.map(({ id }) => id));
    for (const { messages } of status?.queued ?? []) for (const { id } of messages) known.add(id);
    this.#sending = this.#sending.filter(
      ({ message, steered }) => !known.has(message.id) && (steered === undefined || steered === status?.run?.id),
    );
  }

  #look(): ThreadSnapshot {
    const { run = null, queued = [] } = this.#record?.status ?? {};
    const onTheirWay = this.#sending.filter(({ isQueued }) => !isQueued).map(({ message }) => message);
    const toBeQueued = this.#sending.filter(({ isQueued }) => isQueued);
    const error = this.#error ?? this.#trouble ?? this.#parked();
    return {
      messages: [...this.#messages, ...onTheirWay],
      authors: Object.assign({}, this.#record?.authors, ...queued.map(authorsOf)) as Record<string, string>,
      queued: [
        ...queued.flatMap(({ runId, messages }) => messages.map((message) => ({ runId, message }))),
        ...toBeQueued.map(({ message }) => ({ runId: null, message })),
      ],
      status: error === undefined ? this.#status() : 'error',
      run,
      waits: run?.waits ?? [],
      error,
      isLoaded: this.#record !== undefined,
    };
  }

  #status(): AgentStatus {
    const run = this.#record?.status.run ?? null;
    if (
      this.#sending.some(({ state, isQueued, steered }) => state !== 'failed' && !isQueued && steered === undefined)
    ) {
      return 'submitted';
    }
    if (run === null) return 'ready';
    if (run.status === 'waiting') return 'waiting';
    return this.#streaming === run.id ? 'streaming' : 'submitted';
  }

  #parked(): DurableError | undefined {
    const run = this.#record?.status.run;
    if (run?.status !== 'parked') return undefined;
    return new DurableError(
      'run_parked',
      `The run "${run.id}" of the thread "${this.#id}" cannot go on by itself. Nothing of it is lost; whoever runs the server has to look at it.`,
      { details: { run: run.id } },
    );
  }

  #changed(): void {
    this.#snapshot = undefined;
    this.#events.onChange();
  }
}

/** What people see something of. */
function isContent({ type }: UIMessageChunk): boolean {
  return !['start', 'start-step', 'finish-step', 'finish', 'abort', 'error', 'message-metadata'].includes(type);
}
