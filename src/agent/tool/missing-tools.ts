/** Stand-ins for tools that were approved and that this version of the agent does not have. */

import { dynamicTool, jsonSchema } from 'ai';
import type { ModelMessage, Tool, ToolSet } from 'ai';
import { DurableError } from '../../runtime/errors.ts';

/**
 * Approved calls of tools that do not exist any more get an error that the model can read, instead of no result at all. The names are
 * answered too, so that the model is not offered them.
 */
export function withMissingTools(
  tools: ToolSet | undefined,
  messages: ModelMessage[],
): { tools: ToolSet | undefined; missing: string[] } {
  const missing = approvedToolNames(messages).filter((name) => tools === undefined || !Object.hasOwn(tools, name));
  if (missing.length === 0) return { tools, missing };
  const stand = Object.fromEntries(missing.map((name) => [name, missingTool(name)]));
  return { tools: { ...tools, ...stand }, missing };
}

function approvedToolNames(messages: ModelMessage[]): string[] {
  const last = messages.at(-1);
  if (last?.role !== 'tool') return [];
  const approved = new Set(
    last.content.flatMap((part) => (part.type === 'tool-approval-response' && part.approved ? [part.approvalId] : [])),
  );
  const parts = messages.flatMap((message) =>
    message.role === 'assistant' && typeof message.content !== 'string' ? message.content : [],
  );
  const calls = new Set(
    parts.flatMap((part) =>
      part.type === 'tool-approval-request' && approved.has(part.approvalId) ? [part.toolCallId] : [],
    ),
  );
  return [
    ...new Set(
      parts.flatMap((part) =>
        part.type === 'tool-call' && calls.has(part.toolCallId) && part.providerExecuted !== true
          ? [part.toolName]
          : [],
      ),
    ),
  ];
}

function missingTool(name: string): Tool {
  return dynamicTool({
    description: 'This tool does not exist any more.',
    inputSchema: jsonSchema({}),
    execute: () => {
      throw new DurableError(
        'tool_not_found',
        `Cannot run the tool "${name}": it was approved, but this version of the agent has no such tool. Say so, and use the tools that there are.`,
        { details: { name } },
      );
    },
  });
}
