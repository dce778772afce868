/**
 * The frames of a thread: its runs one after the other, and where the thread stands.
 *
 *  L1 Each chunk once, in order; a run's chunks after its `run` event, unless the reader had some of them before.
 *  L2 A run begins here when the one before it has sent all it has.
 *  L3 A state is told after all chunks that lead to it, and again only when it has changed.
 */

import { messageIdOf } from '../agent/run/agent-state.ts';
import { inputUiMessages, readInput } from '../agent/history/thread.ts';
import type { Runtime } from '../app/create-runtime.ts';
import type { RunInfo } from '../app/run-info.ts';
import { encodePosition, RUN_EVENT, THREAD_EVENT } from '../streams/wire.ts';
import type { RunBeginning } from '../streams/wire.ts';
import type { Encoders } from './encoders.ts';
import type { FrameSource } from './event-body.ts';
import { eventFrame, toBytes, unstoredFrame } from './frames.ts';
import type { SharedState } from './shared-state.ts';
import { StreamPages } from './stream-pages.ts';
import { runsAfter } from './thread-state.ts';
import type { ThreadKey, ThreadState } from './thread-state.ts';

/** Where a reader begins: in a run, or after one (null: before the first). */
export type ThreadStart = { kind: 'in'; run: RunInfo; offset: number } | { kind: 'after'; run: RunInfo | null };

export interface ThreadSourceOptions {
  key: ThreadKey;
  start: ThreadStart;
  state: SharedState<ThreadState>;
  encode: Encoders['runFrames'];
  wake: () => void;
}

export class ThreadSource implements FrameSource {
  readonly isDone = false;
  readonly #runtime: Runtime;
  readonly #options: ThreadSourceOptions;
  readonly #ignore: () => void;
  /** The run whose chunks are being sent. */
  #current: { run: RunInfo; pages: StreamPages } | null = null;
  /** The last run of which everything was sent. */
  #after: RunInfo | null = null;
  #begin: { run: RunInfo; offset: number } | null = null;
  /** The version at which no further run was found. */
  #soughtAt = -1;
  #told = '';
  /** The version of the state that was told. */
  #toldAt = -1;

  constructor(runtime: Runtime, options: ThreadSourceOptions) {
    this.#runtime = runtime;
    this.#options = options;
    this.#ignore = options.state.onChange(options.wake);
    if (options.start.kind === 'in') this.#begin = options.start;
    else this.#after = options.start.run;
  }

  async next(): Promise<Uint8Array | undefined> {
    if (this.#current === null) {
      const begun = await this.#beginNext();
      if (begun !== undefined) return begun;
    }
    const current = this.#current;
    if (current === null) return this.#tell();
    const next = current.pages.next();
    switch (next.kind) {
      case 'page':
        return this.#options.encode(next.page, current.run.id);
      case 'end': {
        const ending = (await current.pages.missingEnd()).map(unstoredFrame).join('');
        this.#finish(current);
        return ending === '' ? this.next() : toBytes(ending);
      }
      case 'tail':
        return this.#tell();
    }
  }

  close(): void {
    this.#ignore();
    this.#options.state.release();
    this.#current?.pages.close();
  }

  #finish({ run, pages }: { run: RunInfo; pages: StreamPages }): void {
    pages.close();
    this.#after = run;
    this.#current = null;
    this.#soughtAt = -1;
  }

  /** L2. The event of a run that begins; undefined if none does, or if the reader has had its beginning. */
  async #beginNext(): Promise<Uint8Array | undefined> {
    const begin = this.#begin ?? (await this.#seek());
    this.#begin = null;
    if (begin === null) return undefined;
    const { run, offset } = begin;
    const at = { run: run.id, offset };
    this.#current = { run, pages: new StreamPages(this.#runtime, { at, wake: this.#options.wake }) };
    return offset === 0 ? toBytes(beginningOf(run)) : undefined;
  }

  async #seek(): Promise<{ run: RunInfo; offset: number } | null> {
    const { version } = this.#options.state;
    if (this.#soughtAt === version) return null;
    const [run] = await runsAfter(this.#runtime, this.#options.key, this.#after);
    if (run !== undefined) return { run, offset: 0 };
    this.#soughtAt = version;
    return null;
  }

  /** L3 */
  async #tell(): Promise<Uint8Array | undefined> {
    const { version } = this.#options.state;
    if (this.#toldAt === version) return undefined;
    const state = await this.#options.state.read();
    if (!(await this.#hasReached(state))) return undefined;
    this.#toldAt = version;
    const event = eventFrame(THREAD_EVENT, state.status);
    if (event === this.#told) return undefined;
    this.#told = event;
    return toBytes(event);
  }

  async #hasReached({ active, goesOn }: ThreadState): Promise<boolean> {
    const { run, pages } = this.#current ?? { run: this.#after, pages: undefined };
    if (active === null) return pages === undefined;
    if (active.id !== run?.id) return false;
    return pages === undefined || goesOn || pages.isAtTail();
  }
}

function beginningOf(run: RunInfo): string {
  const beginning: RunBeginning = {
    runId: run.id,
    messageId: messageIdOf(run.id),
    messages: inputUiMessages(run),
    by: readInput(run).by ?? null,
    supersedes: run.supersedes,
  };
  return eventFrame(RUN_EVENT, beginning, encodePosition({ run: run.id, offset: 0 }));
}
