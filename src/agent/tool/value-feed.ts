/** Values of a tool that streams its results: the tool's body drains them while the SDK reads them. */

export class ValueFeed {
  /** The tool has answered an async iterable. */
  open = false;
  readonly #values: unknown[] = [];
  #wake: (() => void) | undefined;

  /** Reads the tool's iterable to its end; the last value is its result. */
  async drain(source: AsyncIterable<unknown>): Promise<unknown> {
    this.open = true;
    let last: unknown;
    for await (const value of source) {
      last = value;
      this.#values.push(value);
      this.#wake?.();
    }
    return last;
  }

  /** The values as they come; ends, or throws, when the result was recorded. */
  async *values(done: Promise<unknown>): AsyncGenerator {
    const state = { ended: false };
    const end = (): void => {
      state.ended = true;
    };
    const ended = done.then(end, end);
    let count = 0;
    while (!state.ended || this.#values.length > 0) {
      while (this.#values.length > 0) {
        count += 1;
        yield this.#values.shift();
      }
      if (!state.ended) await Promise.race([ended, this.#next()]);
    }
    const result = await done;
    if (count === 0 && !this.open) yield result;
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
