/** A run's stream as a response. */

import type { RunInfo } from '../app/run-info.ts';
import { encodeHandle, RUN_ID_HEADER, STREAM_HEADERS, TAIL_INDEX_HEADER } from '../streams/wire.ts';
import type { Connection } from './connections.ts';
import { createEventBody } from './event-body.ts';
import { RunSource } from './run-source.ts';
import type { ServerParts } from './server-parts.ts';

export interface RunResponseOptions {
  run: RunInfo;
  connection: Connection;
  /** Where the response that the handle names begins. */
  base: number;
  /** Where this reader goes on. */
  offset: number;
  tailIndex: number;
  /** The reader counts chunks, so none may be merged. */
  counts: boolean;
}

export function runResponse(parts: ServerParts, options: RunResponseOptions): Response {
  const { run, connection, base, offset, tailIndex, counts } = options;
  const { runtime, encoders, runStates } = parts;
  const encode = counts ? encoders.frames : encoders.mergedFrames;
  const body = createEventBody({ parts, connection, about: { run: run.id } }, (wake) => {
    const state = runStates.open(run);
    return new RunSource(runtime, { at: { run: run.id, offset }, state, encode, wake });
  });
  return new Response(body, {
    headers: {
      ...STREAM_HEADERS,
      [RUN_ID_HEADER]: encodeHandle({ run: run.id, offset: base }),
      [TAIL_INDEX_HEADER]: String(tailIndex),
    },
  });
}
