/** The rules of Anthropic's Messages API for `messages`, with its error texts. */
import { ApiError } from '../../examples/model-server/wire.ts';
import type { Body } from '../../examples/model-server/wire.ts';

/** One content block. */
export type Block = Readonly<Record<string, unknown>> & { readonly type: string };

/** Neighbouring messages of one role, which Anthropic reads as one. `index` is that of the first. */
export interface MergedMessage {
  role: 'user' | 'assistant';
  content: Block[];
  index: number;
}

/** The messages, merged and checked. Throws ApiError (400) as Anthropic answers it. */
export function readMessages(body: Body): MergedMessage[] {
  for (const field of ['model', 'max_tokens', 'messages'])
    if (body[field] === undefined) throw new ApiError(`${field}: Field required`);
  const messages = body['messages'];
  if (!Array.isArray(messages) || messages.length === 0)
    throw new ApiError('messages: at least one message is required');
  const merged = merge(messages as { role?: unknown; content?: unknown }[]);
  if (merged[0]?.role !== 'user') throw new ApiError('messages: first message must use the "user" role');
  const callIds = new Set<string>();
  for (const [position, message] of merged.entries()) {
    checkBlocks(message, callIds);
    checkResults(message, merged[position - 1]);
    checkAnswered(message, merged[position + 1]);
  }
  checkEnd(merged);
  return merged;
}

function merge(messages: readonly { role?: unknown; content?: unknown }[]): MergedMessage[] {
  const merged: MergedMessage[] = [];
  for (const [index, { role, content }] of messages.entries()) {
    if (role !== 'user' && role !== 'assistant') {
      throw new ApiError(
        `messages: Unexpected role "${String(role)}". The Messages API accepts a top-level \`system\` parameter, not "system" as an input message role.`,
      );
    }
    const blocks = toBlocks(content, { role, index, last: index === messages.length - 1 });
    const before = merged.at(-1);
    if (before?.role === role) before.content.push(...blocks);
    else merged.push({ role, content: blocks, index });
  }
  return merged;
}

function toBlocks(content: unknown, { role, index, last }: { role: string; index: number; last: boolean }): Block[] {
  const blocks = typeof content === 'string' && content !== '' ? [{ type: 'text', text: content }] : content;
  if (Array.isArray(blocks) && blocks.length > 0) return blocks as Block[];
  if (role === 'user') throw new ApiError(`messages.${index}: user messages must have non-empty content`);
  if (last) return [];
  throw new ApiError(
    `messages.${index}: all messages must have non-empty content except for the optional final assistant message`,
  );
}

function checkBlocks({ role, content, index }: MergedMessage, callIds: Set<string>): void {
  for (const [place, block] of content.entries()) {
    const at = `messages.${index}.content.${place}`;
    if (block.type === 'text') checkText(String(block['text']));
    if (block.type === 'tool_result' && role === 'assistant')
      throw new ApiError(`messages.${index}: \`tool_result\` blocks can only be in \`user\` messages`);
    if (block.type !== 'tool_use') continue;
    if (role === 'user')
      throw new ApiError(`messages.${index}: \`tool_use\` blocks can only be in \`assistant\` messages`);
    checkCall(block, { at, callIds });
  }
}

function checkText(text: string): void {
  if (text === '') throw new ApiError('messages: text content blocks must be non-empty');
  if (text.trim() === '') throw new ApiError('messages: text content blocks must contain non-whitespace text');
}

function checkCall(block: Block, { at, callIds }: { at: string; callIds: Set<string> }): void {
  const id = String(block['id']);
  if (!/^[a-zA-Z0-9_-]+$/.test(id))
    throw new ApiError(`${at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'`);
  if (callIds.has(id)) throw new ApiError(`${at}: \`tool_use\` ids must be unique`);
  callIds.add(id);
  const input = block['input'];
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) return;
  throw new ApiError(`${at}.tool_use.input: Input should be a valid dictionary`);
}

function checkResults({ role, content, index }: MergedMessage, before: MergedMessage | undefined): void {
  if (role !== 'user') return;
  const calls = new Set(idsOf(before?.content ?? [], 'tool_use'));
  const seen = new Set<string>();
  for (const [place, block] of content.entries()) {
    if (block.type !== 'tool_result') continue;
    const id = String(block['tool_use_id']);
    const at = `messages.${index}.content.${place}`;
    if (!calls.has(id)) {
      throw new ApiError(
        `${at}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`,
      );
    }
    if (seen.has(id))
      throw new ApiError(
        `${at}: each tool_use must have a single result. Found multiple \`tool_result\` blocks with id: ${id}`,
      );
    seen.add(id);
  }
}

// Results count only at the head of the next message: text before a result makes it as good as missing.
function checkAnswered({ role, content, index }: MergedMessage, next: MergedMessage | undefined): void {
  if (role !== 'assistant') return;
  const following = next?.content ?? [];
  const head = following.findIndex((block) => block.type !== 'tool_result');
  const answered = new Set(idsOf(head < 0 ? following : following.slice(0, head), 'tool_result'));
  const open = idsOf(content, 'tool_use').filter((id) => !answered.has(id));
  if (open.length === 0) return;
  throw new ApiError(
    `messages.${index}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${open.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`,
  );
}

// Current models accept no prefilled answer, so that a history which ends with the assistant is refused.
function checkEnd(messages: readonly MergedMessage[]): void {
  const last = messages.at(-1);
  if (last?.role !== 'assistant') return;
  const block = last.content.at(-1);
  if (block?.type === 'text' && /\s$/.test(String(block['text']))) {
    throw new ApiError('messages: final assistant content cannot end with trailing whitespace');
  }
  throw new ApiError(
    'This model does not support assistant message prefill. The conversation must end with a user message.',
  );
}

function idsOf(content: readonly Block[], type: 'tool_use' | 'tool_result'): string[] {
  const field = type === 'tool_use' ? 'id' : 'tool_use_id';
  return content.filter((block) => block.type === type).map((block) => String(block[field]));
}
