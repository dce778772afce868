/** What starts an agent's run, and the form in which it is stored: new messages only, never history. */

import { asSchema, convertToModelMessages, modelMessageSchema } from 'ai';
import type { FlexibleSchema, ModelMessage, UIMessage, UserModelMessage } from 'ai';
import { DurableError } from '../runtime/errors.ts';

/** The content of `runtime.start(agent, ...)`: exactly one of `prompt`, `message` and `messages`. */
export interface AgentInput<OPTIONS = unknown> {
  /** Text of one user message. */
  prompt?: string;
  /** One user message as `useChat` sends it. */
  message?: UIMessage;
  /** New messages in the AI SDK's form. The thread's earlier messages are added by the framework. */
  messages?: ModelMessage[];
  /** The agent's call options (`callOptionsSchema`). */
  options?: OPTIONS;
  /** Who says it, as the thread's readers are told. The model is not. */
  by?: string;
}

/** The stored form. */
export interface StoredInput {
  messages: ModelMessage[];
  /** The user message as the client sent it, so that the thread shows it unchanged. */
  uiMessage?: UIMessage;
  callOptions?: unknown;
  by?: string;
}

const FORM =
  'Write runtime.start(agent, { prompt: "..." }), { message: { id, role: "user", parts: [...] } } or ' +
  '{ messages: [{ role: "user", content: "..." }] }.';

/** Checks what a run was started with. Throws `invalid_argument`, which says the right form. */
export async function parseAgentInput(agent: string, input: unknown): Promise<StoredInput> {
  const given = readObject(agent, input);
  const forms = (['prompt', 'message', 'messages'] as const).filter((form) => given[form] !== undefined);
  if (forms.length !== 1) {
    throw invalid(agent, forms.length === 0 ? 'it got no message' : `it got ${forms.join(' and ')} at once`);
  }
  const { options: callOptions, by } = given;
  if (by !== undefined && (typeof by !== 'string' || by === ''))
    throw invalid(agent, '"by" is not a text with content');
  return {
    ...(await readContent(agent, given, forms[0] ?? 'prompt')),
    ...(callOptions === undefined ? {} : { callOptions }),
    ...(by === undefined ? {} : { by }),
  };
}

async function readContent(agent: string, given: Record<string, unknown>, form: string): Promise<StoredInput> {
  switch (form) {
    case 'prompt':
      return { messages: [{ role: 'user', content: readPrompt(agent, given['prompt']) }] };
    case 'message':
      return readUiMessage(agent, given['message']);
    default:
      return { messages: await readMessages(agent, given['messages']) };
  }
}

function readObject(agent: string, input: unknown = {}): Record<string, unknown> {
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) return input as Record<string, unknown>;
  throw invalid(agent, `its input is ${Array.isArray(input) ? 'an array' : `of type ${typeof input}`}, not an object`);
}

function readPrompt(agent: string, prompt: unknown): string {
  if (typeof prompt === 'string' && prompt.trim() !== '') return prompt;
  throw invalid(agent, 'prompt is not a text with something in it');
}

async function readUiMessage(agent: string, message: unknown): Promise<StoredInput> {
  if (!isUserUiMessage(message)) throw invalid(agent, 'message is not a UIMessage of role "user" with parts');
  const messages = await convertToModelMessages([message]);
  const empty = messages.every((each) => each.content.length === 0);
  if (empty) throw invalid(agent, 'message has no text and no file');
  return { messages, uiMessage: message };
}

function isUserUiMessage(value: unknown): value is UIMessage {
  if (typeof value !== 'object' || value === null) return false;
  const { id, role, parts } = value as Record<string, unknown>;
  return typeof id === 'string' && role === 'user' && Array.isArray(parts);
}

async function readMessages(agent: string, messages: unknown): Promise<ModelMessage[]> {
  if (!Array.isArray(messages) || messages.length === 0) throw invalid(agent, 'messages is not an array with messages');
  return Promise.all(messages.map((message, index) => readMessage(agent, { message, index })));
}

async function readMessage(
  agent: string,
  { message, index }: { message: unknown; index: number },
): Promise<ModelMessage> {
  const schema = asSchema(modelMessageSchema as FlexibleSchema<ModelMessage>);
  const checked = await schema.validate?.(message);
  if (checked === undefined || checked.success) return message as ModelMessage;
  throw invalid(agent, `messages[${index}] is not a ModelMessage of the AI SDK`, checked.error);
}

function invalid(agent: string, why: string, cause?: unknown): DurableError {
  return new DurableError('invalid_argument', `Cannot start agent "${agent}": ${why}. ${FORM}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { agent },
  });
}

/** The user messages of a stored input, as they can be steered into a running loop. */
export function toUserMessages(stored: unknown): UserModelMessage[] {
  const { messages } = stored as StoredInput;
  return messages.filter((message) => message.role === 'user');
}
