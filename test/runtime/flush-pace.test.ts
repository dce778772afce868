import { createRuntime, getWritable, step, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { describe, expect, it } from 'vitest';
import { FlushPace } from '../../src/runtime/flush-pace.ts';

describe('the pace of flushes', () => {
  it('lets the first one go at once and the next one after twice the time that it took', () => {
    const pace = new FlushPace(2);
    expect(pace.waitAt(100)).toBeLessThanOrEqual(0);
    pace.sent(100);
    pace.answered({ sentAt: 100, now: 105 });
    expect(pace.waitAt(105)).toBe(10);
    expect(pace.waitAt(115)).toBe(0);
  });

  it('keeps the least distance after a fast flush, and is not stopped by a slow one', () => {
    const pace = new FlushPace(2);
    pace.answered({ sentAt: 100, now: 100.1 });
    expect(pace.waitAt(100.1)).toBeCloseTo(2);
    pace.answered({ sentAt: 200, now: 3_200 });
    expect(pace.waitAt(3_200)).toBe(50);
  });
});

describe('runs that stream at once', () => {
  it('share their flushes', async () => {
    const batches: number[] = [];
    const inner = memoryStore();
    const store = {
      ...inner,
      capabilities: { ...inner.capabilities, flushMs: 50 },
      commit: (batch: Parameters<typeof inner.commit>[0]) => {
        if (batch.every(({ events }) => events.length === 0)) batches.push(batch.length);
        return inner.commit(batch);
      },
    };
    const chatty = workflow('chatty', () =>
      step('write', async () => {
        const writer = getWritable<number>().getWriter();
        for (let i = 0; i < 40; i += 1) {
          await writer.write(i);
          await new Promise((resolve) => setImmediate(resolve));
        }
      }),
    );
    const runtime = createRuntime({ store, workflows: [chatty] });
    const runs = await Promise.all(Array.from({ length: 20 }, () => runtime.start(chatty)));
    for (const run of runs) {
      const read: number[] = [];
      for await (const chunk of run.stream<number>()) read.push(chunk);
      expect(read).toEqual(Array.from({ length: 40 }, (_, i) => i));
    }
    await runtime.close();
    // 20 runs wrote in 40 macrotasks each: without a common pace that is a flush for each of them.
    expect(batches.length).toBeLessThan(20);
    expect(Math.max(...batches)).toBeGreaterThan(10);
  });
});
