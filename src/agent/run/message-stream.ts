/** The stream of an agent's message as the run itself reads it, and how it ends. */

import { isToolUIPart } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { DurableError } from '../../runtime/errors.ts';
import { foldMessage, foldPartial } from '../../streams/fold.ts';
import { createRecoveryFilter, recoveryPlan } from '../../streams/recovery.ts';
import { readStoredChunks } from '../../streams/stored-chunks.ts';
import type { StoredChunks } from '../../streams/stored-chunks.ts';
import { APPROVAL_PART, DEFAULT_STREAM, QUESTION_PART } from '../../streams/wire.ts';
import type { ApprovalRequestData, QuestionData } from '../../streams/wire.ts';

const INTERRUPTED = 'This tool call was interrupted.';
const UNSTARTED = 'This tool call was approved, but not executed.';

export interface FoldedStream {
  /** The message with what the stream adds to it. */
  message: UIMessage;
  /** Offset after the stream's last chunk. */
  tail: number;
}

/** Everything that this run has written since `from`, once it is committed. */
export async function foldStream(
  context: RunContext,
  start: { from: number; message: UIMessage },
): Promise<FoldedStream> {
  const { stored } = await readMessageStream(context, start.from);
  return { message: await foldOnto(start.message, stored), tail: start.from + stored.length };
}

/** What the stream of messages has from an offset on. */
export function readMessageStream(context: RunContext, from: number): Promise<StoredChunks> {
  return readStoredChunks(context, { stream: DEFAULT_STREAM, from });
}

async function foldOnto(message: UIMessage, chunks: UIMessageChunk[]): Promise<UIMessage> {
  return (await foldMessage(chunks, { message })) ?? message;
}

export interface EndOptions {
  /** The segment's start. */
  from: number;
  message: UIMessage;
  /** Turns of the segment that are recorded. */
  turns: number;
  status: 'failed' | 'cancelled';
  error: unknown;
  /** Nothing that was approved has begun to run. */
  unstarted: boolean;
}

export interface MessageEnd {
  /** The text that a stopped user saw and no recorded turn has. */
  partial: string;
  /** What goes with the run's end: it is written by the same commit. */
  chunks: UIMessageChunk[];
  /** The message and the stream with it. */
  folded: FoldedStream;
}

/**
 * How the message of a run that was stopped or failed ends: open tool calls, questions and requests for approvals are closed, then `abort` or `error`, then `finish`. What a
 * stopped user saw stays, a failed turn's text is taken back. Nothing is written here.
 */
export async function messageEnd(context: RunContext, options: EndOptions): Promise<MessageEnd> {
  const { from, message, turns, status } = options;
  const { stored, before } = await readMessageStream(context, from);
  const plan = recoveryPlan(stored, before);
  const filter = createRecoveryFilter(plan);
  const reset = status === 'cancelled' ? [] : filter.reset();
  const partial = status === 'cancelled' && plan.openStep && turns <= plan.completedSteps ? foldPartial(stored) : '';
  const shown = await foldOnto(message, [...stored, ...reset]);
  const ending: UIMessageChunk[] = [
    ...closingChunks(shown, options.unstarted),
    ...closedRequests(shown),
    status === 'cancelled' ? await abortChunk(context) : { type: 'error', errorText: publicText(options.error) },
    { type: 'finish' },
  ];
  const chunks = [...reset, ...ending.flatMap((chunk) => filter.next(chunk))];
  const all = [...stored, ...chunks];
  return { partial, chunks, folded: { message: await foldOnto(message, all), tail: from + all.length } };
}

/** The reason tells a client that no person stopped the answer for good: the thread's next message takes over. */
async function abortChunk(context: RunContext): Promise<UIMessageChunk> {
  return (await context.isFollowed()) ? { type: 'abort', reason: 'interrupted' } : { type: 'abort' };
}

function closingChunks(message: UIMessage, unstarted: boolean): UIMessageChunk[] {
  return message.parts.filter(isToolUIPart).flatMap((part): UIMessageChunk[] => {
    const { toolCallId } = part;
    switch (part.state) {
      case 'approval-requested':
        return [{ type: 'tool-output-denied', toolCallId }];
      case 'approval-responded':
        if (!part.approval.approved) return [{ type: 'tool-output-denied', toolCallId }];
        return [{ type: 'tool-output-error', toolCallId, errorText: unstarted ? UNSTARTED : INTERRUPTED }];
      case 'input-streaming':
      case 'input-available':
        return [{ type: 'tool-output-error', toolCallId, errorText: INTERRUPTED }];
      default:
        return [];
    }
  });
}

/** Nobody can answer them any more. */
function closedRequests({ parts }: UIMessage): UIMessageChunk[] {
  return parts.flatMap((part): UIMessageChunk[] => {
    if (part.type !== QUESTION_PART && part.type !== APPROVAL_PART) return [];
    if (!('id' in part) || part.id === undefined) return [];
    const { id, type } = part;
    const data = part.data as QuestionData | ApprovalRequestData;
    return data.status === 'pending' ? [{ type, id, data: { ...data, status: 'closed' } }] : [];
  });
}

/** What a browser is told: details of providers and tools stay on the server, in the run's error. */
function publicText(error: unknown): string {
  return DurableError.is(error, 'model_failed') ? 'The model did not answer.' : 'The answer could not be completed.';
}
