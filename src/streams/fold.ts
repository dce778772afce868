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

/** What the AI SDK's deltas have: the part that they are of, their text, and what else. Of `providerMetadata` the last word counts. */
const DELTAS = {
  'text-delta': { of: 'id', text: 'delta', fields: ['type', 'id', 'delta', 'providerMetadata'] },
  'reasoning-delta': { of: 'id', text: 'delta', fields: ['type', 'id', 'delta', 'providerMetadata'] },
  'tool-input-delta': { of: 'toolCallId', text: 'inputTextDelta', fields: ['type', 'toolCallId', 'inputTextDelta'] },
} as const;

/** The same for chunks that stand with something else: of joined ones that of the last stays. Any values may come. */
export function mergeItems<T extends { chunk: unknown }>(items: Iterable<T>): T[] {
  const merged: T[] = [];
  for (const item of items) {
    const last = merged.at(-1);
    const chunk = last === undefined ? undefined : joinDeltas(last.chunk, item.chunk);
    if (chunk === undefined) merged.push(item);
    else merged[merged.length - 1] = { ...item, chunk };
  }
  return merged;
}

/** Two neighbours as one delta; undefined if they are no deltas of the same part, or if anything else would be lost. Any values may come. */
export function joinDeltas(first: unknown, second: unknown): UIMessageChunk | undefined {
  if (!isObject(first) || !isObject(second) || first['type'] !== second['type']) return undefined;
  const { type } = first;
  if (type !== 'text-delta' && type !== 'reasoning-delta' && type !== 'tool-input-delta') return undefined;
  const { of, text, fields } = DELTAS[type];
  const { [text]: begun } = first;
  const { [text]: next } = second;
  if (first[of] !== second[of] || typeof begun !== 'string' || typeof next !== 'string') return undefined;
  if (!hasOnly(first, fields) || !hasOnly(second, fields)) return undefined;
  return { ...first, ...second, [text]: begun + next } as UIMessageChunk;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function hasOnly(value: object, fields: readonly string[]): boolean {
  for (const field in value) if (!fields.includes(field)) return false;
  return true;
}
