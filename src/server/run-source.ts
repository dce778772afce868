/**
 * The frames of one response: a run's stream from an offset to its end, or to where only a person or a client can make it go on.
 *
 *  F1 A frame goes out after its chunk was committed, each once, in order.
 *  F2 A response that ends has a `finish`, stored or not, and `[DONE]` after it. One that fails is cut.
 *  F3 The unstored `finish` of a suspended run comes only at the tail: the state is read first, the tail after it.
 */

import type { Runtime } from '../app/create-runtime.ts';
import type { StreamPage } from '../runtime/store.ts';
import type { Position } from '../streams/wire.ts';
import type { FrameSource } from './event-body.ts';
import { DONE_FRAME, toBytes, unstoredFrame } from './frames.ts';
import type { RunState } from './run-state.ts';
import type { SharedState } from './shared-state.ts';
import { StreamPages } from './stream-pages.ts';

export interface RunSourceOptions {
  at: Position;
  state: SharedState<RunState>;
  encode: (page: StreamPage) => Uint8Array;
  wake: () => void;
}

export class RunSource implements FrameSource {
  isDone = false;
  readonly #pages: StreamPages;
  readonly #state: SharedState<RunState>;
  readonly #encode: (page: StreamPage) => Uint8Array;
  readonly #ignore: () => void;
  /** The version of the state at which the run was found to go on. */
  #goesOnAt = -1;

  constructor(runtime: Runtime, { at, state, encode, wake }: RunSourceOptions) {
    this.#pages = new StreamPages(runtime, { at, wake });
    this.#state = state;
    this.#encode = encode;
    this.#ignore = state.onChange(wake);
  }

  async next(): Promise<Uint8Array | undefined> {
    const next = this.#pages.next();
    switch (next.kind) {
      case 'page':
        return this.#encode(next.page);
      case 'end':
        return this.#end((await this.#pages.missingEnd()).map(unstoredFrame));
      case 'tail':
        if (this.#goesOnAt === this.#state.version) return undefined;
        return (await this.#isSuspended()) ? this.#end([unstoredFrame({ type: 'finish' })]) : undefined;
    }
  }

  close(): void {
    this.#ignore();
    this.#state.release();
    this.#pages.close();
  }

  /** F2 */
  #end(frames: string[]): Uint8Array {
    this.isDone = true;
    return toBytes([...frames, DONE_FRAME].join(''));
  }

  /** F3 */
  async #isSuspended(): Promise<boolean> {
    const { version } = this.#state;
    const { isSuspended } = await this.#state.read();
    if (isSuspended) return this.#pages.isAtTail();
    this.#goesOnAt = version;
    return false;
  }
}
