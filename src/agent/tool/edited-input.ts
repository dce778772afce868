/**
 * Approvals with an edited input. The SDK refuses a call in the history that differs from what the model asked for, so the history keeps
 * the model's input, the tool gets the edited one, and its result tells the model.
 */

import { asSchema, jsonSchema } from 'ai';
import type { FlexibleSchema, ModelMessage, Tool, ToolSet } from 'ai';
import { z } from 'zod';
import { DurableError } from '../../runtime/errors.ts';
import { plainOutput } from './model-output.ts';
import type { ModelOutput } from './model-output.ts';

type ToModelOutput = NonNullable<Tool['toModelOutput']>;
type JsonSchema = Parameters<typeof jsonSchema>[0];

/** What the call runs with, or why it cannot: code may have been deployed since the input was accepted. */
export type EditedInput = { input: unknown } | { error: DurableError };

const NOTE = 'The person who approved this call changed its input. It ran with:';

/** Checks inputs by tool call id, as they were accepted, by the tools that the calls of the messages are for. */
export async function checkEdits(
  edits: ReadonlyMap<string, unknown>,
  { messages, tools }: { messages: readonly ModelMessage[]; tools: ToolSet },
): Promise<Map<string, EditedInput>> {
  const checked = new Map<string, EditedInput>();
  for (const [toolCallId, input] of edits) {
    const name = toolNameOf(messages, toolCallId);
    const schema = name !== undefined && Object.hasOwn(tools, name) ? tools[name]?.inputSchema : undefined;
    checked.set(toolCallId, name === undefined ? { input } : await checkEdit(schema, { tool: name, input }));
  }
  return checked;
}

/** As `checkEditedInput`, for a call that the error is told to. */
export async function checkEdit(
  schema: FlexibleSchema | undefined,
  edit: { tool: string; input: unknown },
): Promise<EditedInput> {
  try {
    return { input: await checkEditedInput(schema, edit) };
  } catch (error) {
    if (DurableError.is(error, 'payload_invalid')) return { error };
    throw error;
  }
}

function toolNameOf(messages: readonly ModelMessage[], toolCallId: string): string | undefined {
  const parts = messages.flatMap((message) =>
    message.role === 'assistant' && typeof message.content !== 'string' ? message.content : [],
  );
  const call = parts.findLast((part) => part.type === 'tool-call' && part.toolCallId === toolCallId);
  return call?.type === 'tool-call' ? call.toolName : undefined;
}

/**
 * Checks an edited input by its tool's schema; answers the value that the schema makes of it. A schema that is only JSON Schema is read as
 * such. What no schema is known for is not checked. Throws `payload_invalid`, which names the field.
 */
export async function checkEditedInput(
  schema: FlexibleSchema | undefined,
  { tool, input }: { tool: string; input: unknown },
): Promise<unknown> {
  const checked = await checkBySchema(schema, input);
  if (checked === undefined) return input;
  if (checked.success) return checked.value;
  const { issues } = checked;
  const first = issues[0];
  throw new DurableError(
    'payload_invalid',
    `Cannot approve the call of "${tool}" with this input: ${first === undefined ? checked.error.message : `${first.path}: ${first.message}`}. ` +
      'Send an input that fits the schema of the tool.',
    { cause: checked.error, details: { tool, issues } },
  );
}

/** A JSON Schema as an approval holds it; undefined for tools that had none. */
export function fromStoredSchema(json: unknown): FlexibleSchema | undefined {
  return typeof json === 'object' && json !== null ? jsonSchema(json as JsonSchema) : undefined;
}

type Checked = { success: true; value: unknown } | { success: false; error: Error };

/** Undefined where there is no schema, or it cannot be read. */
export async function checkBySchema(
  schema: FlexibleSchema | undefined,
  value: unknown,
): Promise<{ success: true; value: unknown } | { success: false; error: Error; issues: Issue[] } | undefined> {
  if (schema === undefined) return undefined;
  const { validate, jsonSchema: json } = asSchema<unknown>(schema);
  const checked = validate === undefined ? await checkByJsonSchema(await json, value) : await validate(value);
  if (checked === undefined || checked.success) return checked;
  return { ...checked, issues: issuesOf(checked.error) };
}

/** The value stays as it is. Undefined where the schema cannot be read. */
async function checkByJsonSchema(json: unknown, value: unknown): Promise<Checked | undefined> {
  const result = await readJsonSchema(json)?.safeParseAsync(value);
  if (result === undefined) return undefined;
  return result.success ? { success: true, value } : { success: false, error: result.error };
}

function readJsonSchema(json: unknown): z.ZodType | undefined {
  try {
    // Absent before zod 4.2; throws for what it has no form for.
    return (z as Partial<typeof z>).fromJSONSchema?.(json as Parameters<typeof z.fromJSONSchema>[0]);
  } catch {
    return undefined;
  }
}

export interface Issue {
  path: string;
  message: string;
}

/** Issues of Standard Schema libraries and of zod have the same form: a path and a message. */
function issuesOf(error: unknown): Issue[] {
  const holder = [error, (error as { cause?: unknown }).cause].find(
    (each): each is { issues: unknown[] } =>
      typeof each === 'object' && each !== null && 'issues' in each && Array.isArray(each.issues),
  );
  return (holder?.issues ?? []).map((issue) => {
    const { path, message } = issue as { path?: unknown; message?: unknown };
    return { path: pathOf(path), message: String(message) };
  });
}

function pathOf(path: unknown): string {
  if (!Array.isArray(path) || path.length === 0) return '(root)';
  return path
    .map((segment: unknown) =>
      String(typeof segment === 'object' && segment !== null && 'key' in segment ? segment.key : segment),
    )
    .join('.');
}

export function editedModelOutput(tool: Tool, editOf: (toolCallId: string) => EditedInput | undefined): ToModelOutput {
  const original = tool.toModelOutput?.bind(tool);
  return async (options) => {
    const output = original === undefined ? plainOutput(options.output) : await original(options);
    const edit = editOf(options.toolCallId);
    return edit === undefined || 'error' in edit ? output : withEditNote(output, edit.input);
  };
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
