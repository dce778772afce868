/** A model server for Anthropic's Messages API, strict about histories as Anthropic is, with the scenarios of the example server. */
import { MessageList } from '../../examples/model-server/conversation.ts';
import type { History, ToolDefinition } from '../../examples/model-server/conversation.ts';
import type { OutputItem } from '../../examples/model-server/request-log.ts';
import { startWireServer } from '../../examples/model-server/server.ts';
import type { ModelServer, ModelServerOptions } from '../../examples/model-server/server.ts';
import type { Body, PlannedResponse, StreamEvent, Wire } from '../../examples/model-server/wire.ts';
import { readMessages } from './anthropic-history.ts';
import type { Block, MergedMessage } from './anthropic-history.ts';

/** Starts the server; use it with `createAnthropic({ baseURL: server.baseURL, apiKey: 'local' })`. */
export function startAnthropicServer(options: ModelServerOptions = {}): Promise<ModelServer> {
  return startWireServer(messagesWire, options);
}

const messagesWire: Wire = {
  path: '/v1/messages',
  callPrefix: 'toolu_',
  failures: {
    429: {
      type: 'rate_limit_error',
      code: null,
      message: "This request would exceed your account's rate limit. Please try again later.",
    },
    500: { type: 'api_error', code: null, message: 'Internal server error' },
  },
  read: readRequest,
  tokenLimit: (body) => (typeof body['max_tokens'] === 'number' ? body['max_tokens'] : undefined),
  events: toEvents,
  whole: (response) => ({
    ...toMessage(response),
    content: toContent(response),
    stop_reason: stopReason(response),
    usage: { input_tokens: response.inputTokens, output_tokens: countPieces(response) },
  }),
  output: toContent,
  errorBody: ({ type, message }) => ({ type: 'error', error: { type, message } }),
  errorEvent: ({ type, message }) => toEvent('error', { error: { type, message } }),
};

function readRequest(body: Body): History {
  const list = new MessageList();
  const instructions = textOf(body['system'] ?? '');
  if (instructions) list.addText('system', instructions);
  for (const message of readMessages(body)) addMessage(list, message);
  const output = body['output_config'] as { format?: unknown } | undefined;
  return {
    instructions,
    messages: list.messages,
    tools: ((body['tools'] ?? []) as OutputItem[]).map(toTool),
    wantsJson: output?.format !== undefined,
  };
}

function addMessage(list: MessageList, { role, content }: MergedMessage): void {
  for (const block of content) {
    if (block.type === 'tool_use')
      list.addCall({ callId: String(block['id']), name: String(block['name']), arguments: block['input'] });
    if (block.type === 'tool_result') list.addResult(String(block['tool_use_id']), textOf(block['content'] ?? ''));
    if (block.type === 'text' && role === 'assistant') list.addAssistantText(String(block['text']));
  }
  // A user message whose results come first and whose text follows is results, then what the user says.
  const text = content.filter((block) => block.type === 'text').map((block) => String(block['text']));
  if (role === 'user' && text.length > 0) list.addText('user', text.join('\n'));
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return (content as Block[]).map((block) => (block.type === 'text' ? String(block['text']) : '')).join('');
}

function toTool({ name, description, input_schema: parameters }: OutputItem): ToolDefinition {
  return { name: String(name), description: typeof description === 'string' ? description : '', parameters };
}

function toMessage(response: PlannedResponse): OutputItem {
  return {
    id: `msg_${response.token}`,
    type: 'message',
    role: 'assistant',
    model: response.model,
    stop_sequence: null,
  };
}

function stopReason({ incomplete, toolCalls }: PlannedResponse): string {
  if (incomplete) return 'max_tokens';
  return toolCalls.length > 0 ? 'tool_use' : 'end_turn';
}

function countPieces({ text, toolCalls }: PlannedResponse): number {
  return text.length + toolCalls.reduce((sum, call) => sum + call.arguments.length, 0);
}

function toContent(response: PlannedResponse): OutputItem[] {
  const { reasoning, text, token } = response;
  return [
    ...(reasoning === undefined ? [] : [{ type: 'thinking', thinking: reasoning, signature: `sig_${token}` }]),
    ...(text.length === 0 ? [] : [{ type: 'text', text: text.join('') }]),
    ...response.toolCalls.map((call) => ({
      type: 'tool_use',
      id: call.callId,
      name: call.name,
      input: JSON.parse(call.arguments.join('')) as unknown,
    })),
  ];
}

function toEvents(response: PlannedResponse): StreamEvent[] {
  const blocks = toContent(response);
  const calls = response.toolCalls.values();
  const usage = { input_tokens: response.inputTokens, output_tokens: 1 };
  const events = [
    toEvent('message_start', { message: { ...toMessage(response), content: [], stop_reason: null, usage } }),
  ];
  for (const [index, block] of blocks.entries()) {
    events.push(toEvent('content_block_start', { index, content_block: emptied(block) }));
    if (block['type'] === 'thinking') events.push(...thinkingEvents(block, index));
    if (block['type'] === 'text')
      events.push(
        ...deltas(
          response.text.map((text) => ({ type: 'text_delta', text })),
          index,
        ),
      );
    if (block['type'] === 'tool_use') {
      const pieces = calls.next().value?.arguments ?? [];
      events.push(
        ...deltas(
          pieces.map((piece) => ({ type: 'input_json_delta', partial_json: piece })),
          index,
        ),
      );
    }
    events.push(toEvent('content_block_stop', { index }));
  }
  const delta = { stop_reason: stopReason(response), stop_sequence: null };
  events.push(
    toEvent('message_delta', { delta, usage: { output_tokens: countPieces(response) } }),
    toEvent('message_stop', {}),
  );
  return events;
}

function emptied(block: OutputItem): OutputItem {
  if (block['type'] === 'thinking') return { ...block, thinking: '', signature: '' };
  return block['type'] === 'text' ? { ...block, text: '' } : { ...block, input: {} };
}

function thinkingEvents({ thinking, signature }: OutputItem, index: number): StreamEvent[] {
  return [
    toEvent('content_block_delta', { index, delta: { type: 'thinking_delta', thinking } }),
    toEvent('content_block_delta', { index, delta: { type: 'signature_delta', signature } }),
  ];
}

function deltas(pieces: readonly OutputItem[], index: number): StreamEvent[] {
  return pieces.map((delta) => ({ ...toEvent('content_block_delta', { index, delta }), paced: true }));
}

function toEvent(type: string, fields: OutputItem): StreamEvent {
  return { event: type, data: { type, ...fields } };
}
