/** Which completions the code of a run has asked for by key, and which it was answered. */

import type { Entry } from './journal.ts';

/** An await of user code that the runtime settles. */
export interface Await<T> {
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
}

export class Asks {
  /** Null: asked for, and nobody awaits the answer any more. */
  readonly #asked = new Map<string, Await<Entry> | null>();
  readonly #released = new Set<string>();

  /** The answer takes the await back: the key stays asked for. */
  add(key: string, settle: Await<Entry>): () => void {
    this.#asked.set(key, settle);
    return () => this.#asked.set(key, null);
  }

  /** Nobody waits for the key any more, and nothing will be recorded for it. */
  forget(key: string): void {
    this.#asked.delete(key);
  }

  /** The code under the prefix starts anew and may ask again. */
  abandon(prefix: string): void {
    for (const key of this.#asked.keys()) if (key.startsWith(prefix)) this.#asked.set(key, null);
  }

  has(key: string): boolean {
    return this.#asked.has(key);
  }

  isReleased(key: string): boolean {
    return this.#released.has(key);
  }

  isOpen(key: string): boolean {
    return this.#asked.has(key) && !this.#released.has(key);
  }

  /** Keys that were asked for and not answered. */
  openKeys(): string[] {
    return [...this.#asked.keys()].filter((key) => !this.#released.has(key));
  }

  release(entry: Entry): void {
    const { key } = entry.event;
    this.#released.add(key);
    this.#asked.get(key)?.resolve(entry);
  }
}
