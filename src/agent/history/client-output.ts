/** What clients have answered for tools without `execute`, as their tools show it to the model. */

import type { ModelMessage, ToolModelMessage, ToolSet } from 'ai';
import { toModelOutput } from '../tool/model-output.ts';
import type { ModelOutput } from '../tool/model-output.ts';

export interface ClientOutput {
  toolCallId: string;
  toolName: string;
  input: unknown;
  output: unknown;
}

/** By what stands in the message for the model: ids may repeat in a conversation, and are made unique then. */
export type ClientOutputs = ReadonlyMap<ModelOutput, ClientOutput>;

/** The messages with what the tools make of the outputs. */
export function withClientOutputs(
  messages: readonly ModelMessage[],
  options: { outputs: ClientOutputs; tools: ToolSet },
): Promise<ModelMessage[]> {
  return Promise.all(
    messages.map(async (message) =>
      message.role === 'tool' && options.outputs.size > 0 ? withOutputs(message, options) : message,
    ),
  );
}

async function withOutputs(
  message: ToolModelMessage,
  { outputs, tools }: { outputs: ClientOutputs; tools: ToolSet },
): Promise<ToolModelMessage> {
  const content = await Promise.all(
    message.content.map(async (part) => {
      const answer = part.type === 'tool-result' ? outputs.get(part.output) : undefined;
      if (part.type !== 'tool-result' || answer === undefined) return part;
      return { ...part, output: await toModelOutput(answer.output, { call: answer, tools }) };
    }),
  );
  return { ...message, content };
}
