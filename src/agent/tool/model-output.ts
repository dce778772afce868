/** What the AI SDK makes of a tool's output for the model, for results that do not pass its loop. */

import type { JSONValue, Tool, ToolSet } from 'ai';

export type ModelOutput = Awaited<ReturnType<NonNullable<Tool['toModelOutput']>>>;

export async function toModelOutput(
  output: unknown,
  { call, tools }: { call: { toolCallId: string; toolName: string; input: unknown }; tools: ToolSet },
): Promise<ModelOutput> {
  const { toolCallId, toolName, input } = call;
  const tool = Object.hasOwn(tools, toolName) ? tools[toolName] : undefined;
  if (tool?.toModelOutput === undefined) return plainOutput(output);
  return tool.toModelOutput({ toolCallId, input: input as never, output: output as never });
}

/** Of a tool without `toModelOutput`. */
export function plainOutput(output: unknown): ModelOutput {
  return typeof output === 'string'
    ? { type: 'text', value: output }
    : { type: 'json', value: (output ?? null) as JSONValue };
}
