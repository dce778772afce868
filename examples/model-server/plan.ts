/** Decides a whole response before its first byte: random token, ids, pieces, where the token limit cuts. */
import { createHash, randomBytes } from 'node:crypto';
import type { History } from './conversation.ts';
import type { Reply } from './scenarios.ts';
import type { PlannedResponse, Wire } from './wire.ts';

/** What a response is made of besides the reply. */
export interface PlanOptions {
  wire: Wire;
  history: History;
  model: string;
  plain: boolean;
  /** At most this many pieces; the rest is lost and the response incomplete. */
  limit: number | undefined;
}

export function planResponse(reply: Reply, options: PlanOptions): PlannedResponse {
  const { wire, history, model, plain, limit = Infinity } = options;
  const token = newToken();
  const text =
    reply.text === undefined ? [] : toWords(history.wantsJson || plain ? reply.text : markText(reply.text, token));
  const toolCalls = (reply.toolCalls ?? []).map((call, index) => ({
    callId: call.id ?? `${wire.callPrefix}${token}_${index}`,
    name: call.name,
    arguments: toChunks(JSON.stringify(call.arguments)),
  }));
  const size = text.length + toolCalls.reduce((sum, call) => sum + call.arguments.length, 0);
  const incomplete = size > limit;
  return {
    token,
    model,
    createdAt: Math.floor(Date.now() / 1000),
    reasoning: reply.reasoning,
    text: text.slice(0, limit),
    toolCalls: incomplete ? [] : toolCalls,
    incomplete,
    inputTokens: Math.ceil(JSON.stringify(history.messages).length / 4),
  };
}

/** Puts the token before the first word, in the middle and after the last word. */
export function markText(text: string, token: string): string {
  const words = toWords(text);
  const middle = Math.ceil(words.length / 2);
  const halves = [words.slice(0, middle), words.slice(middle)].map((half) => half.join('').trim());
  return [token, halves[0], token, halves[1], token].filter(Boolean).join(' ');
}

/** The text as the scenario wrote it. */
export function unmarkText(text: string): string {
  return text.replaceAll(/ ?tk_[0-9a-f]{8}( ?)/g, '$1').trim();
}

/** Equal histories have equal hashes. */
export function hashHistory({ instructions, messages }: History): string {
  return createHash('sha256')
    .update(JSON.stringify([instructions, messages]))
    .digest('hex')
    .slice(0, 16);
}

function newToken(): string {
  return `tk_${randomBytes(4).toString('hex')}`;
}

// A word keeps the space behind it, as the pieces of real models keep theirs.
function toWords(text: string): string[] {
  return text.match(/\s*\S+\s*/g) ?? [];
}

function toChunks(text: string): string[] {
  return text.match(/[\s\S]{1,8}/g) ?? [];
}
