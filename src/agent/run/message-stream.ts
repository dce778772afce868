/** The stream of an agent's message as the run itself reads and ends it. */

import { isToolUIPart } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { DurableError } from '../../runtime/errors.ts';
import { decodeChunk } from '../../runtime/chunk.ts';
import { foldMessage, foldPartial } from '../../streams/fold.ts';
import { recoveryPlan } from '../../streams/recovery.ts';
import { createUiWriter } from '../../streams/ui-writer.ts';
import { DEFAULT_STREAM } from '../../streams/wire.ts';

const INTERRUPTED = 'This tool call was interrupted.';
const UNSTARTED = 'This tool call was approved, but not executed.';

export interface FoldedStream {
  chunks: UIMessageChunk[];
  /** The message with what the chunks add to it. */
  message: UIMessage;
  /** Offset after the chunks. */
  tail: number;
}

/** Everything that this run has written since `from`, once it is committed. */
export async function foldStream(
  context: RunContext,
  start: { from: number; message: UIMessage },
): Promise<FoldedStream> {
  const { chunks, tail } = await readSince(context, start.from);
  const message = (await foldMessage(chunks, { message: start.message })) ?? start.message;
  return { chunks, message, tail };
}

export async function readSince(context: RunContext, from: number): Promise<Pick<FoldedStream, 'chunks' | 'tail'>> {
  await context.flush();
  const chunks: UIMessageChunk[] = [];
  let tail = from;
  for (;;) {
    const page = await context.readStream(DEFAULT_STREAM, tail);
    for (const payload of page.chunks) chunks.push(decodeChunk(payload) as UIMessageChunk);
    tail += page.chunks.length;
    if (page.chunks.length === 0 || tail >= page.tail) break;
  }
  return { chunks, tail };
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

/**
 * Ends the message of a run that was stopped or failed: open tool calls are closed, then `abort` or `error`, then `finish`. What a
 * stopped user saw stays; its text, as far as no recorded turn has it, is answered. A failed turn's text is taken back.
 */
export async function endMessage(
  context: RunContext,
  options: EndOptions,
): Promise<{ partial: string; folded: FoldedStream }> {
  const { from, message, turns, status } = options;
  const writer = await createUiWriter(context, { stream: DEFAULT_STREAM, from });
  const { chunks, message: shown } = await foldStream(context, { from, message });
  const { openStep, completedSteps } = recoveryPlan(chunks);
  const partial = status === 'cancelled' && openStep && turns <= completedSteps ? foldPartial(chunks) : '';
  for (const chunk of closingChunks(shown, options.unstarted)) await writer.write(chunk);
  await writer.write(
    status === 'cancelled' ? { type: 'abort' } : { type: 'error', errorText: publicText(options.error) },
  );
  await writer.write({ type: 'finish' });
  return { partial, folded: await foldStream(context, { from, message }) };
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

/** What a browser is told: details of providers and tools stay on the server, in the run's error. */
function publicText(error: unknown): string {
  return DurableError.is(error, 'model_failed') ? 'The model did not answer.' : 'The answer could not be completed.';
}
