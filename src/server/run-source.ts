/**
 * The frames of one response: a run's stream from an offset to its end, or to where it does not go on by itself.
 *
 *  F1 A frame goes out after its chunk was committed, each once, in order.
 *  F2 A response that ends has a `finish`, stored or not, and `[DONE]` after it. One that fails is cut.
 *  F3 The unstored end of a run that is suspended or parked comes only at the tail: the state is read first, the tail after it.
 */

import type { UIMessageChunk } from 'ai';
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
        return this.#pause();
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

  /** F3. Undefined if the run goes on. */
  async #pause(): Promise<Uint8Array | undefined> {
    const { version } = this.#state;
    const { isSuspended, parked } = await this.#state.read();
    if (!isSuspended && parked === null) {
      this.#goesOnAt = version;
      return undefined;
    }
    if (!(await this.#pages.isAtTail())) return undefined;
    const why: UIMessageChunk[] =
      parked === null ? [] : [{ type: 'error', errorText: `The run is parked (${parked}).` }];
    return this.#end([...why, { type: 'finish' as const }].map(unstoredFrame));
  }
}
