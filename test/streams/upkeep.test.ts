import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/app/create-runtime.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import type { RuntimeOptions } from '../../src/app/runtime-options.ts';
import { step } from '../../src/runtime/step.ts';
import type { Store } from '../../src/runtime/store.ts';
import { workflow } from '../../src/runtime/workflow.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { getWritable } from '../../src/streams/writable.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';

const logs: unknown[] = [];
const logger = { debug: () => {}, info: () => {}, warn: (fields: unknown) => logs.push(fields), error: () => {} };

let clock: ManualClock;
let inner: Store;
let packed: string[];
let runtime: Runtime | undefined;
let release: () => void;

/** Writes text as told, a flush each; waits for `release` before it ends. */
const talk = workflow('talk', async ({ chunks, size }: { chunks: number; size: number }) => {
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  await step('write', async () => {
    for (const namespace of ['default', 'log']) {
      const writer = getWritable({ namespace }).getWriter();
      for (let n = 0; n < chunks; n += 1) await writer.write('x'.repeat(size));
    }
  });
  await step('wait', () => gate);
});

function launch(options: Partial<RuntimeOptions> & { compact?: Store['compact'] } = {}): Runtime {
  const { compact, ...rest } = options;
  const store: Store = {
    ...inner,
    compact: async (run, stream) => {
      packed.push(`${run}/${stream}`);
      return compact?.(run, stream) ?? false;
    },
  };
  runtime = createRuntime({ store, workflows: [talk], clock, logger, ...rest });
  return runtime;
}

beforeEach(() => {
  clock = manualClock();
  inner = memoryStore({ clock });
  packed = [];
  logs.length = 0;
});

afterEach(async () => {
  const closed = runtime?.close({ graceMs: 0 });
  await clock.advance(10_000);
  await closed;
});

async function started(input: { chunks: number; size: number }): Promise<void> {
  await launch().start(talk, { id: 'r', input });
  await clock.advance(100);
}

describe('the streams of a run', () => {
  it('are packed once when it has left, not before', async () => {
    await started({ chunks: 30, size: 1_000 });
    await clock.advance(60_000);
    expect(packed).toEqual([]);
    release();
    await clock.advance(100);
    await clock.advance(60_000);
    expect(packed.toSorted()).toEqual(['r/default', 'r/log']);
  });

  it('are packed while it goes on if it writes much', async () => {
    await started({ chunks: 300, size: 1_000 });
    await clock.advance(5_000);
    expect(packed.toSorted()).toEqual(['r/default', 'r/log']);
  });

  it('are packed when the run was taken from this process', async () => {
    await started({ chunks: 30, size: 1_000 });
    await inner.control('r', 'terminate');
    await clock.advance(120_000);
    expect(packed.toSorted()).toEqual(['r/default', 'r/log']);
  });

  it('are left alone if there is little to pack', async () => {
    await started({ chunks: 10, size: 100 });
    release();
    await clock.advance(60_000);
    expect(packed).toEqual([]);
  });

  it('are packed a part at a time, with a pause after each', async () => {
    let left = 5;
    const run = await launch({ compact: async () => (left -= 1) > 0 }).start(talk, {
      id: 'r',
      input: { chunks: 300, size: 1_000 },
    });
    await clock.advance(1_020);
    expect(packed).toHaveLength(1);
    await clock.advance(50);
    expect(packed).toHaveLength(2);
    await clock.advance(5_000);
    expect(packed).toHaveLength(6);
    expect(await run.status).toBe('running');
  });

  it('stay as they are where the store cannot pack, which is told', async () => {
    const error = new Error('disk');
    launch({ compact: () => Promise.reject(error) });
    await runtime?.start(talk, { id: 'r', input: { chunks: 300, size: 1_000 } });
    await clock.advance(60_000);
    expect(packed).toHaveLength(2);
    expect(logs).toContainEqual({ code: 'store_unavailable', err: error });
  });
});

describe('retention', () => {
  const tailOf = async (stream: string): Promise<unknown> => {
    const page = await inner.read('r', stream, { from: 0, maxBytes: 10_000_000 });
    return page?.expired ?? page?.chunks.length;
  };

  it('keeps the newest chunks, of the main stream once the run has ended', async () => {
    launch({ streams: { keep: { chunks: 4 } } });
    await runtime?.start(talk, { id: 'r', input: { chunks: 10, size: 10 } });
    await clock.advance(1_000);
    await clock.advance(600_000);
    expect(await tailOf('log')).toEqual({ before: 6, reason: 'count' });
    expect(await tailOf('default')).toBe(10);
    release();
    await clock.advance(1_200_000);
    expect(await tailOf('default')).toEqual({ before: 6, reason: 'count' });
  });

  it('keeps the results of steps whole until the run has ended', async () => {
    const reading = workflow('reading', async () => {
      const numbers = await step('fetch', () => {
        const start = (to: ReadableStreamDefaultController<number>): void => {
          for (let n = 1; n <= 6; n += 1) to.enqueue(n);
          to.close();
        };
        return new ReadableStream<number>({ start });
      });
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      await step('wait', () => gate);
      const read: unknown[] = [];
      for await (const number of numbers) read.push(number);
      return read;
    });
    const run = await launch({ workflows: [reading], streams: { keep: { chunks: 2 } } }).start(reading, { id: 'r' });
    await clock.advance(1_000);
    await clock.advance(600_000);
    expect(await tailOf('step:fetch')).toBe(6);
    release();
    expect(await run.result()).toEqual([1, 2, 3, 4, 5, 6]);
    await clock.advance(1_200_000);
    expect(await tailOf('step:fetch')).toEqual({ before: 4, reason: 'count' });
  });

  it('keeps what is not too old', async () => {
    launch({ streams: { keep: { age: '20 minutes' } } });
    await runtime?.start(talk, { id: 'r', input: { chunks: 10, size: 10 } });
    await clock.advance(15 * 60_000);
    expect(await tailOf('log')).toBe(10);
    await clock.advance(20 * 60_000);
    expect(await tailOf('log')).toEqual({ before: 10, reason: 'age' });
  });

  it('removes nothing unless it is asked to', async () => {
    await started({ chunks: 10, size: 10 });
    await clock.advance(3_600_000);
    expect(await tailOf('log')).toBe(10);
  });
});
