/**
 * Brings a thread's updates to a tab: from the server, or from the tab that has the connection.
 *
 *  K1 Of the tabs that show a thread one is the leader (it holds the lock): it alone reads the stream, and passes on what it gets.
 *  K2 A follower applies the leader's updates by number, after a record that says where they begin; a gap makes it ask for a record.
 *  K3 A leader that does not answer (a suspended page) loses the lock to a tab that somebody looks at.
 *  K4 Whoever leads next goes on from its own record: nothing is missed, and nothing comes twice.
 */

import type { AgentApi } from '../client/agent-api.ts';
import { readThreadFeed } from '../client/thread-feed.ts';
import type { ThreadUpdate } from '../client/thread-feed.ts';
import { DurableError } from '../runtime/errors.ts';
import type { ErrorCode } from '../runtime/errors.ts';
import type { TabChannel, Tabs } from './tabs.ts';
import { toRecord } from './thread-record.ts';
import type { ThreadRecord } from './thread-record.ts';

/** Who shows the thread. */
export interface ThreadSink {
  readonly record: ThreadRecord | undefined;
  reset(record: ThreadRecord): void;
  apply(updates: readonly ThreadUpdate[]): void;
  /** The connection's trouble; undefined when it is over. */
  setTrouble(trouble: DurableError | undefined): void;
}

export interface ThreadLinkOptions {
  api: AgentApi;
  thread: string;
  /** Tabs with the same name share. */
  name: string;
  /** Undefined: this tab is on its own. */
  tabs: Tabs | undefined;
  sink: ThreadSink;
}

export interface ThreadLink {
  /** Whether this tab reads the stream itself. */
  readonly isLeader: boolean;
  /** Connects anew, at once; `load`: from the history. */
  refresh(options?: { load: boolean }): void;
  close(): void;
}

type TabMessage =
  | { kind: 'hello'; from: string; leader: string | undefined; seq: number }
  | { kind: 'alive'; leader: string }
  | { kind: 'record'; leader: string; seq: number; to: string | null; record: ThreadRecord; trouble: PlainError | null }
  | { kind: 'updates'; leader: string; seq: number; updates: ThreadUpdate[] }
  | { kind: 'trouble'; leader: string; trouble: PlainError | null }
  | { kind: 'refresh'; load: boolean };

interface PlainError {
  code: ErrorCode;
  message: string;
  details: Record<string, unknown>;
}

const ANSWER_MS = 2_000;
const ASK_MS = 10_000;

export function openThreadLink(options: ThreadLinkOptions): ThreadLink {
  const link = new Link(options);
  link.start();
  return link;
}

class Link implements ThreadLink {
  isLeader = false;
  readonly #options: ThreadLinkOptions;
  readonly #id: string;
  readonly #closing = new AbortController();
  readonly #channel: TabChannel | undefined;
  #trouble: DurableError | undefined;
  /** Ends the leader's current connection. */
  #reading = new AbortController();
  #mustLoad = false;
  /** Wakes a leader that has given up. */
  #wake: (() => void) | undefined;
  /** K2. Of the last update that was passed on, or applied. */
  #seq = 0;
  #leader: string | undefined;
  #cancelCheck: () => void = () => undefined;
  #ignoreNews: () => void = () => undefined;
  /** Of a request for the lock. */
  #asking = new AbortController();
  #mustSteal = false;

  constructor(options: ThreadLinkOptions) {
    this.#options = options;
    const { api, tabs, name } = options;
    this.#id = `${api.environment.random()}`;
    this.#channel = tabs?.join(name, (message) => this.#hear(message as TabMessage));
  }

  start(): void {
    const { tabs, api } = this.#options;
    this.#ignoreNews = api.environment.network.onNews(() => {
      if (this.isLeader) this.#wake?.();
      else this.#ask();
    });
    if (tabs === undefined) {
      void this.#run(() => this.#lead(this.#closing.signal));
      return;
    }
    void this.#run(() => this.#follow(tabs));
    this.#ask();
  }

  refresh({ load } = { load: false }): void {
    if (!this.isLeader) this.#post({ kind: 'refresh', load });
    else {
      this.#mustLoad ||= load;
      this.#reading.abort();
      this.#wake?.();
    }
  }

  close(): void {
    this.#closing.abort();
    this.#cancelCheck();
    this.#ignoreNews();
    this.#channel?.close();
  }

  /** What nobody waits for ends with the link; anything else is the page's to show. */
  async #run(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#tell(toDurableError(error));
    }
  }

  /** K1. Until the link is closed: a leader that was robbed follows. */
  async #follow(tabs: Tabs): Promise<void> {
    const closed = this.#closing.signal;
    while (!closed.aborted) {
      this.#asking = new AbortController();
      const asked = this.#asking.signal;
      const steal = this.#mustSteal;
      this.#mustSteal = false;
      try {
        const options = { name: this.#options.name, signal: AbortSignal.any([closed, asked]), steal };
        await tabs.lead(options, (held) => this.#lead(held));
      } catch (error) {
        if (!asked.aborted) throw error;
      }
      this.isLeader = false;
      if (!this.#mustSteal) this.#ask();
    }
  }

  async #lead(signal: AbortSignal): Promise<void> {
    this.isLeader = true;
    this.#leader = this.#id;
    this.#cancelCheck();
    const { sink } = this.#options;
    if (sink.record !== undefined) this.#announce(null);
    while (!signal.aborted) {
      this.#reading = new AbortController();
      const whole = AbortSignal.any([signal, this.#reading.signal]);
      try {
        await this.#read(whole);
      } catch (error) {
        if (signal.aborted) return;
        if (this.#reading.signal.aborted) continue;
        if (isLostPlace(error) && !this.#mustLoad) {
          this.#mustLoad = true;
          continue;
        }
        this.#tell(toDurableError(error));
        await this.#pause(signal);
      }
    }
  }

  /** K4 */
  async #read(signal: AbortSignal): Promise<void> {
    const { api, thread, sink } = this.#options;
    if (sink.record === undefined || this.#mustLoad) {
      const record = toRecord(await api.history(thread, { signal }));
      this.#mustLoad = false;
      sink.reset(record);
      this.#announce(null);
    }
    const after = sink.record?.position;
    const onTrouble = (trouble: DurableError | undefined): void => this.#tell(trouble);
    for await (const updates of readThreadFeed(api, { thread, after, signal, onTrouble })) {
      signal.throwIfAborted();
      sink.apply(updates);
      this.#seq += 1;
      this.#post({ kind: 'updates', leader: this.#id, seq: this.#seq, updates });
    }
  }

  /** Until there is reason to try again. */
  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#wake = undefined;
        resolve();
      };
      this.#wake = wake;
      signal.addEventListener('abort', wake);
    });
  }

  #tell(trouble: DurableError | undefined): void {
    if (this.#trouble === trouble) return;
    this.#trouble = trouble;
    this.#options.sink.setTrouble(trouble);
    if (this.isLeader) this.#post({ kind: 'trouble', leader: this.#id, trouble: toPlain(trouble) });
  }

  /** K2 */
  #announce(to: string | null): void {
    const { record } = this.#options.sink;
    if (record === undefined) return;
    if (to === null) this.#seq += 1;
    this.#post({ kind: 'record', leader: this.#id, seq: this.#seq, to, record, trouble: toPlain(this.#trouble) });
  }

  #post(message: TabMessage): void {
    if (!this.#closing.signal.aborted) this.#channel?.post(message);
  }

  #hear(message: TabMessage): void {
    if (this.#closing.signal.aborted) return;
    if (this.isLeader) this.#hearAsLeader(message);
    else this.#hearAsFollower(message);
  }

  #hearAsLeader(message: TabMessage): void {
    if (message.kind === 'refresh') this.refresh(message);
    if (message.kind !== 'hello') return;
    const isUpToDate = message.leader === this.#id && message.seq === this.#seq;
    if (isUpToDate || this.#options.sink.record === undefined) this.#post({ kind: 'alive', leader: this.#id });
    else this.#announce(message.from);
  }

  #hearAsFollower(message: TabMessage): void {
    if (message.kind === 'hello' || message.kind === 'refresh') return;
    this.#expect();
    if (message.kind === 'record') this.#takeRecord(message);
    else if (message.kind === 'updates') this.#takeUpdates(message);
    else if (message.kind === 'trouble' && message.leader === this.#leader) this.#setTrouble(message.trouble);
  }

  #takeRecord({ leader, seq, to, record, trouble }: TabMessage & { kind: 'record' }): void {
    if (to !== null && to !== this.#id) return;
    const isKnown = leader === this.#leader && seq === this.#seq && this.#options.sink.record !== undefined;
    this.#leader = leader;
    this.#seq = seq;
    this.#setTrouble(trouble);
    if (!isKnown) this.#options.sink.reset(record);
  }

  /** K2 */
  #takeUpdates({ leader, seq, updates }: TabMessage & { kind: 'updates' }): void {
    if (leader === this.#leader && seq <= this.#seq) return;
    if (leader !== this.#leader || seq !== this.#seq + 1) {
      this.#ask();
      return;
    }
    this.#seq = seq;
    this.#options.sink.apply(updates);
  }

  #setTrouble(trouble: PlainError | null): void {
    const error = trouble === null ? undefined : new DurableError(trouble.code, trouble.message, trouble);
    this.#trouble = error;
    this.#options.sink.setTrouble(error);
  }

  /** K3 */
  #ask(): void {
    if (this.isLeader || this.#channel === undefined) return;
    this.#post({ kind: 'hello', from: this.#id, leader: this.#leader, seq: this.#seq });
    this.#check(ANSWER_MS, () => {
      if (this.#options.tabs?.isVisible() === false) this.#expect();
      else {
        this.#mustSteal = true;
        this.#asking.abort();
      }
    });
  }

  #expect(): void {
    this.#check(ASK_MS, () => this.#ask());
  }

  #check(delay: number, run: () => void): void {
    this.#cancelCheck();
    if (this.isLeader || this.#closing.signal.aborted) return;
    this.#cancelCheck = this.#options.api.environment.clock.schedule(run, delay);
  }
}

/** The thread has no such place any more: a store that was restored, a run that was removed, or chunks that are not kept. */
function isLostPlace(error: unknown): boolean {
  return (
    DurableError.is(error, 'invalid_offset') ||
    DurableError.is(error, 'run_not_found') ||
    DurableError.is(error, 'offset_expired')
  );
}

function toPlain(error: DurableError | undefined): PlainError | null {
  if (error === undefined) return null;
  const { code, message, details } = error;
  return { code, message: message.replace(/ \(docs\/errors\.md#\w+\)$/, ''), details };
}

function toDurableError(error: unknown): DurableError {
  if (DurableError.is(error)) return error;
  return new DurableError('internal_error', `The page could not follow the thread: ${String(error)}.`, {
    cause: error,
  });
}
