/** A segment's result as chunks of the run's stream, by the agent's `durable.ui`. */

import type { UIMessage, UIMessageChunk } from 'ai';
import type { DurableUiSettings } from '../durable-settings.ts';
import type { SegmentResult } from './segment.ts';

export interface UiChunksOptions {
  ui: DurableUiSettings | undefined;
  messageId: string;
  /** The run's first segment begins its message. */
  isFirst: boolean;
  onError: (error: unknown) => string;
}

export function toUiChunks(result: SegmentResult, options: UiChunksOptions): ReadableStream<UIMessageChunk> {
  const { ui = {}, messageId, isFirst, onError } = options;
  const { messageMetadata, ...sent } = ui;
  const chunks = result.toUIMessageStream<UIMessage>({
    ...sent,
    ...(messageMetadata === undefined ? {} : { messageMetadata }),
    originalMessages: [],
    generateMessageId: () => messageId,
    sendStart: isFirst,
    sendFinish: messageMetadata !== undefined,
    redactToolErrors: false,
    onError,
  });
  return messageMetadata === undefined ? chunks : chunks.pipeThrough(withoutFinish());
}

/** What the loop wrote of recorded turns without `durable.ui`, by it. */
export function shownChunks(chunks: readonly UIMessageChunk[], ui: DurableUiSettings = {}): readonly UIMessageChunk[] {
  return ui.sendReasoning === false ? chunks.filter(({ type }) => !type.startsWith('reasoning')) : chunks;
}

/** The run has one `finish`, after all segments; what its metadata says of this one goes before it. */
function withoutFinish(): TransformStream<UIMessageChunk, UIMessageChunk> {
  return new TransformStream({
    transform(chunk, controller) {
      if (chunk.type !== 'finish') controller.enqueue(chunk);
      else if (chunk.messageMetadata != null) {
        controller.enqueue({ type: 'message-metadata', messageMetadata: chunk.messageMetadata });
      }
    },
  });
}
