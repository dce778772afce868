/** The stream of a thread, whoever sends to it: its runs one after the other, and where it stands. It ends only when its reader stops. */

import type { UIMessage, UIMessageChunk } from 'ai';
import { DurableError } from '../runtime/errors.ts';
import { decodePosition, RUN_EVENT, THREAD_EVENT, THREAD_START } from '../streams/wire.ts';
import type { RunBeginning, ThreadStatus } from '../streams/wire.ts';
import type { AgentApi, RequestOptions, Wait } from './agent-api.ts';

/** What a thread's stream tells. Plain data: tabs pass it on to each other. */
export type ThreadUpdate =
  | { kind: 'thread'; status: ThreadStatus<UIMessage, Wait> }
  | { kind: 'run'; beginning: RunBeginning<UIMessage>; position: string }
  /** `position` is undefined for chunks that are not stored. */
  | { kind: 'chunk'; chunk: UIMessageChunk; run: string; position: string | undefined };

export interface ThreadFeedOptions extends RequestOptions {
  thread: string;
  /** A position in the thread: what comes after it. Undefined: from the first run on. */
  after?: string | undefined;
  signal: AbortSignal;
  /** Patience was spent; the feed goes on trying. Undefined: it is connected again. */
  onTrouble?(trouble: DurableError | undefined): void;
}

/** Yields what arrived together. Throws what the server refuses with, and the reason of the signal. */
export async function* readThreadFeed(
  api: AgentApi,
  { thread, after = THREAD_START, signal, headers, onTrouble }: ThreadFeedOptions,
): AsyncGenerator<ThreadUpdate[], void, undefined> {
  let position = after;
  let run = decodePosition(after)?.run ?? '';
  const path = `/threads/${encodeURIComponent(thread)}/stream`;
  for (;;) {
    try {
      const events = await api.open({
        path: () => path,
        lastEventId: position,
        signal,
        headers,
        onOpen() {
          onTrouble?.(undefined);
          return undefined;
        },
      });
      if (events === null)
        throw new DurableError('response_unexpected', `The stream of the thread "${thread}" has ended.`);
      for await (const batch of events) {
        yield batch.map(({ event, data, id }): ThreadUpdate => {
          position = id ?? position;
          const value: unknown = JSON.parse(data);
          if (event === THREAD_EVENT) return { kind: 'thread', status: value as ThreadStatus<UIMessage, Wait> };
          if (event === RUN_EVENT) {
            const beginning = value as RunBeginning<UIMessage>;
            run = beginning.runId;
            return { kind: 'run', beginning, position };
          }
          run = (id === undefined ? undefined : decodePosition(id)?.run) ?? run;
          return { kind: 'chunk', chunk: value as UIMessageChunk, run, position: id };
        });
      }
    } catch (error) {
      if (!DurableError.is(error, 'connection_lost')) throw error;
      onTrouble?.(error);
    }
  }
}
