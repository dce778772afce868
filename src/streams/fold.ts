/** Chunks of a UI message stream, from its start up to any point, as the message that a client shows. */

import { createUIMessageStream } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';

export interface FoldOptions {
  /** The message that the chunks continue (a later segment). */
  message?: UIMessage;
}

/**
 * The message that the AI SDK's client makes of the chunks; null without chunks. `reset-step` is honoured; a stream that
 * stops in the middle gives what is visible then. Throws what the SDK throws for chunks that do not fit together (a
 * delta without its start).
 */
export async function foldMessage(
  chunks: Iterable<UIMessageChunk>,
  options: FoldOptions = {},
): Promise<UIMessage | null> {
  const merged = mergeDeltas(chunks);
  if (merged.length === 0) return options.message ?? null;
  let message: UIMessage | null = null;
  // readUIMessageStream makes a copy of the message for every chunk; the SDK's server side folds in place.
  const folded = createUIMessageStream({
    execute: ({ writer }) => merged.forEach((chunk) => writer.write(chunk)),
    originalMessages: options.message === undefined ? [] : [options.message],
    generateId: () => '',
    onEnd: ({ responseMessage }) => {
      message = responseMessage;
    },
  });
  await folded.pipeTo(new WritableStream());
  return message;
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
  for (const chunk of chunks) addMerged(merged, chunk);
  return merged;
}

/** Adds a chunk to those that `mergeDeltas` made. The chunks themselves are not changed. */
export function addMerged(merged: UIMessageChunk[], chunk: UIMessageChunk): void {
  const joined = joinDeltas(merged.at(-1), chunk);
  if (joined === undefined) merged.push(chunk);
  else merged[merged.length - 1] = joined;
}

/** Two neighbours as one delta; undefined if they are no deltas of the same part. Any values may come. */
export function joinDeltas(first: unknown, second: unknown): UIMessageChunk | undefined {
  return isObject(first) && isObject(second) ? join(first as UIMessageChunk, second as UIMessageChunk) : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function join(last: UIMessageChunk, chunk: UIMessageChunk): UIMessageChunk | undefined {
  if (last.type === 'tool-input-delta' && chunk.type === 'tool-input-delta') {
    return last.toolCallId === chunk.toolCallId
      ? { ...last, inputTextDelta: last.inputTextDelta + chunk.inputTextDelta }
      : undefined;
  }
  if (last.type === 'text-delta' && chunk.type === 'text-delta' && last.id === chunk.id) {
    return { ...last, ...chunk, delta: last.delta + chunk.delta };
  }
  if (last.type === 'reasoning-delta' && chunk.type === 'reasoning-delta' && last.id === chunk.id) {
    return { ...last, ...chunk, delta: last.delta + chunk.delta };
  }
  return undefined;
}
