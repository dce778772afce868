/**
 * Approvals with an edited input. The SDK refuses a call in the history that differs from what the model asked for, so the history keeps
 * the model's input, the tool gets the edited one, and its result tells the model.
 */

import type { Tool } from 'ai';

type ToModelOutput = NonNullable<Tool['toModelOutput']>;
type ModelOutput = Awaited<ReturnType<ToModelOutput>>;

const NOTE = 'The person who approved this call changed its input. It ran with:';

export function editedModelOutput(tool: Tool, edits: ReadonlyMap<string, unknown>): ToModelOutput {
  const original = tool.toModelOutput?.bind(tool);
  return async (options) => {
    const output = original === undefined ? plainOutput(options.output) : await original(options);
    if (!edits.has(options.toolCallId)) return output;
    return withEditNote(output, edits.get(options.toolCallId));
  };
}

/** What the SDK sends for a tool without toModelOutput. */
function plainOutput(value: unknown): ModelOutput {
  return typeof value === 'string'
    ? { type: 'text', value }
    : { type: 'json', value: (value ?? null) as Extract<ModelOutput, { type: 'json' }>['value'] };
}

/** The output of a call that ran with another input than the model's. */
export function withEditNote(output: ModelOutput, input: unknown): ModelOutput {
  const text = `${NOTE} ${JSON.stringify(input)}`;
  switch (output.type) {
    case 'text':
    case 'error-text':
      return { ...output, value: `${text}\n\n${output.value}` };
    case 'json':
    case 'error-json':
      return { ...output, value: { note: text, result: output.value } };
    case 'content':
      return { ...output, value: [{ type: 'text', text }, ...output.value] };
    case 'execution-denied':
      return output;
  }
}
