/** What a run has received: how much of it is released, and the buffers that its code takes the messages from. */

import type { Presence } from './presence.ts';
import type { JournalEvent } from './event.ts';
import { closingError, hookOf } from './hook-closing.ts';
import type { Journal } from './journal.ts';
import type { Entry } from './journal.ts';
import { messageOf, RunMessageBuffer } from './message-buffer.ts';

/** An await of the run's code, as its core makes them. */
type Wait = <T>(options: {
  state: 'waiting' | 'held';
  arm: (settle: { resolve: (value: T) => void; reject: (error: unknown) => void }, presence: Presence) => () => void;
}) => Promise<T>;

export interface RunMessagesOptions {
  run: string;
  journal: Journal;
  /** What replay releases. */
  replayable: readonly Entry[];
  wait: Wait;
  isReleased: (key: string) => boolean;
}

export class RunMessages {
  readonly #options: RunMessagesOptions;
  readonly #buffers = new Map<string, RunMessageBuffer>();
  /** Messages to hooks of agent calls that have ended: code that runs again finds them at once. */
  readonly #passed: ReadonlyMap<string, JournalEvent[]>;
  /** How many messages this holder knows of, released or not, by the key of their hook. */
  readonly #received: Map<string, number>;
  /** How many payloads of a hook were refused by its run, by key. */
  readonly #refused = new Map<string, number>();
  /** Messages that were received, or loaded, and not released yet. */
  #unreleased: number;
  #onReleased: Array<() => void> = [];

  constructor(options: RunMessagesOptions) {
    this.#options = options;
    this.#received = options.journal.messagesByHook();
    this.#passed = options.journal.passedMessages();
    this.#unreleased = options.replayable.filter(({ event }) => event.type === 'message_received').length;
  }

  buffer(key: string): RunMessageBuffer {
    let buffer = this.#buffers.get(key);
    if (buffer === undefined) {
      const { journal, wait, isReleased } = this.#options;
      buffer = new RunMessageBuffer(key, ({ arm }) => wait({ state: 'waiting', arm }));
      this.#buffers.set(key, buffer);
      for (const event of this.#passed.get(key) ?? []) buffer.put(messageOf(event));
      const conflict = journal.completion(key)?.event;
      if (conflict?.type === 'hook_conflict' && isReleased(key)) buffer.fail(conflict.value);
    }
    return buffer;
  }

  /** One is on its way into the journal. */
  receive(hook: string): void {
    this.#unreleased += 1;
    this.#received.set(hook, (this.#received.get(hook) ?? 0) + 1);
  }

  /** The run has refused this many payloads of the hook. */
  refuse(hook: string, times: number): void {
    this.#refused.set(hook, times);
  }

  /** A hook that takes one payload has one that its run has not refused. */
  isAnswered(hook: string): boolean {
    return (this.#received.get(hook) ?? 0) > (this.#refused.get(hook) ?? 0);
  }

  release(event: JournalEvent): void {
    const message = messageOf(event);
    // A wake that says nothing has done its work: the run was claimed.
    if (message.kind !== 'wake' || event.key !== '') {
      // Decoded now: one that cannot be read breaks the run here, and not the code that takes it.
      this.buffer(event.key).put({ ...message, value: event.value });
    }
    this.#unreleased -= 1;
    if (this.#unreleased === 0) for (const resolve of this.#onReleased.splice(0)) resolve();
  }

  /** The token of the hook belongs to somebody else. */
  releaseConflict(event: JournalEvent): void {
    this.buffer(event.key).fail(event.value);
  }

  /** The hook was closed by its run. */
  releaseClosing(event: JournalEvent): void {
    const hook = hookOf(event);
    this.buffer(hook.key).fail(closingError(hook, this.#options.run));
  }

  /** The next attempt of what has these keys gets all messages that were released to the former one. */
  rewind(prefix: string, { upTo }: { upTo: number }): void {
    for (const [key, buffer] of this.#buffers) {
      if (!key.startsWith(prefix)) continue;
      buffer.rewind(this.#options.journal.messagesUpTo(upTo, key).map(messageOf));
    }
  }

  /** Resolves when no received message waits for its release; undefined if none does. */
  allReleased(): Promise<void> | undefined {
    if (this.#unreleased === 0) return undefined;
    return this.#options.wait<void>({
      state: 'held',
      arm: (settle) => {
        const resolve = (): void => settle.resolve();
        this.#onReleased.push(resolve);
        return () => {
          this.#onReleased = this.#onReleased.filter((other) => other !== resolve);
        };
      },
    });
  }
}
