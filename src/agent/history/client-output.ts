/** What clients have answered for tools without `execute`, as their tools show it to the model. */

import type { ModelMessage, ToolSet } from 'ai';
import { toModelOutput } from '../tool/model-output.ts';

export interface ClientOutput {
  toolName: string;
  input: unknown;
  output: unknown;
}

/** The messages, with what the tools make of the outputs in the last tool message; `outputs` by tool call id. */
export async function withClientOutputs(
  messages: readonly ModelMessage[],
  { outputs, tools }: { outputs: ReadonlyMap<string, ClientOutput>; tools: ToolSet },
): Promise<ModelMessage[]> {
  const at = outputs.size === 0 ? -1 : messages.findLastIndex(({ role }) => role === 'tool');
  const last = messages[at];
  if (last?.role !== 'tool') return [...messages];
  const content = await Promise.all(
    last.content.map(async (part) => {
      const answer = part.type === 'tool-result' ? outputs.get(part.toolCallId) : undefined;
      if (part.type !== 'tool-result' || answer === undefined) return part;
      const { toolName, input, output } = answer;
      return {
        ...part,
        output: await toModelOutput(output, { call: { toolCallId: part.toolCallId, toolName, input }, tools }),
      };
    }),
  );
  return messages.with(at, { ...last, content });
}
