/** Chunks of one run as the message that they make, while they come. */

import { readUIMessageStream } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';

export interface MessageFold {
  write(chunk: UIMessageChunk): void;
  /** Resolves when all that was written is in the message. */
  close(): Promise<void>;
}

export interface MessageFoldOptions {
  /** What the chunks continue. */
  message: UIMessage;
  /** Each time a new object. */
  onMessage(message: UIMessage): void;
  /** The chunks do not fit together. */
  onBroken(error: unknown): void;
}

export function createMessageFold({ message, onMessage, onBroken }: MessageFoldOptions): MessageFold {
  let controller: ReadableStreamDefaultController<UIMessageChunk> | undefined;
  let isBroken = false;
  const stream = new ReadableStream<UIMessageChunk>({ start: (given) => void (controller = given) });
  const fail = (error: unknown): void => {
    isBroken = true;
    onBroken(error);
  };
  // The SDK folds in place.
  const messages = readUIMessageStream({ message: structuredClone(message), stream, onError: fail });
  const folding = (async (): Promise<void> => {
    for await (const each of messages) onMessage(each);
  })().catch(fail);
  return {
    write(chunk) {
      // An error is told apart from chunks that do not fit; the SDK would report both in one way.
      if (!isBroken && chunk.type !== 'error') controller?.enqueue(chunk);
    },
    async close() {
      if (!isBroken) controller?.close();
      await folding;
    },
  };
}
