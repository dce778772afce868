/** Processes on one memory store under one manual clock, anew for each test, and what their run "r" has written. */

import { afterEach, beforeEach } from 'vitest';
import { createRuntime } from '../../src/app/create-runtime.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import type { StreamOptions } from '../../src/app/stream-options.ts';
import type { Store } from '../../src/runtime/store.ts';
import type { Workflow } from '../../src/runtime/workflow.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { MAX_VALUE_BYTES } from '../../src/runtime/codec.ts';
import { withLargeValues } from '../../src/runtime/value-store.ts';
import { createStreamReader } from '../../src/streams/reader.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { silentLogger } from '../support/silent-logger.ts';

export interface Lives {
  readonly clock: ManualClock;
  readonly inner: Store;
  /** An empty store from now on. */
  reset(): void;
  launch(workflows: Workflow<void>[], options?: { store?: Store; streams?: StreamOptions }): Runtime;
  /** Lets time pass until it settles. */
  passingTime<T>(settled: Promise<T>): Promise<T>;
  written(stream?: string): Promise<unknown[]>;
}

/** Call it where the tests of a file stand. */
export function useLives(): Lives {
  let clock: ManualClock;
  let inner: Store;
  let runtimes: Runtime[];
  beforeEach(() => {
    clock = manualClock();
    inner = memoryStore({ clock });
    runtimes = [];
  });
  afterEach(async () => {
    const closed = Promise.all(runtimes.map((runtime) => runtime.close({ graceMs: 0 })));
    await clock.advance(10_000);
    await closed;
  });
  return {
    get clock() {
      return clock;
    },
    get inner() {
      return inner;
    },
    reset() {
      inner = memoryStore({ clock });
    },
    launch(workflows, { store = inner, streams = {} } = {}) {
      const runtime = createRuntime({ store, workflows, clock, logger: silentLogger, streams });
      runtimes.push(runtime);
      return runtime;
    },
    async passingTime(settled) {
      for (;;) {
        const outcome = await Promise.race([settled.then((value) => ({ value })), clock.advance(500)]);
        if (outcome !== undefined) return outcome.value;
      }
    },
    async written(stream = 'default') {
      const chunks: unknown[] = [];
      const store = withLargeValues(inner, { maxBytes: MAX_VALUE_BYTES, clock });
      const reader = createStreamReader({ store, clock });
      for await (const { chunk } of reader.chunks({ run: 'r', stream, follow: false })) chunks.push(chunk);
      return chunks;
    },
  };
}
