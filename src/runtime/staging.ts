/**
 * The large values of a run on their way out of line, ahead of the commit that refers to them.
 *
 *  T1 A commit waits until all that is large in it is stored. Heartbeats do not wait: a lease does not end over it.
 *  T2 What was put and never committed (crash here) is nobody's: it goes with the run (S37).
 *  T3 A part counts as known only when a commit after it was applied: a store that loses what it acknowledged last has lost that too.
 */

import type { Payload } from './codec.ts';
import { headLength } from './event.ts';
import type { PutOptions } from './large-values.ts';
import { isLarge } from './reference.ts';
import type { RunCore } from './run-core.ts';
import type { Then } from './store.ts';

type End = Extract<Then, { kind: 'end' }>;

/** A place where a large payload stands. */
interface Slot {
  /** What its parts are put under. */
  home: string;
  payload: Payload;
  head?: number;
  replace: (reference: Payload) => void;
}

export interface StagingOptions {
  core: RunCore;
  /** A commit can be taken. */
  ready: () => void;
}

export class Staging {
  readonly #options: StagingOptions;
  readonly #known = new Set<string>();
  readonly #fresh = new Set<string>();
  #running = false;

  constructor(options: StagingOptions) {
    this.#options = options;
  }

  /** Whether something that a commit would carry now is on its way yet; what has not begun begins. */
  holds(then: Then): boolean {
    if (this.#running) return true;
    const slots = largeSlots(this.#options.core, then);
    if (slots.length === 0) return false;
    this.#running = true;
    this.#stage(slots).then(
      () => this.#done(),
      (error: unknown) => {
        this.#running = false;
        this.#options.core.broken(error);
      },
    );
    return true;
  }

  /** T3 */
  committed(): void {
    if (this.#fresh.size === 0) return;
    for (const hash of this.#fresh) this.#known.add(hash);
    this.#fresh.clear();
  }

  #done(): void {
    this.#running = false;
    this.#options.ready();
  }

  async #stage(slots: Slot[]): Promise<void> {
    const { values, run } = this.#options.core;
    const known = { has: (hash: string) => this.#isThere(hash), put: (hash: string) => void this.#fresh.add(hash) };
    for (const { home, payload, head = 1, replace } of slots) {
      const options: PutOptions = home === run.id ? { head, known } : { head };
      replace(await values.put(home, payload, options));
    }
  }

  #isThere(hash: string): boolean {
    return this.#known.has(hash) || this.#fresh.has(hash);
  }
}

/** Hot: each commit. */
function largeSlots(core: RunCore, then: Then): Slot[] {
  const slots: Slot[] = [];
  const { pending, run, outbox, values } = core;
  for (const entry of pending.events) {
    const { payload, event } = entry;
    if (!isLarge(payload)) continue;
    const replace = (reference: Payload): void => {
      entry.payload = reference;
      event.large?.stored(reference, (stored) => values.expand(stored));
      // Read when a run is loaded, never by who wrote it.
      if (event.type === 'segment_completed') event.large?.unload();
    };
    slots.push({ home: run.id, payload, head: headLength(payload), replace });
  }
  for (const { payload, replace } of outbox.large()) slots.push({ home: run.id, payload, replace });
  slots.push(...hookSlots(core), ...startSlots(core));
  if (then.kind === 'end') slots.push(...endSlots(core, then));
  return slots;
}

function hookSlots({ pending, run }: RunCore): Slot[] {
  return pending.hooks
    .filter(({ details }) => isLarge(details))
    .map((hook) => ({ home: run.id, payload: hook.details, replace: (details) => void (hook.details = details) }));
}

function startSlots({ pending }: RunCore): Slot[] {
  return pending.starts
    .filter(({ input }) => isLarge(input))
    .map((start) => ({ home: start.id, payload: start.input, replace: (input) => void (start.input = input) }));
}

function endSlots({ run }: RunCore, then: End): Slot[] {
  const slots: Slot[] = [];
  const { result, error } = then;
  if (result !== null && isLarge(result))
    slots.push({ home: run.id, payload: result, replace: (reference) => void (then.result = reference) });
  if (error !== null && isLarge(error))
    slots.push({ home: run.id, payload: error, replace: (reference) => void (then.error = reference) });
  return slots;
}
