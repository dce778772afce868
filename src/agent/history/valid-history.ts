/**
 * Makes a conversation valid for every provider, whatever happened to it: stops, crashes, unanswered approvals. Pure.
 *
 *  V1 Each call of a local tool is answered once, by the tool message right after its assistant message (OpenAI: no function
 *     call without output and vice versa; Anthropic: tool_use is followed at once by its tool_result). Missing results are
 *     made up and say so; results without a call are left out.
 *  V2 A call that the provider executes stands with its result, or not at all.
 *  V3 A reasoning item stands only before something else of its message (OpenAI refuses it without its following item).
 *  V4 No empty text, no empty message; the last assistant text has no trailing whitespace (Anthropic).
 *  V5 A call whose id an earlier turn used gets another one, together with its result (Anthropic: ids are unique).
 *  V6 A valid history is answered unchanged in content: applying it twice is applying it once.
 */

import type { AssistantModelMessage, ModelMessage, ToolModelMessage, UserModelMessage } from 'ai';
import { APPROVAL_EXPIRED } from '../tool/approval.ts';

type AssistantPart = Exclude<AssistantModelMessage['content'], string>[number];
type ToolPart = ToolModelMessage['content'][number];
export type ToolCall = Extract<AssistantPart, { type: 'tool-call' }>;
export type ToolResult = Extract<ToolPart, { type: 'tool-result' }>;
type ApprovalResponse = Extract<ToolPart, { type: 'tool-approval-response' }>;

const INTERRUPTED =
  'This tool call was interrupted before its result was recorded. It may or may not have taken effect.';
const UNSTARTED = 'This tool call was approved, but it was not executed: the conversation was stopped before.';
const UNDECIDED = 'This tool call was not executed: nobody approved it before the conversation went on.';

/** The same conversation, valid for OpenAI's and Anthropic's rules (V1 to V6). Messages are not mutated. */
export function validHistory(messages: readonly ModelMessage[]): ModelMessage[] {
  const answers = new Answers(messages);
  const valid: ModelMessage[] = [];
  for (const [index, message] of messages.entries()) {
    if (message.role === 'assistant') valid.push(...validExchange(message, index, answers));
    else if (message.role === 'user') valid.push(...validUser(message));
    else if (message.role === 'system') valid.push(message);
  }
  return trimEnd(valid);
}

/** The result that stands for a call without one. */
export function interruptedResult(call: { toolCallId: string; toolName: string }): ToolResult {
  return answer(call, { type: 'error-text', value: INTERRUPTED });
}

/** The result that stands for a call that was approved and did not run. */
export function unstartedResult(call: { toolCallId: string; toolName: string }): ToolResult {
  return answer(call, { type: 'execution-denied', reason: UNSTARTED });
}

/** The result that stands for a call that nobody decided about in time. */
export function expiredResult(call: {
  toolCallId: string;
  toolName: string;
}): ToolResult & { output: { type: 'error-text'; value: string } } {
  const { toolCallId, toolName } = call;
  return { type: 'tool-result', toolCallId, toolName, output: { type: 'error-text', value: APPROVAL_EXPIRED } };
}

function validExchange(message: AssistantModelMessage, index: number, answers: Answers): ModelMessage[] {
  const parts: AssistantPart[] =
    typeof message.content === 'string' ? [{ type: 'text', text: message.content }] : message.content;
  const kept = withoutLoneReasoning(parts.filter((part) => isKept(part, { parts, index, answers })));
  if (kept.length === 0) return [];
  const exchange: ModelMessage[] = [typeof message.content === 'string' ? message : { ...message, content: kept }];
  const content = answersOf(kept, { index, answers });
  if (content.length > 0) exchange.push({ role: 'tool', content });
  return answers.withFreshIds(exchange);
}

interface Place {
  parts: readonly AssistantPart[];
  index: number;
  answers: Answers;
}

function isKept(part: AssistantPart, place: Place): boolean {
  const { parts, index, answers } = place;
  switch (part.type) {
    case 'text':
      return !isBlank(part.text); // V4
    case 'tool-call':
      if (firstCall(parts, { toolCallId: part.toolCallId, byProvider: isByProvider(part) }) !== part) return false;
      return !isByProvider(part) || answers.ofProvider(part.toolCallId, index); // V2
    case 'tool-result':
      return answers.providerCalled(part.toolCallId, index);
    case 'tool-approval-request':
      // Decided requests of local tools have done their work: the result says the rest.
      return (
        firstCall(parts, { toolCallId: part.toolCallId, byProvider: true }) !== undefined &&
        answers.response(part.approvalId) !== undefined
      );
    default:
      return true;
  }
}

/** V3. Reasoning at the end of a message has lost what it led to. */
function withoutLoneReasoning(parts: readonly AssistantPart[]): AssistantPart[] {
  const last = parts.findLastIndex((part) => part.type !== 'reasoning' && part.type !== 'reasoning-file');
  return parts.slice(0, last + 1);
}

/** V1: what the tool message after these parts holds, in the order of the calls. */
function answersOf(
  parts: readonly AssistantPart[],
  { index, answers }: { index: number; answers: Answers },
): ToolPart[] {
  return parts.flatMap((part): ToolPart[] => {
    if (part.type === 'tool-call' && part.providerExecuted !== true) {
      return [answers.take(part.toolCallId, index) ?? answers.madeUp(part)];
    }
    if (part.type !== 'tool-approval-request') return [];
    const response = answers.response(part.approvalId);
    return response === undefined ? [] : [response];
  });
}

/** An id may name one local call and one of the provider's. */
function firstCall(
  parts: readonly AssistantPart[],
  like: { toolCallId: string; byProvider: boolean },
): ToolCall | undefined {
  return parts.find(
    (part): part is ToolCall =>
      part.type === 'tool-call' && part.toolCallId === like.toolCallId && isByProvider(part) === like.byProvider,
  );
}

function isByProvider(call: ToolCall): boolean {
  return call.providerExecuted === true;
}

function validUser(message: UserModelMessage): UserModelMessage[] {
  if (typeof message.content === 'string') return isBlank(message.content) ? [] : [message];
  const content = message.content.filter((part) => part.type !== 'text' || !isBlank(part.text));
  return content.length === 0 ? [] : [{ ...message, content }];
}

function isBlank(text: string): boolean {
  return text.trim() === '';
}

function trimEnd(messages: ModelMessage[]): ModelMessage[] {
  const last = messages.at(-1);
  if (last?.role !== 'assistant') return messages;
  return [...messages.slice(0, -1), trimmed(last)];
}

function trimmed(message: AssistantModelMessage): AssistantModelMessage {
  if (typeof message.content === 'string') return { ...message, content: message.content.trimEnd() };
  const content = message.content.map((part, index, parts) =>
    index === parts.length - 1 && part.type === 'text' ? { ...part, text: part.text.trimEnd() } : part,
  );
  return { ...message, content };
}

/** Results, responses and calls of a conversation, by id and place. Ids may repeat in later turns. */
class Answers {
  readonly #results = new Map<string, Array<{ index: number; part: ToolResult; taken: boolean }>>();
  readonly #responses = new Map<string, ApprovalResponse>();
  /** Where calls, and results of calls that the provider executed, stand in assistant messages. */
  readonly #calls = new Map<string, number[]>();
  readonly #providerCalls = new Map<string, number[]>();
  readonly #inline = new Map<string, number[]>();
  readonly #used = new Set<string>();
  readonly #requests = new Map<string, { approvalId: string; index: number }[]>();

  constructor(messages: readonly ModelMessage[]) {
    for (const [index, message] of messages.entries()) {
      if (message.role === 'tool') for (const part of message.content) this.#addToolPart(part, index);
      else if (message.role === 'assistant' && typeof message.content !== 'string') {
        for (const part of message.content) this.#addAssistantPart(part, index);
      }
    }
  }

  /** The result for a call at `index`, each given once. A later call of the same id claims what comes after it. */
  take(toolCallId: string, index: number): ToolResult | undefined {
    const until = this.#calls.get(toolCallId)?.find((place) => place > index) ?? Number.POSITIVE_INFINITY;
    const found = this.#results
      .get(toolCallId)
      ?.find((result) => !result.taken && result.index > index && result.index < until);
    if (found === undefined) return undefined;
    found.taken = true;
    return found.part;
  }

  madeUp(call: ToolCall): ToolResult {
    const request = this.#requests.get(call.toolCallId)?.at(-1);
    const response = request === undefined ? undefined : this.#responses.get(request.approvalId);
    if (request === undefined || response?.approved === true) return interruptedResult(call);
    const reason = response === undefined ? UNDECIDED : response.reason;
    return answer(call, { type: 'execution-denied', ...(reason === undefined ? {} : { reason }) });
  }

  response(approvalId: string): ApprovalResponse | undefined {
    return this.#responses.get(approvalId);
  }

  ofProvider(toolCallId: string, index: number): boolean {
    if ((this.#inline.get(toolCallId) ?? []).some((place) => place >= index)) return true;
    return (this.#requests.get(toolCallId) ?? []).some(
      (request) => request.index === index && this.#responses.has(request.approvalId),
    );
  }

  /** Results in assistant messages are the provider's. */
  providerCalled(toolCallId: string, index: number): boolean {
    return (this.#providerCalls.get(toolCallId) ?? []).some((place) => place <= index);
  }

  /** V5. Calls that the provider executed keep their ids: the provider knows them. */
  withFreshIds(exchange: ModelMessage[]): ModelMessage[] {
    const fresh = new Map<string, string>();
    for (const message of exchange) {
      if (message.role !== 'assistant' || typeof message.content === 'string') continue;
      for (const part of message.content) {
        if (part.type !== 'tool-call' || part.providerExecuted === true) continue;
        const id = this.#freshId(part.toolCallId);
        if (id !== part.toolCallId) fresh.set(part.toolCallId, id);
      }
    }
    return fresh.size === 0 ? exchange : exchange.map((message) => renamed(message, fresh));
  }

  #freshId(id: string): string {
    let unique = id;
    for (let n = 2; this.#used.has(unique); n += 1) unique = `${id}_${n}`;
    this.#used.add(unique);
    return unique;
  }

  #addToolPart(part: ToolPart, index: number): void {
    if (part.type === 'tool-result') append(this.#results, part.toolCallId, { index, part, taken: false });
    else if (!this.#responses.has(part.approvalId)) this.#responses.set(part.approvalId, part);
  }

  #addAssistantPart(part: AssistantPart, index: number): void {
    if (part.type === 'tool-call') {
      append(part.providerExecuted === true ? this.#providerCalls : this.#calls, part.toolCallId, index);
    } else if (part.type === 'tool-result') append(this.#inline, part.toolCallId, index);
    else if (part.type === 'tool-approval-request') {
      append(this.#requests, part.toolCallId, { approvalId: part.approvalId, index });
    }
  }
}

function renamed(message: ModelMessage, fresh: ReadonlyMap<string, string>): ModelMessage {
  const rename = <PART extends { toolCallId: string }>(part: PART): PART => ({
    ...part,
    toolCallId: fresh.get(part.toolCallId) ?? part.toolCallId,
  });
  if (message.role === 'tool') {
    return { ...message, content: message.content.map((part) => (part.type === 'tool-result' ? rename(part) : part)) };
  }
  if (message.role !== 'assistant' || typeof message.content === 'string') return message;
  const isLocal = (part: AssistantPart): part is ToolCall =>
    part.type === 'tool-call' && part.providerExecuted !== true;
  return { ...message, content: message.content.map((part) => (isLocal(part) ? rename(part) : part)) };
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function answer(call: { toolCallId: string; toolName: string }, output: ToolResult['output']): ToolResult {
  return { type: 'tool-result', toolCallId: call.toolCallId, toolName: call.toolName, output };
}
