/** Messages that were released to a run and that its code has not taken yet. */

import type { MessageBuffer, ReceivedMessage } from './context.ts';
import type { JournalEvent } from './event.ts';
import type { EndStatus, Message, MessageKind } from './store.ts';

/** How a buffer waits: the held run marks the wait, and rejects it on cancel. */
export type WaitFor = (wait: { key: string; arm: (settle: Settle) => () => void }) => Promise<ReceivedMessage>;

export interface Settle {
  resolve: (message: ReceivedMessage) => void;
  reject: (error: unknown) => void;
}

export class RunMessageBuffer implements MessageBuffer {
  readonly key: string;
  readonly #waitFor: WaitFor;
  #messages: ReceivedMessage[] = [];
  #failure: { error: unknown } | undefined;
  #takers: Settle[] = [];
  #listener: ((message: ReceivedMessage) => void) | undefined;

  constructor(key: string, waitFor: WaitFor) {
    this.key = key;
    this.#waitFor = waitFor;
  }

  take(): Promise<ReceivedMessage> {
    const next = this.#messages.shift();
    if (next !== undefined) return Promise.resolve(next);
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    return this.#waitFor({
      key: this.key,
      arm: (taker) => {
        this.#takers.push(taker);
        return () => {
          this.#takers = this.#takers.filter((other) => other !== taker);
        };
      },
    });
  }

  peek(): ReceivedMessage | undefined {
    return this.#messages[0];
  }

  drain(): ReceivedMessage[] {
    const all = this.#messages;
    this.#messages = [];
    return all;
  }

  remove(ids: string[]): ReceivedMessage[] {
    const wanted = new Set(ids);
    const removed = this.#messages.filter((message) => wanted.has(message.id));
    this.#messages = this.#messages.filter((message) => !wanted.has(message.id));
    return removed;
  }

  /** Calls the listener with each message, in place of keeping it, from those that are there on. The answer ends it. */
  listen(listener: (message: ReceivedMessage) => void): () => void {
    this.#listener = listener;
    for (const message of this.drain()) listener(message);
    return () => {
      if (this.#listener === listener) this.#listener = undefined;
    };
  }

  put(message: ReceivedMessage): void {
    if (this.#listener !== undefined) {
      this.#listener(message);
      return;
    }
    const taker = this.#takers.shift();
    if (taker === undefined) this.#messages.push(message);
    else taker.resolve(message);
  }

  /** Begins anew with these messages: the code that took them is over, and what it still waits for is nobody's. */
  rewind(messages: ReceivedMessage[]): void {
    this.#messages = messages;
    this.#takers = [];
    this.#listener = undefined;
  }

  /** All takes reject from now on: the hook's token belongs to somebody else. */
  fail(error: unknown): void {
    this.#failure = { error };
    for (const taker of this.#takers.splice(0)) taker.reject(error);
  }
}

/** Facts of a message in a journal header, and back. */
export function messageMeta(message: Message): Record<string, unknown> {
  return {
    seq: message.seq,
    id: message.id,
    kind: message.kind,
    ...(message.status === null ? {} : { status: message.status }),
    ...(message.inputHash === null ? {} : { inputHash: message.inputHash }),
    ...(message.by === null ? {} : { by: message.by }),
    sentAt: message.at,
  };
}

export function messageOf(event: JournalEvent): ReceivedMessage {
  const meta = event.meta ?? {};
  return {
    seq: Number(meta['seq']),
    id: String(meta['id']),
    kind: meta['kind'] as MessageKind,
    key: event.key === '' ? null : event.key,
    status: (meta['status'] as EndStatus | undefined) ?? null,
    inputHash: (meta['inputHash'] as string | undefined) ?? null,
    by: (meta['by'] as string | undefined) ?? null,
    at: Number(meta['sentAt']),
    get value(): unknown {
      return event.value;
    },
  };
}
