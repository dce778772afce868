/**
 * User code's end of a stream.
 *
 *  W1 Written by a workflow's own code: once. Chunk and a `chunk_written` fact are one commit; on replay a writer skips as
 *     many writes as it has facts. So a workflow must write the same sequence again, as it must call the same steps.
 *  W2 Written inside a step or a tool: at least once per attempt. In an agent's stream the `reset-step` of a repeated turn takes
 *     it back; elsewhere give data parts ids, so that a later one replaces the earlier.
 *  W3 What a step wrote is committed with its completion or before.
 */

import { currentFrame, requireContext } from '../runtime/context.ts';
import type { Frame, RunContext, Scope } from '../runtime/context.ts';
import { DurableError } from '../runtime/errors.ts';
import { assertJson, encodeChunk } from '../runtime/chunk.ts';
import { DEFAULT_STREAM } from './wire.ts';

export interface WritableOptions {
  /** The stream's name in this run. Default: the run's main stream, the one an agent answers on. */
  namespace?: string;
}

/**
 * A stream of this run to write to, from a workflow, a step or a tool: JSON values or `Uint8Array`s, one chunk each. A write is
 * accepted at once and waits only while the run's buffer is full; it is stored within milliseconds and readers see it
 * then. Several writables of one stream may be open. Closing one closes the stream for all; it also closes with the run. The main
 * stream of an agent goes on when a tool closes its writable.
 * Inside a step or tool a write happens once per attempt, in a workflow's own code once. Each write there is an event of
 * the journal: for an agent's answer use `writeUIMessageStream`, for other tokens write from a step.
 * Writes reject with `value_not_serializable`, `value_too_large` and `stream_closed`. Throws `outside_run` and
 * `invalid_argument`.
 */
export function getWritable<T = unknown>(options: WritableOptions = {}): WritableStream<T> {
  const stream = options.namespace ?? DEFAULT_STREAM;
  if (stream === '') {
    throw new DurableError(
      'invalid_argument',
      'Cannot open a stream with an empty namespace. Give it a name, or leave `namespace` out.',
    );
  }
  const { context, scope } = frameOf();
  return new WritableStream<T>(
    isWorkflowCode(scope)
      ? onceSink(context, stream)
      : directSink(context, { stream, isOwn: !isAnswer(scope, stream) }),
  );
}

function frameOf(): Frame {
  const frame = currentFrame.getStore();
  if (frame !== undefined) return frame;
  const context = requireContext('getWritable()');
  return { context, scope: context.scope() };
}

function isWorkflowCode(scope: Scope): boolean {
  return (
    scope.kind === 'workflow' || (scope.kind === 'shield' && (scope.parent === null || isWorkflowCode(scope.parent)))
  );
}

/** The stream that the agent answers on, which goes on after its tools. */
function isAnswer(scope: Scope | null, stream: string): boolean {
  if (scope === null || stream !== DEFAULT_STREAM) return false;
  return scope.kind === 'agent' || isAnswer(scope.parent, stream);
}

function directSink<T>(context: RunContext, { stream, isOwn }: { stream: string; isOwn: boolean }): UnderlyingSink<T> {
  return {
    write: (value) => emit(context, { stream, value }),
    close: () => (isOwn ? context.closeStream(stream) : undefined),
  };
}

/** W1 */
function onceSink<T>(context: RunContext, stream: string): UnderlyingSink<T> {
  const key = context.nextKey(`writable:${stream}`);
  let stored = context.facts(key).length;
  return {
    write(value, controller) {
      if (stored > 0) {
        stored -= 1;
        return undefined;
      }
      const full = emit(context, { stream, value });
      // Not awaited: when it resolves must not depend on the store, or a replay could go another way.
      context
        .append({ facts: [{ type: 'chunk_written', key, at: context.now() }] })
        .catch((error: unknown) => controller.error(error));
      return full;
    },
    close: () => context.closeStream(stream),
  };
}

function emit(context: RunContext, chunk: { stream: string; value: unknown }): Promise<void> | undefined {
  if (!(chunk.value instanceof Uint8Array)) assertJson(chunk.value);
  return context.emit(chunk.stream, [encodeChunk(chunk.value)]);
}
