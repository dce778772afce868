/**
 * The body of an event stream. A reader asks for a frame when it has room for one: what a slow one does not take is read later, and
 * buffered nowhere. An idle body says so by a comment. One that is cancelled, or that nobody ever reads (HEAD), leaves nothing behind. One
 * whose connection is old ends between two frames.
 */

import type { Connection } from './connections.ts';
import { HEARTBEAT, OPENING } from './frames.ts';
import type { Heartbeats } from './heartbeats.ts';

export interface FrameSource {
  /** The next frames; undefined if there are none now: `wake` is called when there may be. Throws to cut the body. */
  next(): Promise<Uint8Array | undefined>;
  /** Nothing comes any more. */
  readonly isDone: boolean;
  close(): void;
}

/** What an idle body says, in words that its readers skip. */
export interface IdleWords {
  opening: Uint8Array | undefined;
  heartbeat: Uint8Array;
}

const COMMENTS: IdleWords = { opening: OPENING, heartbeat: HEARTBEAT };

export interface EventBodyOptions {
  connection: Connection;
  heartbeats: Heartbeats;
  /** Default: comments. */
  idle?: IdleWords | undefined;
}

export function createEventBody(
  options: EventBodyOptions,
  open: (wake: () => void) => FrameSource,
): ReadableStream<Uint8Array> {
  options.connection.isHeld = true;
  return new ReadableStream(new EventBody(options, open), { highWaterMark: 0 });
}

class EventBody implements UnderlyingDefaultSource<Uint8Array> {
  readonly #heartbeats: Heartbeats;
  readonly #open: (wake: () => void) => FrameSource;
  readonly #idle: IdleWords;
  readonly #connection: Connection;
  #source: FrameSource | undefined;
  #removeBeat: (() => void) | undefined;
  #isCancelled = false;
  #isOld = false;
  /** A frame was sent since the last beat. */
  #isBusy = true;
  #isBeating = false;
  #isWoken = false;
  #resume: (() => void) | undefined;

  constructor({ connection, heartbeats, idle = COMMENTS }: EventBodyOptions, open: (wake: () => void) => FrameSource) {
    this.#connection = connection;
    this.#heartbeats = heartbeats;
    this.#open = open;
    this.#idle = idle;
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    if (this.#source === undefined) {
      this.#source = this.#open(() => this.#wake());
      this.#removeBeat = this.#heartbeats.add(() => this.#beat());
      if (this.#idle.opening !== undefined) {
        controller.enqueue(this.#idle.opening);
        return;
      }
    }
    try {
      const frame = await this.#next(this.#source);
      if (this.#isCancelled) return;
      this.#isBusy = true;
      this.#isBeating = false;
      if (frame !== undefined) controller.enqueue(frame);
      if (!this.#source.isDone && !this.#isOld) return;
      this.#close();
      controller.close();
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#close();
    this.#resume?.();
  }

  async #next(source: FrameSource): Promise<Uint8Array | undefined> {
    for (;;) {
      this.#isWoken = false;
      const frame = (await source.next()) ?? (this.#isBeating ? this.#idle.heartbeat : undefined);
      if (frame !== undefined || source.isDone || this.#isCancelled || this.#isOld) return frame;
      // It may have been woken while the source looked.
      if (!this.#isWoken) await new Promise<void>((resolve) => (this.#resume = resolve));
      this.#resume = undefined;
    }
  }

  #wake(): void {
    this.#isWoken = true;
    this.#resume?.();
  }

  #beat(): void {
    if (!this.#isBusy) this.#isBeating = true;
    this.#isBusy = false;
    this.#isOld ||= this.#connection.isOld();
    if (this.#isBeating || this.#isOld) this.#wake();
  }

  #close(): void {
    this.#removeBeat?.();
    this.#source?.close();
    this.#connection.close();
  }
}
