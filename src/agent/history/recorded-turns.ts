/**
 * Recorded turns as messages, for segments that cannot be replayed (other code, a stop): what the model said and what its
 * tools answered stays in the conversation.
 */

import type { AssistantModelMessage, LanguageModelUsage, ModelMessage, ToolSet } from 'ai';
import { reasonOf } from '../../runtime/errors.ts';
import { loadLarge } from '../../runtime/event.ts';
import type { JournalEvent } from '../../runtime/event.ts';
import { withEditNote } from '../tool/edited-input.ts';
import { toModelOutput } from '../tool/model-output.ts';
import { toolKeys } from '../tool/tool-key.ts';
import { toUsage } from '../turn/usage.ts';
import { interruptedResult } from './valid-history.ts';
import type { ToolCall, ToolResult } from './valid-history.ts';
import type { StreamPart } from '../turn/provider-types.ts';
import type { TurnRecord } from '../turn/turn-record.ts';

type AssistantPart = Exclude<AssistantModelMessage['content'], string>[number];

export interface RecordedTurn {
  messages: ModelMessage[];
  /** The model asked for no tool: a final answer, unless something was steered in after it. */
  final: boolean;
  usage: LanguageModelUsage;
  text: string;
}

/** The turns recorded under a segment's prefix (`agent#0/`), in order. */
export async function recordedTurns(
  events: readonly JournalEvent[],
  options: { prefix: string; tools: ToolSet },
): Promise<RecordedTurn[]> {
  const results = toolEnds(events);
  const turns = new Map(events.filter(({ type }) => type === 'turn_completed').map((event) => [event.key, event]));
  const found: RecordedTurn[] = [];
  for (;;) {
    const key = `${options.prefix}t${found.length}`;
    const event = turns.get(key);
    if (event === undefined) return found;
    await loadLarge(event);
    found.push(await toTurn(event.value as TurnRecord, { key, results, tools: options.tools }));
  }
}

/** Results of approved calls, which ran before the first turn. `calls` are those of the last response, `edits` inputs that people changed. */
export async function recordedResults(
  events: readonly JournalEvent[],
  options: { prefix: string; tools: ToolSet; calls: readonly ToolCall[]; edits: ReadonlyMap<string, unknown> },
): Promise<ToolResult[]> {
  const { edits } = options;
  const ends = toolEnds(events);
  const keys = toolKeys(`${options.prefix}init`, options.calls);
  const found = options.calls.flatMap((call, index) => {
    const event = ends.get(keys[index] ?? '');
    return event === undefined ? [] : [toResult(call, { event, tools: options.tools })];
  });
  const results = await Promise.all(found);
  return results.map((result) =>
    edits.has(result.toolCallId)
      ? { ...result, output: withEditNote(result.output, edits.get(result.toolCallId)) }
      : result,
  );
}

function toolEnds(events: readonly JournalEvent[]): Map<string, JournalEvent> {
  const ends = events.filter(({ type }) => type === 'tool_completed' || type === 'tool_failed');
  return new Map(ends.map((event) => [event.key, event]));
}

async function toTurn(
  record: TurnRecord,
  { key, results, tools }: { key: string; results: ReadonlyMap<string, JournalEvent>; tools: ToolSet },
): Promise<RecordedTurn> {
  const parts = record.parts ?? [];
  const content = toContent(parts);
  const calls = content.filter((part): part is ToolCall => part.type === 'tool-call' && part.providerExecuted !== true);
  const keys = toolKeys(key, calls);
  const ends = keys.map((each) => results.get(each));
  const answers = await Promise.all(
    calls.map(async (call, index) => {
      const event = ends[index];
      return event === undefined ? interruptedResult(call) : toResult(call, { event, tools });
    }),
  );
  const finish = parts.find((part) => part.type === 'finish');
  return {
    messages: [
      ...(content.length === 0 ? [] : [{ role: 'assistant' as const, content }]),
      ...(answers.length === 0 ? [] : [{ role: 'tool' as const, content: answers }]),
      ...(record.steered ?? []).map((steered) => steered.message),
    ],
    final: calls.length === 0 && (record.steered ?? []).length === 0,
    usage: toUsage(finish?.usage),
    text: content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join(''),
  };
}

function toContent(parts: readonly StreamPart[]): AssistantPart[] {
  const content: AssistantPart[] = [];
  const blocks = new Map<string, Extract<AssistantPart, { type: 'text' | 'reasoning' }>>();
  for (const part of parts) {
    const block = 'id' in part ? blocks.get(`${kindOf(part)}:${part.id}`) : undefined;
    if (part.type === 'text-start' || part.type === 'reasoning-start') {
      const opened = { type: kindOf(part), text: '', ...optionsOf(part) };
      blocks.set(`${opened.type}:${part.id}`, opened);
      content.push(opened);
    } else if (block !== undefined) {
      if (part.type === 'text-delta' || part.type === 'reasoning-delta') block.text += part.delta;
      Object.assign(block, optionsOf(part));
    } else content.push(...toWholePart(part));
  }
  return content;
}

function kindOf(part: StreamPart): 'text' | 'reasoning' {
  return part.type.startsWith('reasoning') ? 'reasoning' : 'text';
}

function optionsOf(part: StreamPart): { providerOptions?: ToolCall['providerOptions'] & {} } {
  const metadata = 'providerMetadata' in part ? part.providerMetadata : undefined;
  return metadata === undefined ? {} : { providerOptions: metadata };
}

function toWholePart(part: StreamPart): AssistantPart[] {
  switch (part.type) {
    case 'tool-call':
      return [
        {
          type: 'tool-call',
          toolCallId: part.toolCallId,
          toolName: part.toolName,
          input: parseInput(part.input),
          ...(part.providerExecuted === undefined ? {} : { providerExecuted: part.providerExecuted }),
          ...optionsOf(part),
        },
      ];
    case 'tool-result': {
      const { toolCallId, toolName, result, isError } = part;
      const output = { type: isError === true ? ('error-json' as const) : ('json' as const), value: result };
      return [{ type: 'tool-result', toolCallId, toolName, output, ...optionsOf(part) }];
    }
    default:
      return [];
  }
}

/** The model's text may be no JSON; providers want an object. */
function parseInput(text: string): unknown {
  try {
    const input: unknown = text.trim() === '' ? {} : JSON.parse(text);
    return typeof input === 'object' && input !== null ? input : {};
  } catch {
    return {};
  }
}

async function toResult(
  call: ToolCall,
  { event, tools }: { event: JournalEvent; tools: ToolSet },
): Promise<ToolResult> {
  const { toolCallId, toolName, input } = call;
  const result = { type: 'tool-result' as const, toolCallId, toolName };
  await loadLarge(event);
  if (event.type === 'tool_failed') return { ...result, output: { type: 'error-text', value: reasonOf(event.value) } };
  return { ...result, output: await toModelOutput(event.value, { call: { toolCallId, toolName, input }, tools }) };
}
