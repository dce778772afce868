/** OpenAI's Responses API: its requests, its response objects and its stream of events. */
import { MessageList, parseJson } from './conversation.ts';
import type { History, ToolDefinition } from './conversation.ts';
import { readInput } from './history.ts';
import type { InputItem } from './history.ts';
import type { OutputItem, RequestLog } from './request-log.ts';
import type { Body, PlannedResponse, StreamEvent, Wire } from './wire.ts';

export const responsesWire: Wire = {
  path: '/v1/responses',
  callPrefix: 'call_',
  failures: {
    429: {
      type: 'requests',
      code: 'rate_limit_exceeded',
      message: 'Rate limit reached for requests. Please try again later.',
    },
    500: {
      type: 'server_error',
      code: 'server_error',
      message: 'The server had an error processing your request. Sorry about that!',
    },
  },
  read: readRequest,
  tokenLimit: (body) => (typeof body['max_output_tokens'] === 'number' ? body['max_output_tokens'] : undefined),
  events: toEvents,
  whole: (response) => toResponse(response, { status: finalStatus(response), output: toOutput(response) }),
  output: toOutput,
  errorBody: ({ message, type, param, code }) => ({ error: { message, type, param, code } }),
  errorEvent: ({ code, message }, sequence) =>
    toEvent('error', { code, message, param: null, sequence_number: sequence }),
};

function readRequest(body: Body, log: RequestLog): History {
  const list = new MessageList();
  const instructions: string[] = typeof body['instructions'] === 'string' ? [body['instructions']] : [];
  for (const item of readInput(body, log)) {
    if (item['role'] === 'system' || item['role'] === 'developer') instructions.push(textOf(item['content']));
    addItem(list, item);
  }
  const format = (body['text'] as { format?: { type?: string } } | undefined)?.format?.type;
  return {
    instructions: instructions.join('\n'),
    messages: list.messages,
    tools: ((body['tools'] ?? []) as OutputItem[]).filter((tool) => tool['type'] === 'function').map(toTool),
    wantsJson: format === 'json_schema' || format === 'json_object',
  };
}

function addItem(list: MessageList, item: InputItem): void {
  const callId = String(item['call_id']);
  switch (item['type'] ?? 'message') {
    case 'message': {
      const text = textOf(item['content']);
      if (item['role'] === 'assistant') list.addAssistantText(text);
      else list.addText(item['role'] === 'user' ? 'user' : 'system', text);
      break;
    }
    case 'function_call':
      list.addCall({ callId, name: String(item['name']), arguments: parseJson(String(item['arguments'])) });
      break;
    case 'function_call_output':
      list.addResult(callId, textOf(item['output']));
      break;
    default:
  }
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return (content as { text?: string }[]).map((part) => part.text ?? '').join('');
}

function toTool({ name, description, parameters }: OutputItem): ToolDefinition {
  return { name: String(name), description: typeof description === 'string' ? description : '', parameters };
}

function finalStatus(response: PlannedResponse): 'completed' | 'incomplete' {
  return response.incomplete ? 'incomplete' : 'completed';
}

function toResponse(
  response: PlannedResponse,
  { status, output }: { status: string; output: OutputItem[] },
): OutputItem {
  const ended = status !== 'in_progress';
  return {
    id: `resp_${response.token}`,
    object: 'response',
    created_at: response.createdAt,
    status,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    model: response.model,
    output,
    parallel_tool_calls: true,
    usage: ended ? toUsage(response) : null,
  };
}

function toUsage(response: PlannedResponse): OutputItem {
  const calls = response.toolCalls.reduce((sum, call) => sum + call.arguments.length, 0);
  const outputTokens = response.text.length + calls;
  return {
    input_tokens: response.inputTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: response.inputTokens + outputTokens,
  };
}

function toOutput(response: PlannedResponse): OutputItem[] {
  const { token, reasoning, text } = response;
  const output: OutputItem[] = [];
  if (reasoning !== undefined) {
    output.push({ id: `rs_${token}`, type: 'reasoning', summary: [{ type: 'summary_text', text: reasoning }] });
  }
  if (text.length > 0) {
    const content = [{ type: 'output_text', text: text.join(''), annotations: [] }];
    output.push({ id: `msg_${token}`, type: 'message', status: finalStatus(response), role: 'assistant', content });
  }
  for (const [index, call] of response.toolCalls.entries()) {
    output.push({
      id: `fc_${token}_${index}`,
      type: 'function_call',
      status: 'completed',
      call_id: call.callId,
      name: call.name,
      arguments: call.arguments.join(''),
    });
  }
  return output;
}

function toEvents(response: PlannedResponse): StreamEvent[] {
  const output = toOutput(response);
  const started = { response: toResponse(response, { status: 'in_progress', output: [] }) };
  const status = finalStatus(response);
  const events = [toEvent('response.created', started), toEvent('response.in_progress', started)];
  const calls = response.toolCalls.values();
  for (const [index, item] of output.entries()) {
    const at = { item_id: item['id'], output_index: index };
    events.push(toEvent('response.output_item.added', { output_index: index, item: emptied(item) }));
    if (item['type'] === 'reasoning') events.push(...reasoningEvents(response.reasoning ?? '', at));
    if (item['type'] === 'message') events.push(...textEvents(response.text, at));
    if (item['type'] === 'function_call') events.push(...argumentEvents(calls.next().value?.arguments ?? [], at));
    events.push(toEvent('response.output_item.done', { output_index: index, item }));
  }
  events.push(toEvent(`response.${status}`, { response: toResponse(response, { status, output }) }));
  return events.map((event, index) => ({ ...event, data: { ...event.data, sequence_number: index } }));
}

// An item as it is announced, before its content.
function emptied(item: OutputItem): OutputItem {
  if (item['type'] === 'reasoning') return { ...item, summary: [] };
  const emptyPart = item['type'] === 'message' ? { content: [] } : { arguments: '' };
  return { ...item, status: 'in_progress', ...emptyPart };
}

function reasoningEvents(text: string, at: OutputItem): StreamEvent[] {
  const place = { ...at, summary_index: 0 };
  return [
    toEvent('response.reasoning_summary_part.added', { ...place, part: { type: 'summary_text', text: '' } }),
    toEvent('response.reasoning_summary_text.delta', { ...place, delta: text }),
    toEvent('response.reasoning_summary_text.done', { ...place, text }),
    toEvent('response.reasoning_summary_part.done', { ...place, part: { type: 'summary_text', text } }),
  ];
}

function textEvents(pieces: readonly string[], at: OutputItem): StreamEvent[] {
  const place = { ...at, content_index: 0 };
  const text = pieces.join('');
  return [
    toEvent('response.content_part.added', { ...place, part: { type: 'output_text', text: '', annotations: [] } }),
    ...pieces.map((delta) => ({ ...toEvent('response.output_text.delta', { ...place, delta }), paced: true })),
    toEvent('response.output_text.done', { ...place, text }),
    toEvent('response.content_part.done', { ...place, part: { type: 'output_text', text, annotations: [] } }),
  ];
}

function argumentEvents(pieces: readonly string[], at: OutputItem): StreamEvent[] {
  return [
    ...pieces.map((delta) => ({ ...toEvent('response.function_call_arguments.delta', { ...at, delta }), paced: true })),
    toEvent('response.function_call_arguments.done', { ...at, arguments: pieces.join('') }),
  ];
}

function toEvent(type: string, fields: Readonly<Record<string, unknown>>): StreamEvent {
  return { event: type, data: { type, ...fields } };
}
