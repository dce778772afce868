/**
 * An agent's answer on a stream of the workflow that called it.
 *
 *  M1 Where the answer begins in the stream is recorded before its first chunk; over crashes and replays the recovery of
 *     `ui-writer.ts` goes on from there, so that no text is lost or shown twice.
 *  M2 Its end is recorded too: a replay of an answer that was written whole writes nothing.
 */

import type { UIMessageChunk, UIMessageStreamOptions, UIMessage } from 'ai';
import { requireContext } from '../runtime/context.ts';
import type { RunContext } from '../runtime/context.ts';
import { createUiWriter } from './ui-writer.ts';
import { DEFAULT_STREAM } from './wire.ts';
import { checkNamespace } from './writable.ts';

/** What `agent.stream()` answers. */
export interface StreamedAnswer {
  toUIMessageStream(options?: UIMessageStreamOptions<UIMessage>): ReadableStream<UIMessageChunk>;
}

export interface UIMessageStreamTarget extends Omit<
  UIMessageStreamOptions<UIMessage>,
  'generateMessageId' | 'originalMessages'
> {
  /** The stream's name in this run. Default: its main stream. */
  namespace?: string;
}

/**
 * Writes the answer of `agent.stream()` in a workflow or tool to a stream of the run, as `useChat` reads it; resolves when all is
 * stored. Survives crashes: text is neither lost nor shown twice. One answer at a time on one stream. A failed answer ends with
 * `error` and `finish` chunks; the error itself comes from the result's promises. Throws `outside_run`, `inside_step` and
 * `invalid_argument` (a name that code cannot write to).
 */
export async function writeUIMessageStream(answer: StreamedAnswer, target: UIMessageStreamTarget = {}): Promise<void> {
  const { namespace: stream = DEFAULT_STREAM, ...options } = target;
  checkNamespace(stream);
  const context = requireContext('writeUIMessageStream()');
  const key = context.nextKey(`ui:${stream}`);
  const chunks = answer.toUIMessageStream({
    ...options,
    originalMessages: [],
    generateMessageId: () => `msg_${context.sign(`message\n${context.run.id}\n${key}`).slice(0, 24)}`,
  });
  const [joined, left] = context.facts(key);
  if (left !== undefined) return drain(chunks); // M2
  const from = joined === undefined ? await join(context, { stream, key }) : Number(joined.meta?.['from']);
  const writer = await createUiWriter(context, { stream, from });
  const end = await writer.pipe(chunks);
  if (end.kind !== 'finished') {
    await writer.write(end.kind === 'failed' ? { type: 'error', errorText: end.errorText } : { type: 'abort' });
    await writer.write({ type: 'finish' });
  }
  // crash here: all chunks are stored, the replay finds them and writes nothing
  await context.append({ facts: [{ type: 'stream_joined', key, at: context.now(), meta: { done: true } }] });
}

/** M1 */
async function join(context: RunContext, { stream, key }: { stream: string; key: string }): Promise<number> {
  await context.flush();
  const { tail } = await context.readStream(stream, Number.MAX_SAFE_INTEGER);
  await context.append({ facts: [{ type: 'stream_joined', key, at: context.now(), meta: { from: tail } }] });
  return tail;
}

async function drain(chunks: ReadableStream<UIMessageChunk>): Promise<void> {
  for await (const _ of chunks);
}
