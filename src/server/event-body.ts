/**
 * The body of an event stream. A reader asks for a frame when it has room for one: what a slow one does not take is read later, and
 * buffered nowhere. An idle body says so by a comment; one that is cancelled leaves nothing behind.
 */

import { HEARTBEAT, OPENING } from './frames.ts';
import type { Heartbeats } from './heartbeats.ts';

export interface FrameSource {
  /** The next frames; undefined if there are none now: `wake` is called when there may be. Throws to cut the body. */
  next(): Promise<Uint8Array | undefined>;
  /** Nothing comes any more. */
  readonly isDone: boolean;
  close(): void;
}

export function createEventBody(
  heartbeats: Heartbeats,
  open: (wake: () => void) => FrameSource,
): ReadableStream<Uint8Array> {
  let isWoken = false;
  let isBeating = false;
  let isBusy = true;
  let isOpening = true;
  let isCancelled = false;
  let resume: (() => void) | undefined;

  const wake = (): void => {
    isWoken = true;
    resume?.();
  };
  const source = open(wake);
  const removeBeat = heartbeats.add(() => {
    if (!isBusy) isBeating = true;
    isBusy = false;
    if (isBeating) wake();
  });
  const close = (): void => {
    removeBeat();
    source.close();
  };

  const nextFrame = async (): Promise<Uint8Array | undefined> => {
    while (!isCancelled) {
      isWoken = false;
      const frame = (await source.next()) ?? (isBeating ? HEARTBEAT : undefined);
      if (frame !== undefined || source.isDone) return frame;
      // A microtask may have passed since the source looked.
      if (!isWoken) await new Promise<void>((resolve) => (resume = resolve));
      resume = undefined;
    }
    return undefined;
  };

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (isOpening) {
          isOpening = false;
          controller.enqueue(OPENING);
          return;
        }
        try {
          const frame = await nextFrame();
          if (isCancelled) return;
          isBusy = true;
          isBeating = false;
          if (frame !== undefined) controller.enqueue(frame);
          if (!source.isDone) return;
          close();
          controller.close();
        } catch (error) {
          close();
          throw error;
        }
      },
      cancel() {
        isCancelled = true;
        close();
        resume?.();
      },
    },
    { highWaterMark: 0 },
  );
}
