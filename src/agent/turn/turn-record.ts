/**
 * What the journal keeps of a model turn, and how a turn is played again.
 *
 *  T1 A record is complete: it ends with `finish` and has no `error`. What lacks that is never recorded as a turn.
 *  T2 Deltas of a block are merged; texts, ids, metadata and the order of blocks are kept.
 *  T3 Raw chunks, pings, headers and bodies are not kept.
 *  T4 The response has a timestamp; where the provider sends none, the one of the first attempt is kept.
 */

import type { SteeredMessage } from '../call/agent-call.ts';
import type { FinishPart, GenerateResult, StreamPart } from './provider-types.ts';

export interface TurnRecord {
  /** Of doStream. */
  parts?: StreamPart[];
  /** Of doGenerate. */
  generated?: RecordedGeneration;
  /** Messages that were steered in after this turn. */
  steered?: SteeredMessage[];
}

export type RecordedGeneration = Omit<GenerateResult, 'request'>;

type DeltaPart = Extract<StreamPart, { type: 'text-delta' | 'reasoning-delta' | 'tool-input-delta' }>;

/** Collects the parts of one doStream as they pass. */
export class TurnRecorder {
  readonly parts: StreamPart[] = [];
  #open: DeltaPart[] = [];
  #current: DeltaPart | undefined;
  readonly #now: () => number;
  #metadata = false;
  finish: FinishPart | undefined;
  failure: { error: unknown } | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The timestamp that goes before the part, if it ends a response that has none yet (T4). Ask before `add`. */
  stampBefore(part: StreamPart): StreamPart | undefined {
    return part.type === 'finish' && !this.#metadata ? this.add({ type: 'response-metadata' }) : undefined;
  }

  /** Answers the part to pass on: the same one, or with a timestamp if the provider sent none. */
  add(part: StreamPart): StreamPart {
    switch (part.type) {
      case 'raw':
      case 'ping':
        return part;
      case 'error':
        this.failure ??= { error: part.error };
        return part;
      case 'finish':
        this.finish = part;
        return this.#keep(part);
      case 'response-metadata':
        return this.#keep(this.#stamped(part));
      case 'text-delta':
      case 'reasoning-delta':
      case 'tool-input-delta':
        this.#merge(part);
        return part;
      case 'text-end':
      case 'reasoning-end':
      case 'tool-input-end':
        this.#end(part.type.replace('-end', '-delta') as DeltaPart['type'], part.id);
        return this.#keep(part);
      default:
        return this.#keep(part);
    }
  }

  #stamped(part: Extract<StreamPart, { type: 'response-metadata' }>): StreamPart {
    this.#metadata = true;
    return part.timestamp === undefined ? { ...part, timestamp: new Date(this.#now()) } : part;
  }

  #keep(part: StreamPart): StreamPart {
    this.parts.push(part);
    return part;
  }

  #merge(part: DeltaPart): void {
    const block = this.#blockOf(part);
    if (block === undefined) {
      this.#current = { ...part };
      this.#open.push(this.#current);
      this.parts.push(this.#current);
      return;
    }
    block.delta += part.delta;
    if (part.providerMetadata !== undefined) block.providerMetadata = part.providerMetadata;
  }

  /** Deltas of one block mostly come in a row; few blocks are open at once. */
  #blockOf({ type, id }: DeltaPart): DeltaPart | undefined {
    const last = this.#current;
    if (last !== undefined && last.id === id && last.type === type) return last;
    this.#current = this.#open.find((block) => block.id === id && block.type === type);
    return this.#current;
  }

  #end(type: DeltaPart['type'], id: string): void {
    this.#open = this.#open.filter((block) => block.id !== id || block.type !== type);
    this.#current = undefined;
  }
}

/** Plays recorded parts, one per pull. With `end`, the stream breaks after them. */
export function replayParts(parts: StreamPart[], end?: { error: unknown }): ReadableStream<StreamPart> {
  let next = 0;
  return new ReadableStream<StreamPart>(
    {
      pull(controller) {
        const part = parts[next];
        next += 1;
        if (part !== undefined) controller.enqueue(part);
        else if (end === undefined) controller.close();
        else controller.error(end.error);
      },
    },
    { highWaterMark: 0 },
  );
}

/** What doGenerate answered, without what is not kept (T3), with a timestamp (T4) and an id. */
export function recordGeneration(
  result: GenerateResult,
  options: { now: number; responseId: string },
): RecordedGeneration {
  const { request: _request, response, ...rest } = result;
  return {
    ...rest,
    response: {
      id: response?.id ?? options.responseId,
      timestamp: response?.timestamp ?? new Date(options.now),
      ...(response?.modelId === undefined ? {} : { modelId: response.modelId }),
    },
  };
}

/** Tool calls that a turn asked for, without those that the provider executes. */
export function countToolCalls(record: Pick<TurnRecord, 'parts' | 'generated'>): number {
  const parts: Array<{ type: string; providerExecuted?: boolean | undefined }> =
    record.parts ?? record.generated?.content ?? [];
  return parts.filter((part) => part.type === 'tool-call' && part.providerExecuted !== true).length;
}

/** Ids of the tool calls in a turn, in order; an id that occurs twice is there twice. */
export function toolCallIdsOf(record: TurnRecord): string[] {
  const parts: Array<{ type: string; toolCallId?: string }> = record.parts ?? record.generated?.content ?? [];
  return parts.filter((part) => part.type === 'tool-call').map((part) => part.toolCallId ?? '');
}
