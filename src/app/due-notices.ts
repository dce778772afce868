/** Tells the application when runs fall due, where nobody polls for them. */

import type { WayIn } from '../runtime/admission.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/logger.ts';
import { codeOf } from '../runtime/store-calls.ts';

/** A run that has to be driven at a time. */
export interface DueRun {
  run: string;
  /** Milliseconds since the epoch. */
  dueAt: number;
}

/** Called after the commit; what it throws is logged. A process that dies before it has answered does not call it again. */
export type OnDue = (due: DueRun) => void | Promise<void>;

export class DueNotices {
  readonly #onDue: OnDue;
  readonly #parts: { clock: Clock; logger: Logger };
  readonly #open = new Set<Promise<void>>();

  constructor(onDue: OnDue, parts: { clock: Clock; logger: Logger }) {
    this.#onDue = onDue;
    this.#parts = parts;
  }

  tell(due: DueRun): Promise<void> {
    const notice = this.#tell(due).finally(() => this.#open.delete(notice));
    this.#open.add(notice);
    return notice;
  }

  /** When all have been told. */
  async settled(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  /** Starts and deliveries that leave a run due which this process has not claimed. */
  around(way: WayIn): WayIn {
    return {
      start: async (run) => {
        const answer = await way.start(run);
        if (answer?.kind === 'created' && answer.token === null && answer.run.status === 'ready')
          await this.tell({ run: run.id, dueAt: answer.now });
        return answer;
      },
      deliver: async (delivery) => {
        const answer = await way.deliver(delivery);
        if (answer?.kind === 'ok' && answer.claimed === undefined)
          await this.tell({ run: answer.run, dueAt: this.#parts.clock.now() });
        return answer;
      },
    };
  }

  async #tell(due: DueRun): Promise<void> {
    try {
      await this.#onDue(due);
    } catch (error) {
      this.#parts.logger.error(
        { ...due, code: codeOf(error), err: error },
        'onDue failed: nobody may come for this run',
      );
    }
  }
}
