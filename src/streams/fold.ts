/** Chunks of a UI message stream, from its start up to any point, as the message that a client shows. */

import { readUIMessageStream } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';

export interface FoldOptions {
  /** The message that the chunks continue (a later segment). */
  message?: UIMessage;
}

/**
 * The message that the AI SDK's client makes of the chunks; null if they show none. `reset-step` is honoured; a stream
 * that stops in the middle gives what is visible then. Throws what the SDK throws for chunks that do not fit
 * together (a delta without its start).
 */
export async function foldMessage(chunks: Iterable<UIMessageChunk>, options: FoldOptions = {}): Promise<UIMessage | null> {
  const shown = mergeDeltas(chunks).filter((chunk) => chunk.type !== 'error');
  if (shown.length === 0) return options.message ?? null;
  let message: UIMessage | null = null;
  const snapshots = readUIMessageStream({
    stream: streamOf([...shown, showAll(shown, options.message)]),
    terminateOnError: true,
    ...(options.message === undefined ? {} : { message: structuredClone(options.message) }),
  });
  for await (const snapshot of snapshots) message = snapshot;
  return message;
}

/** The SDK shows a message only when a chunk changes it; one more `start` with the same id makes it show what it has. */
function showAll(chunks: UIMessageChunk[], message: UIMessage | undefined): UIMessageChunk {
  let messageId = message?.id ?? '';
  for (const chunk of chunks) if (chunk.type === 'start') messageId = chunk.messageId ?? messageId;
  return { type: 'start', messageId };
}

function streamOf(chunks: UIMessageChunk[]): ReadableStream<UIMessageChunk> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

/**
 * The text of the step that is not finished, as a client shows it: since the last `start-step`, without what a
 * `reset-step` took back. Empty if the last step is finished.
 */
export function foldPartial(chunks: Iterable<UIMessageChunk>): string {
  let text = '';
  for (const chunk of chunks) {
    if (chunk.type === 'text-delta') text += chunk.delta;
    else if (chunk.type === 'start-step' || chunk.type === 'finish-step' || chunk.type === 'reset-step') text = '';
  }
  return text;
}

/** Neighbouring deltas of one part as one delta: the same message in fewer chunks. Never for readers that count offsets. */
export function mergeDeltas(chunks: Iterable<UIMessageChunk>): UIMessageChunk[] {
  const merged: UIMessageChunk[] = [];
  for (const chunk of chunks) {
    const joined = joinDeltas(merged.at(-1), chunk);
    if (joined === undefined) merged.push(chunk);
    else merged[merged.length - 1] = joined;
  }
  return merged;
}

function joinDeltas(last: UIMessageChunk | undefined, chunk: UIMessageChunk): UIMessageChunk | undefined {
  if (last?.type === 'tool-input-delta' && chunk.type === 'tool-input-delta') {
    return last.toolCallId === chunk.toolCallId ? { ...last, inputTextDelta: last.inputTextDelta + chunk.inputTextDelta } : undefined;
  }
  if (last?.type === 'text-delta' && chunk.type === 'text-delta' && last.id === chunk.id) {
    return { ...last, ...chunk, delta: last.delta + chunk.delta };
  }
  if (last?.type === 'reasoning-delta' && chunk.type === 'reasoning-delta' && last.id === chunk.id) {
    return { ...last, ...chunk, delta: last.delta + chunk.delta };
  }
  return undefined;
}
