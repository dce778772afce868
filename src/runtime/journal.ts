/**
 * The journal of one run in memory: what was recorded, by key. Pure; loading it parses headers only.
 *
 *  J1 Completions are answered by key; a key has at most one.
 *  J2 Completions below an operation that is itself complete are never asked for again and do not take part in replay;
 *     neither do those below a turn that never committed.
 */

import type { Payload } from './codec.ts';
import { COMPLETIONS } from './context.ts';
import { decodeEvent, loadAll } from './event.ts';
import type { EventType, JournalEvent, ReadEventOptions } from './event.ts';
import type { Loaded } from './store.ts';

/** An event with its position. */
export interface Entry {
  seq: number;
  event: JournalEvent;
}

const SCOPED_ENDS: ReadonlySet<EventType> = new Set<EventType>([
  'tool_completed',
  'tool_failed',
  'agent_completed',
  'agent_failed',
]);
const LOADED_ON_RELEASE: ReadonlySet<EventType> = new Set<EventType>([
  'step_completed',
  'turn_completed',
  'tool_completed',
  'agent_completed',
]);
const TURN_IN_KEY = /\/t\d+(?=\/)/g;

export class Journal {
  /** The events at the run's checkpoints when it was loaded, in order. */
  readonly checkpoints: readonly JournalEvent[];
  readonly #entries: Entry[] = [];
  readonly #completions = new Map<string, Entry>();
  readonly #recoveries: Entry[] = [];
  readonly #facts = new Map<string, Entry[]>();
  #heardAt = 0;

  constructor(checkpoints: readonly JournalEvent[] = []) {
    this.checkpoints = checkpoints;
  }

  /** `loaded`: null of a run that has recorded nothing. `from`: the last checkpoint, 0 if it has none. */
  static load(
    loaded: Pick<Loaded, 'checkpoints' | 'events'> | null,
    { from, ...options }: { from: number } & ReadEventOptions,
  ): Journal {
    const { checkpoints, events } = loaded ?? { checkpoints: [], events: [] };
    const decode = (payload: Payload): JournalEvent => decodeEvent(payload, options);
    const entries = events.map((payload, index) => ({ seq: from + index, event: decode(payload) }));
    const last = from === 0 ? [] : entries.slice(0, 1).map(({ event }) => event);
    const journal = new Journal([...checkpoints.map(decode), ...last]);
    for (const entry of entries) journal.add(entry);
    return journal;
  }

  /**
   * Loads what is out of line and is read without being asked for; what somebody asks for by its key is loaded when it is released, one at
   * a time. Undefined if there is nothing to load. Throws `value_corrupt`.
   */
  prepare(): Promise<void> | undefined {
    const events = [...this.checkpoints, ...this.#entries.map(({ event }) => event)];
    const needed = events.filter(({ type, large }) => large !== undefined && !LOADED_ON_RELEASE.has(type));
    return needed.length === 0 ? undefined : loadAll(needed);
  }

  /** When the last event was recorded that is more than a call to look at the run. */
  get heardAt(): number {
    return this.#heardAt;
  }

  add(entry: Entry): void {
    this.#entries.push(entry);
    const { type, key, at } = entry.event;
    if (!isBareWake(entry.event)) this.#heardAt = Math.max(this.#heardAt, at);
    if (type === 'message_received' || type === 'cancel_requested') return;
    if (COMPLETIONS.has(type)) {
      this.#completions.set(key, entry);
      return;
    }
    if (type === 'run_recovered') this.#recoveries.push(entry);
    const list = this.#facts.get(key);
    if (list === undefined) this.#facts.set(key, [entry]);
    else list.push(entry);
  }

  /** The first event of a type. */
  find(type: EventType): JournalEvent | undefined {
    return this.#entries.find(({ event }) => event.type === type)?.event;
  }

  completion(key: string): Entry | undefined {
    return this.#completions.get(key);
  }

  facts(key: string): JournalEvent[] {
    return (this.#facts.get(key) ?? []).map((entry) => entry.event);
  }

  lastFact(key: string): Entry | undefined {
    return this.#facts.get(key)?.at(-1);
  }

  under(prefix: string): JournalEvent[] {
    return this.#entries.filter((entry) => entry.event.key.startsWith(prefix)).map((entry) => entry.event);
  }

  /** Moments that something was to go on at and has not, as far as is recorded: one that was taken back is among them. */
  openTimers(): number[] {
    return [...this.#facts].flatMap(([key, entries]) => {
      const { dueAt } = entries.at(-1)?.event ?? {};
      return dueAt === undefined || this.#completions.has(key) || !this.takesPart(key) ? [] : [dueAt];
    });
  }

  /** Messages for a key up to a position. */
  messagesUpTo(seq: number, key: string): JournalEvent[] {
    return this.#entries
      .filter((entry) => entry.seq <= seq && entry.event.key === key && entry.event.type === 'message_received')
      .map((entry) => entry.event);
  }

  /** Positions of the recoveries after a position, with how many attempts each stands for. */
  recoveredAfter(seq: number): number {
    let count = 0;
    for (const { event, seq: at } of this.#recoveries) {
      if (at > seq) count += Number(event.meta?.['attempts'] ?? 1);
    }
    return count;
  }

  /** The completions that replay releases, in order (J2). */
  replayable(): Entry[] {
    return this.#entries.filter(({ event }) => COMPLETIONS.has(event.type) && this.takesPart(event.key));
  }

  /** How many messages there are, by the key of their hook. */
  messagesByHook(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { event } of this.#entries) {
      if (event.type === 'message_received') counts.set(event.key, (counts.get(event.key) ?? 0) + 1);
    }
    return counts;
  }

  /** The messages among those that replay does not release, by the key of their hook. */
  passedMessages(): Map<string, JournalEvent[]> {
    const passed = new Map<string, JournalEvent[]>();
    for (const { event } of this.#entries) {
      if (event.type !== 'message_received' || this.takesPart(event.key)) continue;
      const list = passed.get(event.key);
      if (list === undefined) passed.set(event.key, [event]);
      else list.push(event);
    }
    return passed;
  }

  /** False for completions that replay does not release: code that asks for them all the same is answered at once (J2). */
  takesPart(key: string): boolean {
    for (let cut = key.lastIndexOf('/'); cut > 0; cut = key.lastIndexOf('/', cut - 1)) {
      const end = this.#completions.get(key.slice(0, cut));
      if (end !== undefined && SCOPED_ENDS.has(end.event.type)) return false;
    }
    for (const match of key.matchAll(TURN_IN_KEY)) {
      if (!this.#completions.has(key.slice(0, match.index + match[0].length))) return false;
    }
    return true;
  }
}

function isBareWake({ type, key, meta }: JournalEvent): boolean {
  return type === 'message_received' && key === '' && meta?.['kind'] === 'wake';
}
