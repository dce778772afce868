/**
 * The body of an event stream. A reader asks for a frame when it has room for one: what a slow one does not take is read later, and
 * buffered nowhere. An idle body says so by a comment. One that is cancelled, or that nobody ever reads (HEAD), leaves nothing behind. One
 * whose connection is old ends between two frames.
 *
 *  E1 A body that fails is cut. The log says why; the error that its reader may see does not.
 *  E2 A reader that takes nothing for a minute is cut, and its place is free: it comes back after its last chunk.
 */

import type { LogFields } from '../runtime/logger.ts';
import type { Connection } from './connections.ts';
import { HEARTBEAT, OPENING } from './frames.ts';
import { logFailure } from './http-error.ts';
import type { ServerParts } from './server-parts.ts';

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

/** How long a reader may take nothing of what it was given. */
const STALLED_MS = 60_000;

export interface EventBodyOptions {
  parts: Pick<ServerParts, 'clock' | 'heartbeats' | 'logger'>;
  connection: Connection;
  /** What is read, for the log. */
  about: LogFields;
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

type Controller = ReadableStreamDefaultController<Uint8Array>;

class EventBody implements UnderlyingDefaultSource<Uint8Array> {
  readonly #options: EventBodyOptions;
  readonly #open: (wake: () => void) => FrameSource;
  readonly #idle: IdleWords;
  #source: FrameSource | undefined;
  #removeBeat: (() => void) | undefined;
  #isClosed = false;
  #isOld = false;
  /** A frame was sent since the last beat. */
  #isBusy = true;
  #isBeating = false;
  #isWoken = false;
  #resume: (() => void) | undefined;
  /** Since when the reader has asked for nothing; undefined while it waits for a frame. */
  #idleSince: number | undefined;

  constructor(options: EventBodyOptions, open: (wake: () => void) => FrameSource) {
    this.#options = options;
    this.#open = open;
    this.#idle = options.idle ?? COMMENTS;
  }

  async pull(controller: Controller): Promise<void> {
    this.#idleSince = undefined;
    try {
      const isNew = this.#source === undefined;
      const source = (this.#source ??= this.#begin(controller));
      const frame = (isNew ? this.#idle.opening : undefined) ?? (await this.#next(source));
      if (this.#isClosed) return;
      this.#isBusy = true;
      this.#isBeating = false;
      this.#idleSince = this.#options.parts.clock.monotonic();
      if (frame !== undefined) controller.enqueue(frame);
      if (!source.isDone && !this.#isOld) return;
      this.#close();
      controller.close();
    } catch (error) {
      this.#fail(error);
    }
  }

  cancel(): void {
    this.#close();
    this.#resume?.();
  }

  #begin(controller: Controller): FrameSource {
    this.#removeBeat = this.#options.parts.heartbeats.add(() => this.#beat(controller));
    return this.#open(() => this.#wake());
  }

  async #next(source: FrameSource): Promise<Uint8Array | undefined> {
    for (;;) {
      this.#isWoken = false;
      const frame = (await source.next()) ?? (this.#isBeating ? this.#idle.heartbeat : undefined);
      if (frame !== undefined || source.isDone || this.#isClosed || this.#isOld) return frame;
      // It may have been woken while the source looked.
      if (!this.#isWoken) await new Promise<void>((resolve) => (this.#resume = resolve));
      this.#resume = undefined;
    }
  }

  #wake(): void {
    this.#isWoken = true;
    this.#resume?.();
  }

  #beat(controller: Controller): void {
    if (this.#isStalled()) {
      const { parts, about } = this.#options;
      parts.logger.info(about, 'a reader took nothing for a minute; its stream was cut');
      this.#close();
      controller.error(cutError());
      return;
    }
    if (!this.#isBusy) this.#isBeating = true;
    this.#isBusy = false;
    this.#isOld ||= this.#options.connection.isOld();
    if (this.#isBeating || this.#isOld) this.#wake();
  }

  /** E2 */
  #isStalled(): boolean {
    return this.#idleSince !== undefined && this.#options.parts.clock.monotonic() - this.#idleSince >= STALLED_MS;
  }

  /** E1 */
  #fail(error: unknown): never {
    const { parts, about } = this.#options;
    if (!this.#isClosed) logFailure(error, { logger: parts.logger, about, what: 'a stream was cut' });
    this.#close();
    throw cutError();
  }

  #close(): void {
    this.#isClosed = true;
    this.#removeBeat?.();
    this.#source?.close();
    this.#options.connection.close();
  }
}

function cutError(): Error {
  return new Error('The stream was cut.');
}
