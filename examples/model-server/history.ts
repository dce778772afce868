/**
 * The rules of OpenAI's Responses API for `input`, with its error texts. They catch a client whose history lost or doubled
 * something: a call without its output, an output without its call, a reference to a response that never completed.
 */
import type { OutputItem, RequestLog } from './request-log.ts';
import { ApiError } from './wire.ts';
import type { Body } from './wire.ts';

/** One valid item of the input; references are replaced by what they refer to. */
export type InputItem = OutputItem;

const roles: readonly unknown[] = ['user', 'assistant', 'system', 'developer'];
const contentTypes: Readonly<Record<'input' | 'output', readonly unknown[]>> = {
  input: ['input_text', 'input_image', 'input_file'],
  output: ['output_text', 'refusal'],
};

/** The items of the request's input. Throws ApiError (400) as OpenAI answers it. */
export function readInput(body: Body, log: RequestLog): InputItem[] {
  const { input, model } = body;
  if (typeof model !== 'string') throw missing('model');
  if (typeof body['previous_response_id'] === 'string') {
    throw new ApiError(`Previous response with id '${body['previous_response_id']}' not found.`, {
      param: 'previous_response_id',
      code: 'previous_response_not_found',
    });
  }
  if (typeof input === 'string' && input !== '') return [{ role: 'user', content: input }];
  if (!Array.isArray(input) || input.length === 0) {
    throw new ApiError(
      'One of "input" or "previous_response_id" or \'prompt\' or \'conversation_id\' must be provided.',
      {
        param: 'input',
        code: 'missing_required_parameter',
      },
    );
  }
  const given = input as InputItem[];
  given.forEach(checkShape);
  checkDuplicates(given);
  const items = given.map((item) => resolveReference(item, { given, log }));
  checkCallPairs(items);
  checkReasoning(items);
  return items;
}

function checkShape(item: InputItem, index: number): void {
  const type = item['type'] ?? 'message';
  const at = `input[${index}]`;
  if (type === 'message') checkMessage(item, at);
  else if (type === 'function_call') checkStrings(item, { names: ['call_id', 'name', 'arguments'], at });
  else if (type === 'function_call_output') checkStrings(item, { names: ['call_id'], at });
  else if (type === 'item_reference') checkStrings(item, { names: ['id'], at });
  else if (type !== 'reasoning')
    throw invalidValue(type, {
      at,
      supported: ['message', 'function_call', 'function_call_output', 'item_reference', 'reasoning'],
    });
  if (type === 'function_call_output' && item['output'] === undefined) throw missing(`${at}.output`);
  if (type === 'reasoning' && item['summary'] === undefined) throw missing(`${at}.summary`);
}

function checkMessage(item: InputItem, at: string): void {
  const { role, content } = item;
  if (!roles.includes(role)) throw invalidValue(role, { at: `${at}.role`, supported: roles });
  if (content === undefined || content === null) throw missing(`${at}.content`);
  if (!Array.isArray(content)) return;
  const supported = contentTypes[role === 'assistant' ? 'output' : 'input'];
  for (const [index, part] of (content as { type?: unknown }[]).entries()) {
    if (!supported.includes(part.type)) throw invalidValue(part.type, { at: `${at}.content[${index}]`, supported });
  }
}

function checkStrings(item: InputItem, { names, at }: { names: readonly string[]; at: string }): void {
  for (const name of names) {
    const value = item[name];
    if (typeof value !== 'string') throw missing(`${at}.${name}`);
    if (name === 'call_id' || name === 'name') checkLength(value, `${at}.${name}`);
    if (name === 'name' && !/^[a-zA-Z0-9_-]+$/.test(value)) {
      throw new ApiError(
        `Invalid '${at}.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.`,
        { param: `${at}.name`, code: 'invalid_value' },
      );
    }
  }
}

function checkLength(value: string, param: string): void {
  const length = value.length;
  if (length === 0) {
    const message = `Invalid '${param}': empty string. Expected a string with minimum length 1, but got an empty string instead.`;
    throw new ApiError(message, { param, code: 'empty_string' });
  }
  if (length <= 64) return;
  const message = `Invalid '${param}': string too long. Expected a string with maximum length 64, but got a string with length ${length} instead.`;
  throw new ApiError(message, { param, code: 'string_above_max_length' });
}

function checkDuplicates(items: readonly InputItem[]): void {
  const seen = new Set<string>();
  for (const { id } of items) {
    if (typeof id !== 'string') continue;
    if (seen.has(id)) {
      throw new ApiError(`Duplicate item found with id ${id}. Remove duplicate items from your input and try again.`, {
        param: 'input',
      });
    }
    seen.add(id);
  }
}

function resolveReference(
  item: InputItem,
  { given, log }: { given: readonly InputItem[]; log: RequestLog },
): InputItem {
  if (item['type'] !== 'item_reference') return item;
  const id = String(item['id']);
  const stored = log.find(id);
  if (!stored) throw new ApiError(`Item with id '${id}' not found.`, { param: 'input' });
  const { before } = stored;
  if (before?.['type'] === 'reasoning' && !given.some((other) => other['id'] === before['id'])) {
    const type = String(stored.item['type']);
    throw new ApiError(
      `Item '${id}' of type '${type}' was provided without its required 'reasoning' item: '${String(before['id'])}'.`,
      {
        param: 'input',
      },
    );
  }
  return stored.item;
}

// An output must follow its call; a second call or output with the same id cannot be paired and is refused as unpaired.
function checkCallPairs(items: readonly InputItem[]): void {
  const open = new Set<string>();
  for (const item of items) {
    const callId = String(item['call_id']);
    if (item['type'] === 'function_call') {
      if (open.has(callId)) throw noOutput(callId);
      open.add(callId);
    }
    if (item['type'] !== 'function_call_output') continue;
    if (!open.delete(callId)) {
      throw new ApiError(`No tool call found for function call output with call_id ${callId}.`, { param: 'input' });
    }
  }
  for (const callId of open) throw noOutput(callId);
}

function checkReasoning(items: readonly InputItem[]): void {
  for (const [index, item] of items.entries()) {
    if (item['type'] !== 'reasoning') continue;
    const next = items[index + 1];
    const type = next?.['type'] ?? 'message';
    const follows =
      next &&
      (type === 'function_call' || type === 'reasoning' || (type === 'message' && next['role'] === 'assistant'));
    if (follows) continue;
    throw new ApiError(
      `Item '${String(item['id'])}' of type 'reasoning' was provided without its required following item.`,
      {
        param: 'input',
      },
    );
  }
}

function noOutput(callId: string): ApiError {
  return new ApiError(`No tool output found for function call ${callId}.`, { param: 'input' });
}

function missing(param: string): ApiError {
  return new ApiError(`Missing required parameter: '${param}'.`, { param, code: 'missing_required_parameter' });
}

function invalidValue(value: unknown, { at, supported }: { at: string; supported: readonly unknown[] }): ApiError {
  const names = supported.map((name) => `'${String(name)}'`);
  const list = `${names.slice(0, -1).join(', ')}, and ${names.at(-1) ?? ''}`;
  return new ApiError(`Invalid value: '${String(value)}'. Supported values are: ${list}.`, {
    param: at,
    code: 'invalid_value',
  });
}
