/** A run, seen from outside. */

import type { Clock } from '../runtime/clock.ts';
import type { Payload } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import { decodeEvent, loadAll } from '../runtime/event.ts';
import type { JournalEvent } from '../runtime/event.ts';
import type { Run, RunStatus } from '../runtime/store.ts';
import { wholeRun } from '../runtime/value-store.ts';
import type { ValueStore } from '../runtime/value-store.ts';
import type { StreamReader } from '../streams/reader.ts';
import { DEFAULT_STREAM } from '../streams/wire.ts';
import { toRunInfos } from './blocked-runs.ts';
import { isUnreadable, toRunInfo } from './run-info.ts';
import type { RunInfo } from './run-info.ts';
import { readWaits } from './waits.ts';
import type { Wait } from './waits.ts';

export interface RunStreamOptions {
  /** Default: the run's main stream. */
  namespace?: string;
  /** Offset of the first chunk. Default 0; negative counts from the tail. */
  from?: number;
  /** Go on at the tail until the stream is closed. Default true. */
  follow?: boolean;
  /** Join neighbouring deltas of what is stored: fewer chunks for the same message. Only from the start on. Default false. */
  merge?: boolean;
  signal?: AbortSignal;
}

/** `CHUNK` is what the run's main stream holds: `UIMessageChunk` for agents. */
export interface RunHandle<RESULT = unknown, CHUNK = unknown> {
  readonly id: string;
  /** Throws `run_not_found`. */
  readonly status: Promise<RunStatus>;
  /** The run as it stands: status, times, input, result. Throws `run_not_found`. */
  info(): Promise<RunInfo>;
  /** What it waits for; empty unless it is waiting. Throws `run_not_found`. */
  waits(): Promise<Wait[]>;
  /**
   * The result, when the run has ended. Rejects with `run_failed` (its cause is what the run threw), `cancelled`, or `run_parked`
   * if it cannot go on without help.
   */
  result(): Promise<RESULT>;
  /** The journal from the first event on. An event's value is decoded on first use and throws `value_corrupt` if it is damaged. */
  events(): Promise<JournalEvent[]>;
  /**
   * Chunks as they were written. Ends with the stream; errors with `run_not_found`, and with `offset_expired` where chunks were removed.
   * Throws `invalid_argument` for `merge` with `from`.
   */
  stream<T = CHUNK>(options?: RunStreamOptions): ReadableStream<T> & AsyncIterable<T>;
  /** Asks the run to stop; resolves when that is stored. Ended runs stay as they are. */
  cancel(): Promise<void>;
}

export interface RunHandleParts {
  store: ValueStore;
  clock: Clock;
  reader: StreamReader;
}

/** Statuses at which `result()` has something to say. */
const SETTLED: ReadonlySet<RunStatus> = new Set<RunStatus>(['completed', 'failed', 'cancelled', 'parked']);
const POLL_MS = 1_000;

export function createRunHandle<RESULT>(parts: RunHandleParts, id: string): RunHandle<RESULT> {
  const { store, reader } = parts;
  const expand = (payload: Payload): Promise<Payload> => store.expand(payload);
  const whole = (run: Run): Promise<Run> => wholeRun(expand, run);
  const row = async (): Promise<Run> => (await store.get(id)) ?? raise(runNotFound(id));
  return {
    id,
    get status() {
      return row().then((run) => run.status);
    },
    info: async () => {
      const now = parts.clock.now();
      return (await toRunInfos([await whole(await row())], { store, now }))[0] ?? raise(runNotFound(id));
    },
    waits: async () => readWaits(store, await row()),
    result: async () => resultOf(toRunInfo(await whole(await endedRow(parts, id)))) as RESULT,
    events: async () => {
      const loaded = (await store.load(id, 0)) ?? raise(runNotFound(id));
      const events = loaded.events.map((payload) => decodeEvent(payload, { expand }));
      await loadAll(events);
      return events;
    },
    stream: <CHUNK>({ namespace = DEFAULT_STREAM, ...options }: RunStreamOptions = {}) =>
      reader.chunks({ run: id, stream: namespace, ...options }).pipeThrough(
        new TransformStream<{ chunk: unknown }, CHUNK>({
          transform: ({ chunk }, controller) => controller.enqueue(chunk as CHUNK),
        }),
      ) as ReadableStream<CHUNK> & AsyncIterable<CHUNK>,
    cancel: async () => {
      const answer = await store.control(id, 'cancel');
      if (answer.kind === 'not_found') throw runNotFound(id);
    },
  };
}

/** Waits by the store's hints, with a poll behind them. */
async function endedRow({ store, clock }: RunHandleParts, id: string): Promise<Run> {
  let wake = (): void => {};
  let cancelPoll = (): void => {};
  let rung = false;
  const unwatch = store.watch?.((hint) => {
    if (hint.kind === 'any' || (hint.kind === 'run' && hint.run === id)) {
      rung = true;
      wake();
    }
  });
  try {
    for (;;) {
      rung = false;
      const run = (await store.get(id)) ?? raise(runNotFound(id));
      if (SETTLED.has(run.status)) return run;
      if (rung) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        cancelPoll = clock.schedule(resolve, POLL_MS);
      });
      cancelPoll();
    }
  } finally {
    unwatch?.();
  }
}

function resultOf({ id, status, result, error, parked }: RunInfo): unknown {
  if (status === 'completed') return isUnreadable(result) ? raise(result) : result;
  const details = { run: id, status };
  if (status === 'cancelled') {
    throw new DurableError('cancelled', `The run "${id}" was cancelled. Start a new one to try again.`, { details });
  }
  if (status === 'parked') {
    const facts = { code: parked?.code, ...(parked?.details as object | undefined) };
    throw new DurableError(
      'run_parked',
      `The run "${id}" is parked (${parked?.code}): ${JSON.stringify(facts)}. Fix the cause, then call runtime.resume("${id}").`,
      { details: { ...details, parked: facts } },
    );
  }
  throw new DurableError('run_failed', `The run "${id}" failed: ${error?.message ?? error?.code}`, {
    cause: error?.cause,
    details: { ...details, code: error?.code ?? null },
  });
}

export function runNotFound(id: string): DurableError {
  return new DurableError('run_not_found', `There is no run "${id}". Check the id; ended runs are removed by gc.`, {
    details: { run: id },
  });
}

function raise(error: Error): never {
  throw error;
}
