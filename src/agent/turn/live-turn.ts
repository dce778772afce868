/** A turn that a model answers now: parts pass on while they are recorded. */

import type { Attempt } from '../../runtime/context.ts';
import type { CallState, Turn } from '../call/call-state.ts';
import { PartPipe } from './part-pipe.ts';
import type { CallOptions, GenerateResult, ModelV4, StreamPart, StreamResult, Usage } from './provider-types.ts';
import { failedAttempts, ledgerRow, turnFailed, turnMeta } from './turn-facts.ts';
import type { FailedTurn, ModelAttempt } from './turn-facts.ts';
import { countToolCalls, recordGeneration, TurnRecorder } from './turn-record.ts';
import type { TurnRecord } from './turn-record.ts';
import type { SteeredMessage } from '../call/agent-call.ts';

interface Place {
  call: CallState;
  turn: Turn;
}

/** Resolves when the provider has opened the stream; rejects, after the failure was recorded, if it does not. */
export function liveStream(model: ModelV4, options: CallOptions, place: Place): Promise<StreamResult> {
  return new Promise((resolve, reject) => {
    const live = new LiveStream({ model, options, place, opened: resolve, refused: reject });
    live.start();
  });
}

interface LiveStreamOptions {
  model: ModelV4;
  options: CallOptions;
  place: Place;
  opened: (result: StreamResult) => void;
  refused: (error: unknown) => void;
}

class LiveStream {
  readonly #model: ModelV4;
  readonly #options: CallOptions;
  readonly #call: CallState;
  readonly #turn: Turn;
  readonly #opened: (result: StreamResult) => void;
  readonly #refused: (error: unknown) => void;
  readonly #attempt: ModelAttempt;
  readonly #recorder: TurnRecorder;
  readonly #left = new AbortController();
  readonly #pipe: PartPipe;
  #isOpen = false;
  /** What comes from `finish` or the first `error` on (M1, M2). */
  #held: StreamPart[] = [];

  constructor(options: LiveStreamOptions) {
    this.#model = options.model;
    this.#options = options.options;
    this.#call = options.place.call;
    this.#turn = options.place.turn;
    this.#opened = options.opened;
    this.#refused = options.refused;
    this.#attempt = modelAttempt(options.model, options.place);
    this.#recorder = new TurnRecorder(() => this.#call.context.now());
    this.#pipe = new PartPipe((reason) => this.#left.abort(reason));
  }

  start(): void {
    const { usage, finishReason } = {
      usage: () => this.#recorder.finish?.usage,
      finishReason: () => this.#recorder.finish?.finishReason.unified,
    };
    this.#call
      .perform<TurnRecord>({
        key: this.#turn.key,
        kind: 'turn',
        label: this.#model.modelId,
        body: (attempt) => this.#run(attempt),
        meta: () =>
          turnMeta(this.#attempt, {
            call: this.#options,
            digests: this.#call.digests,
            usage: usage(),
            finishReason: finishReason(),
          }),
        // crash here: its parts were shown and nothing is recorded; the turn is taken back and asked for again
        alongside: (record) => sealTurn(this.#call, this.#turn, { attempt: this.#attempt, usage: usage(), record }),
      })
      .then(
        (record) => this.#committed(record),
        (error: unknown) => this.#failed(error),
      );
  }

  async #run(attempt: Attempt): Promise<TurnRecord> {
    const signal = anySignal([attempt.signal, this.#left.signal, this.#options.abortSignal]);
    signal.throwIfAborted();
    const upstream = await orAbort(this.#model.doStream({ ...this.#options, abortSignal: signal }), signal);
    this.#isOpen = true;
    this.#opened({ ...upstream, stream: this.#pipe.readable });
    await this.#pump(upstream.stream, signal);
    signal.throwIfAborted();
    if (this.#recorder.failure !== undefined) throw this.#recorder.failure.error;
    if (this.#recorder.finish === undefined) throw new UnfinishedStream();
    return { parts: this.#recorder.parts, ...steered(this.#call, this.#turn) };
  }

  async #pump(stream: ReadableStream<StreamPart>, signal: AbortSignal): Promise<void> {
    const reader = stream.getReader();
    const state = { left: signal.aborted };
    const leave = (): void => {
      state.left = true;
      this.#pipe.release();
      reader
        .cancel(signal.reason)
        .catch((error: unknown) =>
          this.#call.context.logger.debug({ turn: this.#turn.key, err: error }, 'a provider stream did not close'),
        );
    };
    signal.addEventListener('abort', leave, { once: true });
    try {
      // Hot: each part of each response (bench `agent`). A composed signal is slow to ask.
      for (let read = await reader.read(); !read.done && !state.left; read = await reader.read()) {
        const full = this.#take(read.value);
        if (full !== undefined) await full;
      }
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #take(from: StreamPart): Promise<void> | undefined {
    const part = this.#call.partIds.rename(from, this.#turn.n);
    if (part.type === 'tool-call') this.#call.noteToolCall(this.#turn, part.toolCallId);
    const stamp = this.#recorder.stampBefore(part);
    if (stamp !== undefined) void this.#pass(stamp);
    return this.#pass(this.#recorder.add(part));
  }

  #pass(part: StreamPart): Promise<void> | undefined {
    if (part.type === 'finish' || part.type === 'error' || this.#held.length > 0) {
      this.#held.push(part);
      return undefined;
    }
    return this.#pipe.write(part);
  }

  #committed(record: TurnRecord): void {
    // crash here: the turn is recorded, and none of its tools has started (M1)
    this.#call.commitTurn(this.#turn, record);
    this.#pipe.end(this.#held);
  }

  async #failed(error: unknown): Promise<void> {
    const how = this.#howFailed(error);
    const parts = how !== 'refused' && this.#call.keepsFailures ? this.#recorder.parts : undefined;
    await recordFailure(this.#call, { attempt: this.#attempt, error, how, usage: this.#recorder.finish?.usage, parts });
    switch (how) {
      case 'refused':
        this.#refused(error);
        break;
      case 'error':
        this.#pipe.end(this.#held.flatMap((part) => (part.type === 'finish' ? failedFinish([part]) : [part])));
        break;
      case 'unfinished':
        this.#pipe.end([]);
        break;
      case 'broken':
        this.#pipe.fail(error);
        break;
    }
  }

  #howFailed(error: unknown): FailedTurn['how'] {
    if (!this.#isOpen) return 'refused';
    if (this.#recorder.failure !== undefined) return 'error';
    return error instanceof UnfinishedStream ? 'unfinished' : 'broken';
  }
}

/** The provider's answer, recorded, or its failure, recorded. */
export async function liveGeneration(
  model: ModelV4,
  options: CallOptions,
  { call, turn }: Place,
): Promise<GenerateResult> {
  const attempt = modelAttempt(model, { call, turn });
  let live: GenerateResult | undefined;
  try {
    const record = await call.perform<TurnRecord>({
      key: turn.key,
      kind: 'turn',
      label: model.modelId,
      body: async ({ signal }) => {
        const merged = anySignal([signal, options.abortSignal]);
        merged.throwIfAborted();
        live = await orAbort(model.doGenerate({ ...options, abortSignal: merged }), merged);
        for (const part of live.content) if (part.type === 'tool-call') call.noteToolCall(turn, part.toolCallId);
        const generated = recordGeneration(live, { now: call.context.now(), responseId: call.responseId(turn) });
        return { generated, ...steered(call, turn) };
      },
      meta: () =>
        turnMeta(attempt, {
          call: options,
          digests: call.digests,
          usage: live?.usage,
          finishReason: live?.finishReason.unified,
        }),
      alongside: (record) => sealTurn(call, turn, { attempt, usage: live?.usage, record }),
    });
    call.commitTurn(turn, record);
    return { ...(record.generated as GenerateResult), ...notKept(live, record) };
  } catch (error) {
    await recordFailure(call, { attempt, error, how: 'refused', usage: undefined, parts: undefined });
    throw error;
  }
}

/** What a live call knows and a record does not: request, headers, body. */
function notKept(live: GenerateResult | undefined, record: TurnRecord): Partial<GenerateResult> {
  const { headers, body } = live?.response ?? {};
  return {
    ...(live?.request === undefined ? {} : { request: live.request }),
    response: {
      ...record.generated?.response,
      ...(headers === undefined ? {} : { headers }),
      ...(body === undefined ? {} : { body }),
    },
  };
}

function modelAttempt(model: ModelV4, { call, turn }: Place): ModelAttempt {
  return {
    key: turn.key,
    attempt: failedAttempts(call.context, turn.key) + 1,
    provider: model.provider,
    model: model.modelId,
    price: call.spending.priceOf(model),
  };
}

function steered(call: CallState, turn: Turn): { steered?: SteeredMessage[] } {
  const messages = call.bindings.intake?.(turn.n) ?? [];
  return messages.length === 0 ? {} : { steered: messages };
}

function sealTurn(
  call: CallState,
  turn: Turn,
  { attempt, usage, record }: { attempt: ModelAttempt; usage: Usage | undefined; record: TurnRecord },
): ReturnType<typeof turnFailed> {
  turn.sealed = true;
  return {
    facts: turn.facts,
    ledger: [ledgerRow(call.context, attempt, { outcome: 'completed', usage, toolCalls: countToolCalls(record) })],
  };
}

interface Failure {
  attempt: ModelAttempt;
  error: unknown;
  how: FailedTurn['how'];
  usage: Usage | undefined;
  parts: StreamPart[] | undefined;
}

async function recordFailure(call: CallState, { attempt, error, how, usage, parts }: Failure): Promise<void> {
  const stopped = call.signal.aborted;
  call.fail({ kind: stopped ? 'stopped' : 'turn', key: attempt.key, attempt: attempt.attempt, error });
  const outcome = stopped || isAbort(error) ? 'aborted' : 'failed';
  if (!stopped) {
    const { key: step, provider, model } = attempt;
    const fields = { code: 'model_failed', step, attempt: attempt.attempt, provider, model, err: error };
    call.context.logger.warn(fields, "a model's attempt at a turn failed");
  }
  const failure = { error, how, outcome, usage, ...(parts === undefined ? {} : { parts }) } as const;
  // crash here: the attempt is not on record; the stream tells of it (abandoned-turn.ts)
  // Shielded: the row of an aborted attempt is written although the run was cancelled.
  const shield = { path: call.path, kind: 'shield', shielded: true } as const;
  await call.inFrame(() =>
    call.context.within(shield, () => call.context.append(turnFailed(call.context, attempt, failure))),
  );
}

/** The provider's `finish` as one of an error, so that its usage is kept and no tool starts (M2). */
export function failedFinish(parts: StreamPart[]): StreamPart[] {
  return parts
    .filter((part) => part.type === 'finish')
    .map((part) => ({ ...part, finishReason: { ...part.finishReason, unified: 'error' as const } }));
}

/** The provider closed the stream without `finish`; the SDK decides what that means for its result. */
export class UnfinishedStream extends Error {
  override readonly name: string = 'UnfinishedStream';

  constructor() {
    super('The model stream ended without a finish part.');
  }
}

function isAbort(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === 'AbortError' || error.name === 'TimeoutError' || error.name === 'ResponseAborted')
  );
}

export function anySignal(signals: Array<AbortSignal | undefined>): AbortSignal {
  const present = signals.filter((signal) => signal !== undefined);
  const [only] = present;
  return present.length === 1 && only !== undefined ? only : AbortSignal.any(present);
}

/** A provider may ignore its signal; the turn does not. */
export function orAbort<T>(work: PromiseLike<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).then(() => signal.removeEventListener('abort', abort), reject);
  });
}
