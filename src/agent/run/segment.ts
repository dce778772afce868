/**
 * One segment of an agent's run: the SDK's loop from its prompt until it ends or needs an answer from outside, with every
 * failure in between.
 *
 *  G1 A segment is entered as often as it takes; recorded turns and tools answer from the journal, so nothing is paid for twice.
 *  G2 The backoff after a failed turn is a timer of the run. After a crash what is left of it is not waited for.
 *  G3 If the journal does not fit the code any more, what was recorded becomes messages and the segment ends there: an agent does
 *     not park on divergence.
 */

import type { LanguageModel, ModelMessage, StreamTextResult, ToolSet } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { DurableError, reasonOf } from '../../runtime/errors.ts';
import { createUiWriter } from '../../streams/ui-writer.ts';
import type { UiWriter } from '../../streams/ui-writer.ts';
import { DEFAULT_STREAM } from '../../streams/wire.ts';
import { startAgentCall } from '../call/agent-call.ts';
import type { AgentCall, AgentCallFailure, AgentCallOptions, CallableAgent } from '../call/agent-call.ts';
import {
  currentChoice,
  delayMs,
  delayName,
  isRetryableFailure,
  nextChoice,
  retryAfterMs,
  TURN_RETRIES,
} from '../turn/model-choice.ts';
import type { DurableSettings } from '../durable-settings.ts';
import type { Steering } from './steering.ts';
import { toUiChunks } from './ui-chunks.ts';

export type SegmentResult = StreamTextResult<ToolSet, never, never>;

/** What an agent's run needs of its agent. */
export interface RunnableAgent extends CallableAgent {
  readonly tools: ToolSet;
  readonly durable: DurableSettings;
  /** It has an `output` specification. */
  readonly hasOutput: boolean;
  readonly model: LanguageModel;
}

export interface SegmentOptions {
  agent: RunnableAgent;
  /** The segment's number. */
  number: number;
  messages: ModelMessage[];
  steering: Steering;
  call: Pick<
    AgentCallOptions,
    'callOptions' | 'edits' | 'outputs' | 'ask' | 'onPrepared' | 'remembers' | 'budget' | 'senders'
  >;
  writer: UiWriter;
  /** Who started the run, if that is known. */
  requestedBy: string | undefined;
  /** The stream's tail when the segment began. */
  tail: number;
  messageId: string;
}

/** A call whose stream was consumed. */
export type EndedCall = Pick<AgentCall, 'result' | 'end'>;

/** `diverged`: the segment could not be replayed and stands as far as it was recorded. */
export type SegmentEnd = { kind: 'ended'; result: EndedCall } | { kind: 'diverged'; error: DurableError };

export function segmentPath(number: number): string {
  return `agent#${number}`;
}

export function segmentPrefix(number: number): string {
  return `${segmentPath(number)}/`;
}

/** Rejects with what fails the run: `model_failed`, a FatalError of a tool, `cancelled`. */
export async function runSegment(context: RunContext, options: SegmentOptions): Promise<SegmentEnd> {
  const prefix = segmentPrefix(options.number);
  const writers = [options.writer];
  try {
    return {
      kind: 'ended',
      result: await context.guard(prefix, () => enterUntilDone(context, { ...options, writers })),
    };
  } catch (error) {
    if (!DurableError.is(error, 'divergence')) throw error;
    // The loop that was left behind may still end its tools and write of it.
    for (const writer of writers) writer.stop();
    context.logger.warn(
      { code: error.code, segment: options.number, err: error },
      'a segment does not replay; what was recorded goes on as messages',
    );
    return { kind: 'diverged', error };
  }
}

async function enterUntilDone(
  context: RunContext,
  options: SegmentOptions & { writers: UiWriter[] },
): Promise<EndedCall> {
  const models = [undefined, ...(options.agent.durable.fallbackModels ?? [])];
  let { writer } = options;
  askForPastDelays(context, options.number);
  for (;;) {
    const choice = currentChoice(context.journal(segmentPrefix(options.number)));
    const { call, failure } = await enter(context, { ...options, writer, model: models[choice.model] });
    if (failure === undefined) return call;
    await delayAfter(context, options, failure);
    writer = await createUiWriter(context, { stream: DEFAULT_STREAM, from: options.tail });
    options.writers.push(writer);
  }
}

interface Entry {
  call: EndedCall;
  failure: AgentCallFailure | undefined;
}

/** The whole of an entry is one agent scope: while the model or a tool works, the run does not rest. */
function enter(context: RunContext, options: SegmentOptions & { model: LanguageModel | undefined }): Promise<Entry> {
  const { number, requestedBy } = options;
  const scope = { path: segmentPath(number), kind: 'agent' as const };
  return context.within({ ...scope, ...(requestedBy === undefined ? {} : { requestedBy }) }, () =>
    callAgent(context, options),
  );
}

async function callAgent(
  context: RunContext,
  options: SegmentOptions & { model: LanguageModel | undefined },
): Promise<Entry> {
  const { agent, steering, model, number } = options;
  const call = await startAgentCall(agent, context, {
    ...options.call,
    path: segmentPath(number),
    messages: options.messages,
    signal: context.signal,
    intake: () => steering.offer(),
    onTurn: (turn) => steering.committed(turn),
    ...(model === undefined ? {} : { model }),
  });
  const thrown = await pipeToStream(call.result, options);
  const failure = call.failure();
  if (context.signal.aborted) throw context.signal.reason;
  if (failure === undefined && thrown !== undefined) throw thrown.error;
  if (failure !== undefined && failure.kind !== 'turn') throw failure.error;
  return { call, failure };
}

/** Answers the error that ended the stream, if one did. */
async function pipeToStream(result: SegmentResult, options: SegmentOptions): Promise<{ error: unknown } | undefined> {
  let thrown: { error: unknown } | undefined;
  const chunks = toUiChunks(result, {
    ui: options.agent.durable.ui,
    messageId: options.messageId,
    isFirst: options.number === 0,
    onError: (error) => {
      thrown ??= { error };
      return reasonOf(error);
    },
  });
  try {
    const end = await options.writer.pipe(chunks);
    return end.kind === 'finished' ? undefined : (thrown ?? { error: endError(end.kind) });
  } catch (error) {
    return { error };
  }
}

/** Waits until the failed turn may be tried again. Throws `model_failed` when all retries of all models are spent. */
async function delayAfter(
  context: RunContext,
  { agent, number }: SegmentOptions,
  failure: AgentCallFailure,
): Promise<void> {
  const prefix = segmentPrefix(number);
  const next = nextChoice(currentChoice(context.journal(prefix)), {
    models: 1 + (agent.durable.fallbackModels?.length ?? 0),
    retries: agent.durable.turnRetries ?? TURN_RETRIES,
    retryable: isRetryableFailure(failure.error),
  });
  if (next === undefined) throw modelFailed(failure);
  const key = `${prefix}${delayName(next)}`;
  const delay = delayMs(next, {
    retryAfterMs: retryAfterMs(failure.error, context.now()),
    random: jitter(context, key),
  });
  context.logger.warn(
    {
      code: 'model_failed',
      turn: failure.key,
      attempt: failure.attempt,
      model: next.model,
      retryInMs: delay,
      err: failure.error,
    },
    next.failures === 0 ? 'a turn failed; the next model takes over' : 'a turn failed and is tried again',
  );
  // crash here: the failure is recorded, its timer is not; the same model is asked again at once
  await context.sleep(key, delay);
}

/** G2. Timers that fired are completions that replay has to ask for; they fell due between turns, so nobody awaits them again. */
function askForPastDelays(context: RunContext, number: number): void {
  for (const { type, key } of context.journal(`${segmentPrefix(number)}retry:`)) {
    // A cancel rejects the wait; the call itself sees it by the run's signal.
    if (type === 'timer_fired') context.sleep(key, 0).catch(() => undefined);
  }
}

function modelFailed(failure: AgentCallFailure): DurableError {
  return new DurableError(
    'model_failed',
    `The model gave no answer for the turn "${failure.key}" in ${failure.attempt} ${failure.attempt === 1 ? 'attempt' : 'attempts'}: ` +
      `${reasonOf(failure.error)}. Check the provider's key, limits and status, or set durable.fallbackModels.`,
    { cause: failure.error, details: { turn: failure.key, attempts: failure.attempt } },
  );
}

function endError(kind: 'aborted' | 'failed'): DurableError {
  const what =
    kind === 'aborted'
      ? 'it was aborted, by a timeout of the agent or by its own signal'
      : 'its stream ended with an error';
  return new DurableError(
    'model_failed',
    `The agent's loop did not end: ${what}. Start the run again, with a longer timeout if it has one.`,
  );
}

/** In [0, 1), from the key: `context.random` would give user code other values where a replay skips the delay. */
function jitter(context: RunContext, key: string): number {
  return Number.parseInt(context.sign(`${context.run.id}/${key}`).slice(0, 8), 16) / 2 ** 32;
}
