/** What the journal holds of a segment that ends without its loop: it diverged, failed or was stopped. */

import type { LanguageModelUsage, ModelMessage, ToolSet, UIMessageChunk } from 'ai';
import type { JournalEvent } from '../../runtime/event.ts';
import { addUsage, NO_USAGE } from '../turn/usage.ts';
import type { ToolCall } from './valid-history.ts';
import { toChunks, toolChunks } from './recorded-chunks.ts';
import { recordedResults, recordedTurns } from './recorded-turns.ts';

export interface RecordedSegment {
  messages: ModelMessage[];
  /** What its loop would have written to the stream. */
  chunks: UIMessageChunk[];
  turns: number;
  usage: LanguageModelUsage;
  /** Of the last turn. */
  text: string;
  /** The last turn was a final answer: there is nothing to go on with. */
  final: boolean;
}

export interface RecordedSegmentOptions {
  /** `agent#0/` */
  prefix: string;
  tools: ToolSet;
  /** The run's messages before the segment's first turn. */
  before: readonly ModelMessage[];
  /** Inputs of approved calls that people changed, by tool call id. */
  edits: ReadonlyMap<string, unknown>;
}

export async function recordedSegment(
  events: readonly JournalEvent[],
  options: RecordedSegmentOptions,
): Promise<RecordedSegment> {
  const { prefix, tools, before, edits } = options;
  const results = await recordedResults(events, { prefix, tools, calls: lastCalls(before), edits });
  const turns = await recordedTurns(events, { prefix, tools });
  const last = turns.at(-1);
  return {
    messages: [
      ...(results.length === 0 ? [] : [{ role: 'tool' as const, content: results }]),
      ...turns.flatMap((turn) => turn.messages),
    ],
    chunks: [...results.flatMap(toolChunks), ...turns.flatMap(toChunks)],
    turns: turns.length,
    usage: turns.reduce((sum, turn) => addUsage(sum, turn.usage), NO_USAGE),
    text: last?.text ?? '',
    final: last?.final ?? false,
  };
}

/** The calls of the last response: those that an approval lets run before the first turn. */
function lastCalls(messages: readonly ModelMessage[]): ToolCall[] {
  const last = messages.findLast((message) => message.role === 'assistant');
  if (last?.role !== 'assistant' || typeof last.content === 'string') return [];
  return last.content.filter((part): part is ToolCall => part.type === 'tool-call' && part.providerExecuted !== true);
}
