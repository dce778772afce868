/** Recorded turns as the chunks that a loop would have written: for a segment that ends without its loop. */

import type { AssistantModelMessage, ToolModelMessage, UIMessageChunk } from 'ai';
import type { RecordedTurn } from './recorded-turns.ts';

type AssistantPart = Exclude<AssistantModelMessage['content'], string>[number];
type ToolPart = ToolModelMessage['content'][number];

export function toChunks(turn: RecordedTurn, n: number): UIMessageChunk[] {
  return [
    { type: 'start-step' },
    ...turn.messages.flatMap((message) => {
      if (message.role === 'assistant' && typeof message.content !== 'string') {
        return message.content.flatMap((part, index) => assistantChunks(part, `t${n}-${index}`));
      }
      return message.role === 'tool' ? message.content.flatMap(toolChunks) : [];
    }),
    { type: 'finish-step' },
  ];
}

function assistantChunks(part: AssistantPart, id: string): UIMessageChunk[] {
  switch (part.type) {
    case 'text':
      return [
        { type: 'text-start', id },
        { type: 'text-delta', id, delta: part.text },
        { type: 'text-end', id },
      ];
    case 'reasoning':
      return [
        { type: 'reasoning-start', id },
        { type: 'reasoning-delta', id, delta: part.text },
        { type: 'reasoning-end', id },
      ];
    case 'tool-call': {
      const { toolCallId, toolName, input, providerExecuted } = part;
      const executed = providerExecuted === undefined ? {} : { providerExecuted };
      return [{ type: 'tool-input-available', toolCallId, toolName, input, ...executed }];
    }
    case 'tool-result':
      return toolChunks(part);
    default:
      return [];
  }
}

export function toolChunks(part: ToolPart): UIMessageChunk[] {
  if (part.type !== 'tool-result') return [];
  const { toolCallId, output } = part;
  switch (output.type) {
    case 'error-text':
      return [{ type: 'tool-output-error', toolCallId, errorText: output.value }];
    case 'error-json':
      return [{ type: 'tool-output-error', toolCallId, errorText: JSON.stringify(output.value) }];
    case 'execution-denied':
      return [{ type: 'tool-output-denied', toolCallId }];
    default:
      return [{ type: 'tool-output-available', toolCallId, output: output.value }];
  }
}
