/** What a model said in one turn, read from the turn's record. Pure. */

import type { TurnRecord } from '../agent/turn/turn-record.ts';
import { toolKeys } from '../agent/tool/tool-key.ts';
import { keyPart } from '../runtime/key-part.ts';
import type { JournalEvent } from '../runtime/event.ts';

export interface TurnContent {
  text: string;
  calls: TurnCall[];
}

export interface TurnCall {
  /** The key under which it is recorded, unless it waited for an approval. */
  key: string;
  toolCallId: string;
  tool: string;
  input: unknown;
  /** The provider ran it within the turn. */
  isProviders: boolean;
}

/** Of a `turn_completed`. */
export function readTurn(event: JournalEvent): TurnContent {
  const record = event.value as TurnRecord | undefined;
  const parts: ReadonlyArray<Part> = record?.parts ?? record?.generated?.content ?? [];
  const calls = parts.filter((part) => part.type === 'tool-call').map(toCall);
  const keys = toolKeys(event.key, calls);
  return {
    text: parts.map(textOf).join(''),
    calls: calls.map((call, index) => ({ ...call, key: keys[index] ?? '' })),
  };
}

/** Whether a key is that of an approved call, which runs in the segment after the one that asked. */
export function isApprovedCall(key: string, toolCallId: string): boolean {
  return key.endsWith(`/init/tool:${keyPart(toolCallId)}`);
}

interface Part {
  type: string;
  toolCallId?: string;
  toolName?: string;
  input?: unknown;
  providerExecuted?: boolean | undefined;
  delta?: string;
  text?: string;
}

function textOf({ type, text, delta }: Part): string {
  if (type === 'text') return text ?? '';
  return type === 'text-delta' ? (delta ?? '') : '';
}

function toCall({ toolCallId = '', toolName = '', input, providerExecuted }: Part): Omit<TurnCall, 'key'> {
  return { toolCallId, tool: toolName, input: parsed(input), isProviders: providerExecuted === true };
}

/** Models write the input as JSON, not always well. */
function parsed(input: unknown): unknown {
  if (typeof input !== 'string') return input;
  try {
    return JSON.parse(input) as unknown;
  } catch {
    return input;
  }
}
