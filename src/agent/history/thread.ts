/** A conversation as the runs of its thread left it: messages for the model, and messages for people. */

import type { FilePart, FileUIPart, ModelMessage, TextUIPart, UIMessage } from 'ai';
import { decodeValue } from '../../runtime/codec.ts';
import { DurableError } from '../../runtime/errors.ts';
import type { Run } from '../../runtime/store.ts';
import type { StoredInput } from '../agent-input.ts';
import { answersForThread } from '../budget-answer.ts';
import type { BudgetAnswer } from '../budget-answer.ts';
import type { AgentResult } from '../run/agent-state.ts';
import { validHistory } from './valid-history.ts';

type ShownPart = TextUIPart | FileUIPart;

/** A run of a thread with what it was started with and what it answered; a value that cannot be read is an error in its place. */
export interface ThreadRun {
  id: string;
  input: unknown;
  result: unknown;
}

/** What ended runs of a thread, oldest first, leave for those after them. */
export interface EarlierRuns {
  /** Valid for every provider. */
  messages: ModelMessage[];
  /** Digests of calls that were approved for the whole thread. */
  remembered: string[];
  /** Raises of the thread's own budget. */
  answers: BudgetAnswer[];
}

/** Throws `value_corrupt`, which names the run. */
export function readEarlierRuns(rows: readonly Run[]): EarlierRuns {
  const runs = rows.map(decodeThreadRun);
  const results = runs.map(readResult);
  return {
    messages: threadMessages(runs),
    remembered: results.flatMap((result) => result?.remembered ?? []),
    answers: results.flatMap((result) => answersForThread(result?.budget?.answers ?? [])),
  };
}

function decodeThreadRun({ id, input, result }: Run): ThreadRun {
  try {
    return { id, input: decodeValue(input), result: result === null ? undefined : decodeValue(result) };
  } catch (cause) {
    if (!DurableError.is(cause, 'value_corrupt')) throw cause;
    throw new DurableError(
      'value_corrupt',
      `Cannot read the run "${id}" of the thread: what it was given, or has answered, is not what was written. Restore the store from a backup.`,
      { cause },
    );
  }
}

/** The model messages of ended runs, oldest first, valid for every provider. Runs without a result add what started them. */
export function threadMessages(runs: readonly ThreadRun[]): ModelMessage[] {
  return validHistory(runs.flatMap((run) => [...readInput(run).messages, ...(readResult(run)?.messages ?? [])]));
}

/** The UI messages of one run: what started it, and the agent's answer if it has one. */
export function runUiMessages(run: ThreadRun, answer: UIMessage | null): UIMessage[] {
  const shown = answer ?? readResult(run)?.uiMessage ?? null;
  return [...inputUiMessages(run), ...(shown === null || shown.parts.length === 0 ? [] : [shown])];
}

/** Throws `value_corrupt`. */
export function readInput({ input }: ThreadRun): StoredInput {
  return (readable(input) ?? {}) as StoredInput;
}

/** Null for runs that have none: they did not end, or were terminated. */
function readResult({ result }: ThreadRun): AgentResult | null {
  return (readable(result) ?? null) as AgentResult | null;
}

function readable(value: unknown): unknown {
  if (DurableError.is(value, 'value_corrupt')) throw value;
  return value;
}

/** What started a run, as people see it. Empty for runs of plain workflows. */
export function inputUiMessages(run: ThreadRun): UIMessage[] {
  const { messages, uiMessage } = readInput(run);
  if (uiMessage !== undefined) return [uiMessage];
  if (!Array.isArray(messages)) return [];
  return messages.flatMap((message, index) => {
    if (message.role !== 'user' && message.role !== 'assistant') return [];
    const parts = toParts(message.content);
    return parts.length === 0 ? [] : [{ id: `${message.role}_${run.id}_${index}`, role: message.role, parts }];
  });
}

/** Text and files as people see them; what else a hand-made message holds has no place in a UI message. */
export function toParts(content: Extract<ModelMessage, { role: 'user' | 'assistant' }>['content']): ShownPart[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return content.flatMap((part): ShownPart[] => {
    if (part.type === 'text') return [{ type: 'text', text: part.text }];
    const url = part.type === 'file' ? toUrl(part.data, part.mediaType) : undefined;
    return part.type === 'file' && url !== undefined ? [{ type: 'file', mediaType: part.mediaType, url }] : [];
  });
}

function toUrl(data: FilePart['data'], mediaType: string): string | undefined {
  if (data instanceof URL) return data.href;
  if (typeof data === 'string') return /^(https?|data):/.test(data) ? data : `data:${mediaType};base64,${data}`;
  return 'type' in data && data.type === 'url' ? data.url.href : undefined;
}
