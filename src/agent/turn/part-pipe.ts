/** Parts on their way from the provider to the SDK: a bounded buffer, so that a slow reader slows the reading of the model. */

import type { StreamPart } from './provider-types.ts';

const CAPACITY = 16;

export class PartPipe {
  readonly readable: ReadableStream<StreamPart>;
  #controller!: ReadableStreamDefaultController<StreamPart>;
  #room: (() => void) | undefined;
  #closed = false;

  /** `onCancel`: the reader has gone. */
  constructor(onCancel: (reason: unknown) => void) {
    this.readable = new ReadableStream<StreamPart>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.release(),
        cancel: (reason) => {
          this.#closed = true;
          this.release();
          onCancel(reason);
        },
      },
      { highWaterMark: CAPACITY },
    );
  }

  /** A promise means: the buffer is full, await it. */
  write(part: StreamPart): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.#controller.enqueue(part);
    if ((this.#controller.desiredSize ?? 1) > 0) return undefined;
    return new Promise((resolve) => {
      this.#room = resolve;
    });
  }

  /** Lets a waiting writer go on. */
  release(): void {
    this.#room?.();
    this.#room = undefined;
  }

  end(parts: StreamPart[]): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const part of parts) this.#controller.enqueue(part);
    this.#controller.close();
  }

  fail(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#controller.error(error);
  }
}
