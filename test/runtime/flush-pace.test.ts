import { createRuntime, getWritable, step, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { describe, expect, it } from 'vitest';
import { FlushPace } from '../../src/runtime/flush-pace.ts';

describe('the pace of flushes', () => {
  const flushes = (pace: FlushPace, durations: number[]): number => {
    let now = 100;
    for (const duration of durations) {
      pace.sent(now);
      pace.answered({ sentAt: now, now: now + duration });
      now += duration;
    }
    return pace.waitAt(now);
  };

  it('lets the first one go at once', () => {
    expect(new FlushPace(2).waitAt(100)).toBeLessThanOrEqual(0);
  });

  it('waits twice as long as flushes take', () => {
    expect(flushes(new FlushPace(2), [5, 5, 5])).toBe(10);
  });

  it('keeps the least distance after fast ones', () => {
    expect(flushes(new FlushPace(2), [0.1, 0.1, 0.1])).toBeCloseTo(2);
  });

  it('lets a second one follow the first after a pause, and no third', () => {
    const pace = new FlushPace(2);
    flushes(pace, [1, 1, 1]);
    for (const start of [200, 300]) {
      const waits: number[] = [];
      for (const now of [start, start + 1]) {
        waits.push(pace.waitAt(now));
        pace.sent(now);
        pace.answered({ sentAt: now, now: now + 1 });
      }
      expect(Math.max(...waits)).toBeLessThanOrEqual(0);
      expect(pace.waitAt(start + 2)).toBe(2);
    }
  });

  it('takes a third of the time, however often it is asked', () => {
    const pace = new FlushPace(2);
    let taken = 0;
    for (let now = 100; now < 1_100; now += 0.25) {
      if (pace.waitAt(now) > 0) continue;
      pace.sent(now);
      pace.answered({ sentAt: now, now: now + 5 });
      now += 5;
      taken += 5;
    }
    expect(taken / 1_000).toBeCloseTo(1 / 3, 1);
  });

  it('is not held up by a single slow one, nor for long by a slow store', () => {
    expect(flushes(new FlushPace(2), [3, 3, 900])).toBe(6);
    expect(flushes(new FlushPace(2), [900, 900, 3_000])).toBe(50);
  });

  it('is held up no longer by commits that were made anyway', () => {
    const pace = new FlushPace(2);
    expect(
      flushes(
        pace,
        Array.from({ length: 100 }, () => 3),
      ),
    ).toBe(6);
  });

  it('is held up while a flush is on its way', () => {
    const pace = new FlushPace(2);
    flushes(pace, [5, 5]);
    pace.sent(200);
    expect(pace.waitAt(200)).toBe(10);
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
