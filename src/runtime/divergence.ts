/**
 * Finds out that code and journal differ: the code rests, and a recorded completion is not asked for. Code may still be
 * on its way (a web stream, a dynamic import), so the difference must hold over several looks; an event loop that stalled
 * counts as one look. If the code has not answered the last release with anything new, it may await something plain: that
 * gets more time.
 */

import type { Entry } from './journal.ts';
import type { RunCore } from './run-core.ts';

/** Between two looks, and how long the difference must hold: where the code asks for something that is not recorded, and else. */
const ASKED = { lookMs: 50, holdsMs: 300 };
const SILENT = { lookMs: 500, holdsMs: 10_000 };

export interface Difference {
  key: string;
  recorded: string;
  asked: string;
  why: string;
}

export class DivergenceWatch {
  readonly #core: RunCore;
  readonly #report: (difference: Difference) => void;
  #entry: Entry | undefined;
  #heldMs = 0;
  #cancel: (() => void) | undefined;

  constructor(core: RunCore, report: (difference: Difference) => void) {
    this.#core = core;
    this.#report = report;
  }

  /** The code rests: is a recorded completion left that it did not ask for? */
  look(): void {
    const blocked = this.#core.root.presence.state === 'busy' ? undefined : this.#blocked();
    if (blocked === undefined || this.#cancel !== undefined) return;
    if (blocked !== this.#entry) this.#heldMs = 0;
    this.#entry = blocked;
    const { lookMs, holdsMs } = this.#core.asksAnew ? ASKED : SILENT;
    if (this.#heldMs >= holdsMs) this.#found(blocked, 'the code waits for something else');
    else {
      this.#cancel = this.#core.clock.schedule(() => {
        this.#cancel = undefined;
        this.#heldMs += lookMs;
        this.look();
      }, lookMs);
    }
  }

  /** The function has ended: whatever is left was never asked for. True if it diverged. */
  lookAtEnd(): boolean {
    const blocked = this.#blocked();
    if (blocked === undefined) return false;
    this.#found(blocked, 'the function ended without it');
    return true;
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #blocked(): Entry | undefined {
    if (this.#core.dropped || !this.#core.queue.replaying || !this.#core.queue.resting) return undefined;
    return this.#core.queue.blocked((entry) => this.#core.isAsked(entry));
  }

  #found(entry: Entry, why: string): void {
    const open = this.#core.asks.openKeys();
    this.#report({
      key: entry.event.key,
      recorded: entry.event.type,
      asked: open.length === 0 ? 'nothing' : open.map((key) => `"${key}"`).join(', '),
      why,
    });
  }
}
