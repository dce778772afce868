/** Which chunks of a step its recorded turn and the tools of it write again when the step is replayed. */

import type { UIMessageChunk } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { loadLarge } from '../../runtime/event.ts';
import type { TurnRecord } from '../turn/turn-record.ts';

/** Undefined if the turn is not recorded: what comes next may be anything. What tools wrote by themselves belongs to no turn. */
export async function recordedStep(
  context: RunContext,
  turnKey: string,
): Promise<((chunk: UIMessageChunk) => boolean) | undefined> {
  const event = context.recorded(turnKey);
  if (event?.type !== 'turn_completed') return undefined;
  await loadLarge(event);
  const { parts = [] } = event.value as TurnRecord;
  const blocks = new Set<string>();
  const calls = new Set<string>();
  const sources = new Set<string>();
  for (const part of parts) {
    if (part.type === 'text-start' || part.type === 'reasoning-start') blocks.add(part.id);
    else if (part.type === 'tool-input-start') calls.add(part.id);
    else if (part.type === 'source') sources.add(part.id);
    else if ('toolCallId' in part) calls.add(part.toolCallId);
  }
  const suffix = `:${turnKey.slice(turnKey.lastIndexOf('/') + 1)}`;
  const isBlock = (id: string): boolean => {
    const renamed = id.lastIndexOf(suffix);
    return blocks.has(id) || (renamed > 0 && blocks.has(id.slice(0, renamed)));
  };
  return (chunk) => {
    if ('toolCallId' in chunk) return calls.has(chunk.toolCallId);
    if ('sourceId' in chunk) return sources.has(chunk.sourceId);
    return isTextChunk(chunk) ? isBlock(chunk.id) : chunk.type === 'message-metadata';
  };
}

function isTextChunk(
  chunk: UIMessageChunk,
): chunk is Extract<UIMessageChunk, { type: `text-${string}` | `reasoning-${string}`; id: string }> {
  return (chunk.type.startsWith('text-') || chunk.type.startsWith('reasoning-')) && 'id' in chunk;
}
