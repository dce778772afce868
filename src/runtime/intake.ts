/** What reaches a run from outside, on its way into the journal: messages in inbox order, and cancel. */

import { decodeText } from './codec.ts';
import type { Payload } from './codec.ts';
import { messageMeta } from './message-buffer.ts';
import { noticeIn } from './notices.ts';
import { isReference } from './reference.ts';
import type { RunCore } from './run-core.ts';
import type { Message } from './store.ts';

export class Intake {
  readonly #core: RunCore;
  readonly #onCancel: (at: number) => void;
  #received: number;
  #cancelled = false;

  constructor(core: RunCore, options: { received: number; onCancel: (at: number) => void }) {
    this.#core = core;
    this.#received = options.received;
    this.#onCancel = options.onCancel;
  }

  /** Messages that are journaled or on their way there. */
  get received(): number {
    return this.#received;
  }

  /** The run is cancelled, and its holder knows. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Every message is journaled with the next commit, awaited or not; those that are known already are skipped. */
  take(messages: Message[], cancel: boolean): void {
    for (const message of messages) {
      if (message.seq !== this.#received) continue;
      this.#received += 1;
      const { key = message.key ?? '', ...text } = noticeIn(message) ?? textOf(message.payload);
      this.#core.record({ type: 'message_received', key, meta: messageMeta(message), ...text });
    }
    if (cancel && !this.#cancelled) this.#cancel();
  }

  /** A cancel that the journal has already is in force again when it is released. */
  #cancel(): void {
    this.#cancelled = true;
    const recorded = this.#core.journal.find('cancel_requested');
    if (recorded === undefined) {
      this.#core.record({ type: 'cancel_requested', key: '' });
      this.#core.pending.cancels.push(...this.#core.children.values());
      this.#core.logger.info({ code: 'cancelled' }, 'the run is cancelled');
    }
    this.#onCancel(recorded?.at ?? this.#core.storeNow());
  }
}

/** A run that the store ended leaves its parent no value. */
function textOf(payload: Payload): { key?: string; text?: string; reference?: Payload } {
  if (isReference(payload)) return { reference: payload };
  return payload.length === 0 ? {} : { text: decodeText(payload) };
}
