/** What the model says: scenarios, and the rule that picks one for a conversation. */
import { toConversation } from './conversation.ts';
import type { Conversation, History, ToolDefinition } from './conversation.ts';
import type { Fault } from './faults.ts';

/** A call to make. Without `id` each response gets fresh call ids, as a real model's would. */
export interface ToolCallReply {
  name: string;
  arguments: unknown;
  id?: string;
}

/** One response of the model. */
export interface Reply {
  text?: string;
  reasoning?: string;
  toolCalls?: readonly ToolCallReply[];
  fault?: Fault;
}

export type ReplyFunction = (conversation: Conversation) => Reply;

/**
 * A flow of responses. A list of replies answers turn n with its n-th entry and does not apply beyond its end; a function
 * answers every turn. Replies must depend on the conversation alone, so that a repeated request gets the same reply.
 */
export interface Scenario {
  name: string;
  matches: RegExp | ((conversation: Conversation) => boolean);
  replies: ReplyFunction | readonly (Reply | ReplyFunction)[];
}

/** The chosen scenario with the conversation as it sees it. */
export interface Choice {
  scenario: Scenario;
  conversation: Conversation;
}

/**
 * The newest user text that matches a scenario chooses it. The search goes back over user texts that match none, but not
 * past a final answer (a response without tool calls): what the user says after that begins something new.
 */
export function chooseScenario(history: History, scenarios: readonly Scenario[]): Choice {
  const { messages } = history;
  for (let index = messages.length - 1; index >= 0; index--) {
    const message = messages[index];
    if (message?.role === 'assistant' && message.toolCalls.length === 0 && index < messages.length - 1) break;
    if (message?.role !== 'user') continue;
    const conversation = toConversation(history, index);
    const scenario = scenarios.find((candidate) => applies(candidate, conversation));
    if (scenario) return { scenario, conversation };
  }
  const last = messages.findLastIndex((message) => message.role === 'user');
  return { scenario: echoScenario, conversation: toConversation(history, last) };
}

/** The scenario's reply to this turn. */
export function replyTo({ scenario, conversation }: Choice): Reply {
  const { replies } = scenario;
  const reply = typeof replies === 'function' ? replies : replies[conversation.turn];
  if (!reply) throw new Error(`Scenario "${scenario.name}" has no reply to turn ${conversation.turn}.`);
  return typeof reply === 'function' ? reply(conversation) : reply;
}

function applies(scenario: Scenario, conversation: Conversation): boolean {
  const { matches, replies } = scenario;
  if (typeof replies !== 'function' && conversation.turn >= replies.length) return false;
  return typeof matches === 'function' ? matches(conversation) : conversation.userText.search(matches) >= 0;
}

/** Answers whatever no other scenario answers, so that a request always gets a reply. */
export const echoScenario: Scenario = {
  name: 'echo',
  matches: () => true,
  replies: (conversation) => {
    const results = conversation.toolResults.map((result) => `${result.name} answered ${result.output}.`);
    const heard = `You said: ${conversation.lastUserText || 'nothing'}.`;
    return conversation.wantsJson ? { text: JSON.stringify({ heard }) } : { text: [heard, ...results].join(' ') };
  },
};

/** Calls each tool whose name the user mentions ("weather" is enough for `getWeather`), then tells the results. */
export const toolScenario: Scenario = {
  name: 'tool',
  matches: (conversation) => mentionedTools(conversation).length > 0,
  replies: [
    (conversation) => ({
      text: 'Let me look that up for you.',
      toolCalls: mentionedTools(conversation).map((tool) => ({
        name: tool.name,
        arguments: argumentsFor(tool, conversation.userText),
      })),
    }),
    (conversation) => ({
      text: conversation.toolResults.map((result) => `The answer of ${result.name} is: ${result.output}`).join('\n'),
    }),
  ],
};

// Words that stand in many tool names and in most sentences, so that they would match by accident.
const commonWords = new Set([
  'get',
  'set',
  'the',
  'and',
  'for',
  'list',
  'read',
  'find',
  'make',
  'run',
  'search',
  'send',
  'tool',
]);

function mentionedTools(conversation: Conversation): ToolDefinition[] {
  const text = conversation.userText.toLowerCase();
  return conversation.tools.filter((tool) => {
    const words = tool.name.split(/[^a-zA-Z]+|(?=[A-Z])/).map((word) => word.toLowerCase());
    return [tool.name.toLowerCase(), ...words.filter((word) => word.length > 2 && !commonWords.has(word))].some(
      (word) => text.includes(word),
    );
  });
}

// Fills required strings with the last capitalized words of the text and numbers with its numbers.
function argumentsFor(tool: ToolDefinition, text: string): Record<string, unknown> {
  const { properties = {}, required = [] } = tool.parameters as {
    properties?: Record<string, { type?: string; enum?: unknown[] }>;
    required?: string[];
  };
  const numbers = text.match(/\d+(\.\d+)?/g) ?? [];
  const names = text.match(/(?<=\s)\p{Lu}[\p{L}-]+(\s\p{Lu}[\p{L}-]+)*/gu) ?? [];
  const valueOf = ({ type, enum: options }: { type?: string; enum?: unknown[] }): unknown => {
    if (options) return options.find((option) => text.includes(String(option))) ?? options[0];
    if (type === 'number' || type === 'integer') return Number(numbers.shift() ?? 1);
    if (type === 'boolean') return true;
    if (type === 'array') return [];
    return type === 'object' ? {} : (names.pop() ?? text);
  };
  return Object.fromEntries(required.map((name) => [name, valueOf(properties[name] ?? {})]));
}
