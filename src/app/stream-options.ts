/** What a runtime allows streams to hold, and how long it keeps it. */

import { durationMs } from '../runtime/duration.ts';
import type { Duration } from '../runtime/duration.ts';
import { DurableError } from '../runtime/errors.ts';
import { STREAM_LIMITS } from '../runtime/outbox.ts';
import { STATIC_RESPONSES } from '../hooks/webhook-wire.ts';
import { RESULT_STREAMS } from '../runtime/stored-stream.ts';
import type { StreamSettings } from '../runtime/upkeep.ts';
import { DEFAULT_STREAM } from '../streams/wire.ts';

export interface StreamOptions {
  /** Bytes of one chunk that code writes by `getWritable`. Default, and most: `maxValueBytes` of the runtime. */
  maxChunkBytes?: number;
  /** Chunks of one stream that code writes by `getWritable`. Default 1,000,000. */
  maxChunks?: number;
  /**
   * How much of a stream is kept: the newest `chunks`, those not older than `age` (an hour more at most); reads below fail with
   * `offset_expired`. Streams of ended runs, and of runs that go on all but the main one, the results of steps and the static responses
   * of webhooks: an agent needs the main one to recover, and a workflow its results. An answer that `writeUIMessageStream` writes to
   * another stream needs that too, so keep more than one answer has. Default: all, until `gc` removes the run.
   */
  keep?: { chunks?: number; age?: Duration };
}

/** Throws `invalid_argument` and `invalid_duration`. */
export function toStreamSettings(
  { maxChunkBytes, maxChunks, keep }: StreamOptions = {},
  maxValueBytes: number = STREAM_LIMITS.maxChunkBytes,
): StreamSettings {
  const limits = {
    maxChunkBytes: Math.min(wholeNumber(maxChunkBytes, 'maxChunkBytes') ?? Infinity, maxValueBytes),
    maxChunks: wholeNumber(maxChunks, 'maxChunks') ?? STREAM_LIMITS.maxChunks,
  };
  const chunks = wholeNumber(keep?.chunks, 'keep.chunks');
  const olderThanMs = keep?.age === undefined ? undefined : durationMs(keep.age, 'streams.keep.age');
  if (chunks === undefined && olderThanMs === undefined) return { limits };
  return {
    limits,
    retention: {
      spare: [DEFAULT_STREAM, RESULT_STREAMS, STATIC_RESPONSES],
      ...(chunks === undefined ? {} : { keep: chunks }),
      ...(olderThanMs === undefined ? {} : { olderThanMs }),
    },
  };
}

function wholeNumber(value: number | undefined, name: string): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return value;
  throw new DurableError(
    'invalid_argument',
    `Cannot create a runtime with streams.${name} ${String(value)}: write a whole number, 0 or more, or leave it out.`,
    { details: { option: `streams.${name}` } },
  );
}
