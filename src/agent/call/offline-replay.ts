/**
 * An agent call whose end is recorded, played again inside a workflow: its turns and tools answer from the journal without
 * asking for their release, which only the call's end still needs.
 *
 *  O1 Results are answered in journal order, so that messages stand as they stood.
 */

import { DurableError } from '../../runtime/errors.ts';
import { loadLarge } from '../../runtime/event.ts';
import type { JournalEvent } from '../../runtime/event.ts';

const OWN = /^(t\d+|init)(\/tool:[^/]+)?$/;

export class OfflineReplay {
  readonly #order: JournalEvent[];
  readonly #asked = new Map<string, (event: JournalEvent) => void>();
  #releasing = false;

  constructor(events: JournalEvent[], path: string) {
    this.#order = events.filter(({ type, key }) => isEnd(type) && OWN.test(key.slice(path.length + 1)));
  }

  /** The recorded outcome. Throws `divergence` for what was not recorded: nothing can run any more. */
  answer(key: string): Promise<unknown> {
    if (!this.#order.some((event) => event.key === key)) {
      return Promise.reject(
        new DurableError('divergence', `Cannot replay "${key}": the agent call around it has ended without it.`, {
          details: { key },
        }),
      );
    }
    const released = new Promise<JournalEvent>((resolve) => this.#asked.set(key, resolve));
    if (!this.#releasing) void this.#release();
    return released.then((event) => {
      if (event.type === 'tool_failed') throw event.value;
      return event.value;
    });
  }

  async #release(): Promise<void> {
    this.#releasing = true;
    for (let next = this.#order[0]; next !== undefined; next = this.#order[0]) {
      await settle();
      await loadLarge(next);
      const resolve = this.#asked.get(next.key);
      if (resolve === undefined) break;
      this.#order.shift();
      resolve(next);
    }
    this.#releasing = false;
  }
}

/** O1. The loop takes some dozen microtasks from a tool's result to its message; two results must not overtake one another there. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) await Promise.resolve();
}

function isEnd(type: JournalEvent['type']): boolean {
  return type === 'turn_completed' || type === 'tool_completed' || type === 'tool_failed';
}
