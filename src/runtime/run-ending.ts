/**
 * From the end of a run's function to the commit of its end.
 *
 *  N1 A run ends only when every journaled message was released; messages that came after the function had returned go to
 *     the definition's `reopen`, if it has one.
 *  N2 The end of a cancelled run is `cancelled`, whatever its function did.
 *  N3 What a stopped or failed run leaves behind is settled once, however often its end is refused.
 *  N4 A result that cannot be stored fails the run instead of losing it.
 *  N5 What a failed or cancelled run leaves is dropped, and logged, if it cannot be stored: its end does not depend on it.
 *  N6 A run that could not read what is stored is parked and does not fail: it goes on when the store is whole again.
 */

import { currentFrame } from './context.ts';
import { DurableError } from './errors.ts';
import { isUnreadable } from './handback.ts';
import type { WorkflowDefinition } from './registrable.ts';
import type { RunCore } from './run-core.ts';
import { endOf, threadRun } from './run-end.ts';
import type { Outcome } from './run-end.ts';
import type { StreamWrite, Then } from './store.ts';

export interface RunEndingOptions {
  core: RunCore;
  definition: WorkflowDefinition;
  /** The end can be committed. */
  ready: () => void;
  /** `reopen` went on and has ended anew. */
  ended: () => void;
}

export class RunEnding {
  readonly #options: RunEndingOptions;
  #outcome: Outcome | undefined;
  #settling = false;
  #committable: Then | undefined;
  #isCompleted = false;
  #settled: Outcome | undefined;

  constructor(options: RunEndingOptions) {
    this.#options = options;
  }

  /** The function has ended. */
  get hasOutcome(): boolean {
    return this.#outcome !== undefined;
  }

  /** What the next commit ends the run with. */
  get committable(): Then | undefined {
    return this.#committable;
  }

  /** Chunks that stand at the end of the run's streams only if it ends. */
  closingWrites(): StreamWrite[] {
    const { core, definition } = this.#options;
    const isWhole = this.#isCompleted || this.#settled !== undefined;
    return this.#committable !== undefined && isWhole ? (definition.closing?.(core.context) ?? []) : [];
  }

  /** The function's outcome; the first one counts. */
  set(outcome: Outcome): boolean {
    if (this.#outcome !== undefined) return false;
    this.#outcome = outcome;
    return true;
  }

  /** The commit of the end was refused. */
  refused(): void {
    this.#committable = undefined;
    this.#settling = false;
  }

  /** Prepares the end when nothing stands before it. */
  proceed(): void {
    const { core } = this.#options;
    if (this.#outcome === undefined || this.#settling) return;
    const messagesLeft = core.pending.events.some(({ event }) => event.type === 'message_received');
    if (!core.queue.empty || messagesLeft) return;
    this.#settling = true;
    if (core.cancelled === undefined && this.#outcome.status === 'failed' && isUnreadable(this.#outcome.error))
      core.broken(this.#outcome.error); // N6
    else this.#settle(this.#outcome).catch((error: unknown) => core.broken(error));
  }

  async #settle(outcome: Outcome): Promise<void> {
    const { core, definition } = this.#options;
    const { context, root: scope } = core;
    const ended: Outcome = core.cancelled === undefined ? outcome : { status: 'cancelled', error: core.cancelled };
    try {
      if (this.#settled !== undefined) {
        this.#commit(this.#settled); // N3
        return;
      }
      if (ended.status === 'completed') {
        const { reopen } = definition;
        if (reopen !== undefined && core.messages.buffer('').peek() !== undefined) {
          this.#outcome = undefined;
          const value = await currentFrame.run({ context, scope }, () => reopen(context, ended.value));
          this.#settling = false;
          this.set({ status: 'completed', value });
          this.#options.ended();
          return;
        }
      } else if (definition.settle !== undefined) {
        const { settle } = definition;
        const end = { status: ended.status, error: ended.error };
        const { result, leftover } = await currentFrame.run({ context, scope }, () => settle(context, end));
        core.pending.starts.push(...leftover.map((next) => threadRun(core.run, next)));
        this.#settled = ended;
        ended.value = result;
      }
      this.#commit(ended);
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    const { core } = this.#options;
    if (core.cancelled === undefined) {
      if (isUnreadable(error)) core.broken(error); // N6
      else this.#commit({ status: 'failed', error });
      return;
    }
    if (error !== core.cancelled && !core.dropped)
      core.logger.error({ code: 'cancelled', err: error }, 'what a cancelled run leaves behind could not be settled');
    this.#commit({ status: 'cancelled', error });
  }

  #commit(outcome: Outcome): void {
    const { core, ready } = this.#options;
    if (core.dropped) return;
    const { outcome: kept, then } = storableEnd(outcome, core);
    if (kept.status === 'failed') core.logger.error({ code: 'run_failed', err: kept.error }, 'the run failed');
    this.#committable = then;
    this.#isCompleted = kept.status === 'completed';
    ready();
  }
}

interface StorableEnd {
  outcome: Outcome;
  then: Then;
}

/** N4, N5 */
function storableEnd(outcome: Outcome, { run, logger, maxValueBytes }: RunCore): StorableEnd {
  const of = { what: `the result of run "${run.id}"`, maxBytes: maxValueBytes };
  const end = (ended: Outcome): StorableEnd => ({ outcome: ended, then: endOf(ended, of) });
  try {
    return end(outcome);
  } catch (error) {
    if (outcome.status === 'completed') return end({ status: 'failed', error });
    const code = DurableError.is(error) ? error.code : 'value_not_serializable';
    logger.error({ code, err: error }, `what the ${outcome.status} run has left cannot be stored and is dropped`);
    return end({ status: outcome.status, error: outcome.error });
  }
}
