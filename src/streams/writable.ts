/**
 * User code's end of a stream.
 *
 *  W1 Written by a workflow's own code: once. Chunk and a `chunk_written` fact are one commit; on replay a writer skips as
 *     many writes as it has facts. So a workflow must write the same sequence again, as it must call the same steps.
 *  W2 Written inside a step or a tool: at least once per attempt. In an agent's stream the `reset-step` of a repeated turn takes
 *     it back; elsewhere give data parts ids, so that a later one replaces the earlier, or write with `commit: 'end'`.
 *  W3 What a step wrote is committed with its completion or before, also what it did not await. With `commit: 'end'` it is committed with
 *     its completion, and only then: a failed attempt leaves nothing. What it closes is closed with its completion, and only then.
 *  W4 An attempt that is over writes nothing more: the next one writes already. Its locks hold nobody up.
 *  W5 What counts is who writes, not who opened: a workflow's writable that a step writes to is that step's.
 */

import { assertJson, encodeChunk } from '../runtime/chunk.ts';
import type { Payload } from '../runtime/codec.ts';
import { currentFrame, requireContext } from '../runtime/context.ts';
import type { Frame, OpenWrites, RunContext, Scope } from '../runtime/context.ts';
import { DurableError } from '../runtime/errors.ts';
import { RESULT_STREAMS } from '../runtime/stored-stream.ts';
import { DEFAULT_STREAM } from './wire.ts';

export interface WritableOptions {
  /** The stream's name in this run. Default: the run's main stream, the one an agent answers on. */
  namespace?: string;
  /**
   * When a step or tool commits what it writes. `soon` (default): within milliseconds, so a repeated attempt writes it again. `end`: with
   * the step's completion, once; nothing of a failed attempt. Until then it is in memory, at most 1 MB. A workflow's own code writes
   * once anyway.
   */
  commit?: 'soon' | 'end';
}

/**
 * A stream of this run to write to, from a workflow, a step or a tool: JSON values or `Uint8Array`s, one chunk each. A write is
 * accepted at once and waits only while the run's buffer is full; it is stored within milliseconds and readers see it
 * then. Several writables of one stream may be open, each with its own lock; none has to be released. Closing one closes the
 * stream for all, in a step or tool when that succeeds; it also closes with the run. The main stream of an agent goes on when a tool
 * closes its writable.
 * Inside a step or tool a write happens once per attempt (see `commit`), in a workflow's own code once. Each write there is an event
 * of the journal: for an agent's answer use `writeUIMessageStream`, for other tokens write from a step; a step may write to what its
 * workflow has opened. A step's writables end with its attempt.
 * In a tool, chunks `{ type: 'data-...', id, data }` without `namespace` are parts of the agent's message; the same id replaces the part.
 * Nothing else may be written there (`invalid_argument`).
 * Writes reject with `value_not_serializable`, `value_too_large`, `stream_full` and `stream_closed` (also after the step's end). Throws
 * `outside_run` and `invalid_argument`.
 */
export function getWritable<T = unknown>(options: WritableOptions = {}): WritableStream<T> {
  const stream = options.namespace ?? DEFAULT_STREAM;
  checkNamespace(stream);
  const sink = new Sink<T>(frameOf(), { stream, atEnd: options.commit === 'end' });
  return new WritableStream<T>(sink, { highWaterMark: 1, size: sink.size });
}

/** Throws `invalid_argument` for names that code cannot write to. */
export function checkNamespace(stream: string): void {
  const why = flawOf(stream);
  if (why === undefined) return;
  throw new DurableError(
    'invalid_argument',
    `Cannot open a stream with the namespace "${stream}": ${why}. Give it another name, or leave \`namespace\` out.`,
    { details: { namespace: stream } },
  );
}

function flawOf(stream: string): string | undefined {
  if (stream === '') return 'it is empty';
  if (stream === '.' || stream === '..') return 'no URL can name it, so nobody could read it';
  return stream.startsWith(RESULT_STREAMS)
    ? `names that begin with "${RESULT_STREAMS}" are those of results`
    : undefined;
}

function frameOf(): Frame {
  const frame = currentFrame.getStore();
  if (frame !== undefined) return frame;
  const context = requireContext('getWritable()');
  return { context, scope: context.scope() };
}

/** Chunks of an attempt for its end. */
interface Held {
  chunks: Payload[];
  bytes: number;
}

const MOST_HELD_BYTES = 1_048_576;

class Sink<T> implements UnderlyingSink<T>, OpenWrites {
  readonly #context: RunContext;
  readonly #opener: Scope;
  /** That opened it; null in a workflow's or an agent's own code. */
  readonly #attempt: Scope | null;
  readonly #stream: string;
  readonly #atEnd: boolean;
  /** The scopes of the writes that are not taken, in their order, where a workflow's own code has opened it. */
  readonly #writers: Scope[] = [];
  #lastWriter: Scope | null = null;
  readonly #held = new Map<Scope, Held>();
  readonly #once: OnceWriter | undefined;
  /** Writes that are asked for and not taken. */
  #untaken = 0;
  #isOver = false;
  #emptied: Array<() => void> = [];

  constructor({ context, scope }: Frame, { stream, atEnd }: { stream: string; atEnd: boolean }) {
    this.#context = context;
    this.#opener = scope;
    this.#attempt = attemptOf(scope);
    this.#attempt?.writes(this); // W3
    this.#stream = stream;
    this.#atEnd = atEnd;
    if (isWorkflowCode(scope)) this.#once = new OnceWriter(context, stream);
  }

  /** Called by the stream for each write, in the writer's own context, before the write waits for those before it. */
  readonly size = (): number => {
    if (this.#isOver) return 1;
    this.#untaken += 1;
    if (this.#attempt === null) this.#writers.push(this.#nextWriter()); // W5
    return 1;
  };

  /** A pipe that begins before the stream has started loses its context: while the attempt that wrote last lives, it writes. */
  #nextWriter(): Scope {
    const scope = this.#writer();
    const last = this.#writers.at(-1) ?? this.#lastWriter;
    return attemptOf(scope) === null && last !== null && attemptOf(last)?.ended === false ? last : scope;
  }

  #writer(): Scope {
    const frame = currentFrame.getStore();
    const scope = frame?.context === this.#context ? frame.scope : this.#opener;
    attemptOf(scope)?.writes(this); // W3
    return scope;
  }

  /** Hot: each chunk that user code writes (bench `stream`). A promise means that the run's buffer is full. */
  write(value: T, controller: WritableStreamDefaultController): Promise<void> | undefined {
    this.#untaken -= 1;
    const attempt = this.#attempt ?? attemptOf((this.#lastWriter = this.#writers.shift() ?? this.#opener));
    try {
      return this.#write(value, { attempt, controller });
    } catch (error) {
      this.#end();
      throw error;
    } finally {
      if (this.#untaken === 0) this.#tellEmptied();
    }
  }

  /** The stream takes nothing more: what still waited is gone, and nobody waits for it. */
  #end(): void {
    this.#isOver = true;
    this.#untaken = 0;
    this.#writers.length = 0;
    this.#tellEmptied();
  }

  #tellEmptied(): void {
    if (this.#emptied.length > 0) for (const resolve of this.#emptied.splice(0)) resolve();
  }

  #write(
    value: T,
    { attempt, controller }: { attempt: Scope | null; controller: WritableStreamDefaultController },
  ): Promise<void> | undefined {
    if (attempt?.ended === true) throw attemptEnded(this.#stream, attempt); // W4
    if (attempt === null && this.#once?.isStored() === true) return undefined;
    if (isAnswer(attempt ?? this.#opener, this.#stream) && !isDataPart(value)) throw notAPart(this.#stream);
    if (!(value instanceof Uint8Array)) assertJson(value);
    const chunk = encodeChunk(value);
    this.#context.checkRoom(this.#stream, chunk, { held: this.#heldChunks() });
    if (attempt !== null && this.#atEnd) return this.#hold(attempt, chunk);
    const full = this.#context.emit(this.#stream, [chunk]);
    if (attempt === null)
      this.#once?.record((error) => {
        this.#end();
        controller.error(error);
      });
    return full;
  }

  close(): void {
    this.#end();
    const attempt = this.#closer();
    if (attempt?.ended === true || isAnswer(attempt ?? this.#opener, this.#stream)) return;
    const closing = (): void => this.#context.closeStream(this.#stream);
    if (attempt === null) closing();
    else attempt.writes({ drained: () => Promise.resolve(), completes: (scope) => scope === attempt && closing() }); // W3
  }

  /**
   * The attempt whose code closes, as far as can be told (W5): the stream calls in the context of whoever closed it, or, where writes were
   * waiting, of one of the writers.
   */
  #closer(): Scope | null {
    const known = this.#attempt ?? attemptOf(this.#writer());
    if (known !== null || this.#lastWriter === null) return known;
    const last = attemptOf(this.#lastWriter);
    return last?.ended === true ? null : last;
  }

  abort(): void {
    this.#held.clear();
    this.#end();
  }

  drained(): Promise<void> {
    if (this.#untaken === 0) return Promise.resolve();
    return new Promise((resolve) => this.#emptied.push(resolve));
  }

  completes(scope: Scope): void {
    const held = this.#held.get(scope);
    if (held === undefined) return;
    this.#held.delete(scope);
    void this.#context.emit(this.#stream, held.chunks);
  }

  #hold(attempt: Scope, chunk: Payload): undefined {
    const held = this.#heldOf(attempt);
    if (held.bytes + chunk.length > MOST_HELD_BYTES) throw holdsTooMuch(this.#stream, held.bytes + chunk.length);
    held.chunks.push(chunk);
    held.bytes += chunk.length;
  }

  #heldChunks(): number {
    let count = 0;
    for (const { chunks } of this.#held.values()) count += chunks.length;
    return count;
  }

  #heldOf(attempt: Scope): Held {
    let held = this.#held.get(attempt);
    if (held === undefined) {
      held = { chunks: [], bytes: 0 };
      this.#held.set(attempt, held);
      attempt.writes(this);
    }
    return held;
  }
}

/** W1 */
class OnceWriter {
  readonly #context: RunContext;
  readonly #key: string;
  #stored: number;

  constructor(context: RunContext, stream: string) {
    this.#context = context;
    this.#key = context.nextKey(`writable:${stream}`);
    this.#stored = context.facts(this.#key).length;
  }

  /** The next write has been stored by an earlier pass. */
  isStored(): boolean {
    if (this.#stored === 0) return false;
    this.#stored -= 1;
    return true;
  }

  /** Not awaited: when a write resolves must not depend on the store, or a replay could go another way. */
  record(failed: (error: unknown) => void): void {
    const fact = { type: 'chunk_written' as const, key: this.#key, at: this.#context.now() };
    this.#context.append({ facts: [fact] }).catch(failed);
  }
}

function isWorkflowCode(scope: Scope): boolean {
  return (
    scope.kind === 'workflow' || (scope.kind === 'shield' && (scope.parent === null || isWorkflowCode(scope.parent)))
  );
}

/** The attempt of a step or tool that a scope is part of; null in a workflow's or an agent's own code. */
function attemptOf(scope: Scope): Scope | null {
  if (scope.kind === 'step' || scope.kind === 'tool') return scope;
  return scope.kind === 'shield' && scope.parent !== null ? attemptOf(scope.parent) : null;
}

/** The stream that the agent answers on, which goes on after its tools. */
function isAnswer(scope: Scope | null, stream: string): boolean {
  if (scope === null || stream !== DEFAULT_STREAM) return false;
  return scope.kind === 'agent' || isAnswer(scope.parent, stream);
}

/** What a tool may add to an answer: a client, and the agent itself when it recovers, make a message of all that is in its stream. */
function isDataPart(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { type, id, transient } = value as Partial<Record<'type' | 'id' | 'transient', unknown>>;
  return (
    typeof type === 'string' &&
    /^data-./.test(type) &&
    (id === undefined || typeof id === 'string') &&
    (transient === undefined || typeof transient === 'boolean')
  );
}

function notAPart(stream: string): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot write this chunk to the stream "${stream}": the agent answers on it, and all its readers take of others is ` +
      "{ type: 'data-...', id, data }, where `id` is a text or left out. Write that, or to a stream of your own: getWritable({ namespace }).",
    { details: { stream } },
  );
}

function attemptEnded(stream: string, { path, kind }: Scope): DurableError {
  return new DurableError(
    'stream_closed',
    `Cannot write to the stream "${stream}" in the ${kind} "${path}": this attempt of it has ended. Await what writes before the ${kind} ` +
      'returns, or write from the workflow.',
    { details: { stream, key: path } },
  );
}

function holdsTooMuch(stream: string, bytes: number): DurableError {
  return new DurableError(
    'value_too_large',
    `Cannot keep ${bytes} bytes for the stream "${stream}" until the step ends: the limit is ${MOST_HELD_BYTES}. Write without ` +
      "`commit: 'end'`, or in several steps.",
    { details: { stream, bytes, limit: MOST_HELD_BYTES } },
  );
}
