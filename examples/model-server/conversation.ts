/** What the model server understands of a request, whichever API it came through. */

/** A call that an earlier response asked for. `arguments` is parsed if it is JSON. */
export interface ToolCall {
  callId: string;
  name: string;
  arguments: unknown;
}

/** The answer to a call: `output` as it was sent, `value` parsed if it is JSON (else the same string). */
export interface ToolResult extends ToolCall {
  output: string;
  value: unknown;
}

/** One tool that the request offers, with its JSON schema. */
export interface ToolDefinition {
  name: string;
  description: string;
  parameters: unknown;
}

/** One entry of the history. Neighbouring parts of one response are one assistant message. */
export type Message =
  | { role: 'system'; text: string }
  | { role: 'user'; text: string }
  | { role: 'assistant'; text: string; toolCalls: ToolCall[] }
  | { role: 'tool'; result: ToolResult };

/** A validated request without the details of its API. */
export interface History {
  instructions: string;
  messages: Message[];
  tools: ToolDefinition[];
  /** The request asks for JSON, so no random token may stand in the text. */
  wantsJson: boolean;
}

/** A history as a scenario sees it: everything counts from the user text that chose the scenario. */
export interface Conversation extends History {
  userText: string;
  /** Differs from `userText` if the user spoke again while the flow was under way. */
  lastUserText: string;
  /** Responses of the model since `userText`. */
  turn: number;
  /** Calls and results since `userText`, in the order of the history. */
  toolCalls: ToolCall[];
  toolResults: ToolResult[];
}

/** Collects messages; parts that one response emitted become one assistant message. */
export class MessageList {
  readonly messages: Message[] = [];
  readonly #calls = new Map<string, ToolCall>();

  addText(role: 'system' | 'user', text: string): void {
    this.messages.push({ role, text });
  }

  addAssistantText(text: string): void {
    this.#assistant().text += text;
  }

  addCall(call: ToolCall): void {
    this.#calls.set(call.callId, call);
    this.#assistant().toolCalls.push(call);
  }

  addResult(callId: string, output: string): void {
    const call = this.#calls.get(callId) ?? { callId, name: '', arguments: undefined };
    this.messages.push({ role: 'tool', result: { ...call, output, value: parseJson(output) } });
  }

  #assistant(): Extract<Message, { role: 'assistant' }> {
    const last = this.messages.at(-1);
    if (last?.role === 'assistant') return last;
    const message: Message = { role: 'assistant', text: '', toolCalls: [] };
    this.messages.push(message);
    return message;
  }
}

/** The parsed text, or the text itself where it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The conversation as it looks from the user message at `index` (-1: there is none). */
export function toConversation(history: History, index: number): Conversation {
  const since = history.messages.slice(index + 1);
  const chosen = history.messages[index];
  const lastUser = history.messages.findLast((message) => message.role === 'user');
  const assistant = since.filter((message) => message.role === 'assistant');
  return {
    ...history,
    userText: chosen?.role === 'user' ? chosen.text : '',
    lastUserText: lastUser?.text ?? '',
    turn: assistant.length,
    toolCalls: assistant.flatMap((message) => message.toolCalls),
    toolResults: since.flatMap((message) => (message.role === 'tool' ? [message.result] : [])),
  };
}
