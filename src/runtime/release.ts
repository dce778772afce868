/**
 * The order in which completions reach user code.
 *
 *  R1 Journal order, one at a time, the code settling in between; live and on replay alike.
 *  R2 A keyed completion that nobody has asked for yet holds back those behind it.
 *  R3 While an agent call is busy, only completions below it and its own are released; the others keep their place.
 *  R4 Messages to the run itself (user messages) and cancel are released whoever is busy.
 *  R5 An agent call that only waits for replay to end does not hold back the completions that replay has left.
 */

import type { Clock } from './clock.ts';
import type { Entry } from './journal.ts';

export interface ReleaseOptions {
  clock: Clock;
  /** Hands the completion to whoever asked; false if nobody did. */
  deliver: (entry: Entry) => boolean;
  /** Loads what it needs before it is handed over; undefined if nothing is missing. */
  prepare?: (entry: Entry) => Promise<void> | undefined;
  /** Key prefixes of the agent calls that are busy. */
  busyAgents: () => BusyAgent[];
  /** Nothing more can be released now. */
  onRest: () => void;
  /** A completion could not be handed over. */
  broken: (error: unknown) => void;
}

export interface BusyAgent {
  path: string;
  /** It only waits for replay to end. */
  isHeld: boolean;
}

export class ReleaseQueue {
  readonly #options: ReleaseOptions;
  #entries: Entry[] = [];
  /** Those before it were released: taking them out one by one would cost as much as the rest is long. */
  #next = 0;
  #loaded = new Set<Entry>();
  #running = false;
  #stopped = false;

  constructor(options: ReleaseOptions) {
    this.#options = options;
  }

  /** Recorded completions wait to be released. */
  get replaying(): boolean {
    return this.#loaded.size > 0;
  }

  /** Recorded completions below a scope wait to be released, and only its body can ask for them. */
  replaysBelow(prefix: string): boolean {
    for (const { event } of this.#loaded)
      if (event.key.startsWith(prefix) && event.type !== 'message_received') return true;
    return false;
  }

  get empty(): boolean {
    return this.#next === this.#entries.length;
  }

  get resting(): boolean {
    return !this.#running;
  }

  /** Completions of a journal that was loaded. */
  load(entries: Entry[]): void {
    for (const entry of entries) {
      this.#entries.push(entry);
      this.#loaded.add(entry);
    }
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
  }

  /** The first completion that should be released and that nobody asked for. */
  blocked(asked: (entry: Entry) => boolean): Entry | undefined {
    const next = this.#candidate();
    return next !== undefined && !asked(next) ? next : undefined;
  }

  /** A recorded completion under a prefix that nobody has asked for. */
  unasked(prefix: string, asked: (entry: Entry) => boolean): Entry | undefined {
    for (const entry of this.#loaded) if (entry.event.key.startsWith(prefix) && !asked(entry)) return entry;
    return undefined;
  }

  /** Takes the completions under a prefix out; used when their scope starts anew. */
  discard(prefix: string): void {
    const gone = (entry: Entry): boolean =>
      entry.event.key.startsWith(prefix) && entry.event.type !== 'message_received';
    for (const entry of this.#entries) if (gone(entry)) this.#loaded.delete(entry);
    this.#entries = this.#entries.slice(this.#next).filter((entry) => !gone(entry));
    this.#next = 0;
  }

  /** The continuation is gone: nothing is released any more. */
  stop(): void {
    this.#stopped = true;
    this.#entries = [];
    this.#next = 0;
    this.#loaded.clear();
  }

  /** Releases what can be released. */
  kick(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#loop().catch(this.#options.broken);
  }

  /** The same, once the code that runs now has settled: what it reads meanwhile (`now()`) must not depend on replay (R1). */
  kickSoon(): void {
    if (this.#running || this.#stopped || this.empty) return;
    this.#running = true;
    this.#options.clock
      .settle()
      .then(() => this.#loop(true))
      .catch(this.#options.broken);
  }

  /** `tell`: somebody may have found the queue not at rest meanwhile. */
  async #loop(tell = false): Promise<void> {
    let released = tell;
    for (;;) {
      for (let missing = this.#missing(); missing !== undefined; missing = this.#missing()) await missing;
      if (!this.#releaseNext()) break;
      released = true;
      await this.#options.clock.settle();
    }
    this.#running = false;
    if (released && !this.#stopped) this.#options.onRest();
  }

  /** What is next has to be loaded first. */
  #missing(): Promise<void> | undefined {
    const next = this.#candidate();
    return next === undefined ? undefined : this.#options.prepare?.(next);
  }

  #releaseNext(): boolean {
    const entry = this.#candidate();
    if (entry === undefined || !this.#options.deliver(entry)) return false;
    if (this.#entries[this.#next] === entry) this.#next += 1;
    else this.#entries.splice(this.#entries.indexOf(entry, this.#next), 1);
    if (this.empty) {
      this.#entries = [];
      this.#next = 0;
    }
    this.#loaded.delete(entry);
    return true;
  }

  #candidate(): Entry | undefined {
    const first = this.#entries[this.#next];
    if (first === undefined) return undefined;
    const busy = this.#options.busyAgents();
    if (busy.length === 0) return first;
    const mayGo = ({ event }: Entry): boolean =>
      event.key === '' || busy.some(({ path }) => `${event.key}/`.startsWith(path));
    if (mayGo(first)) return first;
    for (let index = this.#next + 1; index < this.#entries.length; index += 1) {
      const entry = this.#entries[index];
      if (entry !== undefined && mayGo(entry)) return entry;
    }
    return busy.every(({ isHeld }) => isHeld) ? first : undefined; // R5
  }
}
