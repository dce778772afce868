/** What attempts of steps leave in streams: of those that time out, fail, close, or hold back what they write. */

import type { UIMessageChunk } from 'ai';
import { beforeEach, describe, expect, it } from 'vitest';
import type { StreamOptions } from '../../src/app/stream-options.ts';
import { step } from '../../src/runtime/step.ts';
import { workflow } from '../../src/runtime/workflow.ts';
import type { Workflow } from '../../src/runtime/workflow.ts';
import { writeUIMessageStream } from '../../src/streams/ui-message-stream.ts';
import { getWritable } from '../../src/streams/writable.ts';
import { useLives } from './lives.ts';
import { killable } from '../support/killable.ts';

const lives = useLives();

/** The run's result, or what it failed with, while time passes. */
async function outcomeOf(definition: Workflow<void>, streams: StreamOptions = {}): Promise<unknown> {
  const run = await lives.launch([definition], { streams }).start(definition.name, { id: 'r' });
  return lives.passingTime(run.result().catch((error: Error) => error.cause ?? error));
}

interface Gate {
  opened: Promise<void>;
  open: () => void;
}

function gate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

describe('an attempt that has timed out while its ReadableStream was read', () => {
  it('cancels its source, and adds nothing to what the next attempt records', async () => {
    const cancelled: unknown[] = [];
    const gates = [gate(), gate()];
    const begun = [gate(), gate()];
    let attempts = 0;
    const source = (attempt: number): ReadableStream<string> => {
      let n = 0;
      return new ReadableStream({
        async pull(controller) {
          begun[attempt]?.open();
          if (n > 0) await gates[attempt]?.opened;
          if (n < 3) controller.enqueue(`${attempt}:${n}`);
          else controller.close();
          n += 1;
        },
        cancel: (reason) => void cancelled.push(reason),
      });
    };
    const fetching = workflow('fetching', async () => {
      const fetched = await step('fetch', () => source(attempts++), { timeout: 1_000, retries: 1 });
      const chunks: string[] = [];
      for await (const chunk of fetched) chunks.push(chunk);
      return chunks;
    });
    const run = await lives.launch([fetching]).start(fetching, { id: 'r' });
    const result = run.result();
    await lives.passingTime(begun[1]?.opened ?? Promise.reject(new Error('no second attempt')));
    gates[0]?.open();
    await lives.clock.advance(100);
    gates[1]?.open();
    expect(await lives.passingTime(result)).toEqual(['1:0', '1:1', '1:2']);
    expect((await lives.written('step:fetch')).slice(-3)).toEqual(['1:0', '1:1', '1:2']);
    expect(cancelled).toMatchObject([{ code: 'step_timeout' }]);
  });
});

describe('names of streams', () => {
  it.each(['step:fetch', 'step:', '.', '..'])('cannot be "%s"', async (namespace) => {
    const opening = workflow('opening', async () => void getWritable({ namespace }));
    expect(await outcomeOf(opening)).toMatchObject({ code: 'invalid_argument', details: { namespace } });
    const answer = { toUIMessageStream: () => new ReadableStream<UIMessageChunk>() };
    await expect(writeUIMessageStream(answer, { namespace })).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

describe('a stream that a step closes', () => {
  let attempts: number;

  beforeEach(() => {
    attempts = 0;
  });

  const closing = (commit: 'soon' | 'end'): Workflow<void> =>
    workflow('closing', async () => {
      await step('write', async () => {
        attempts += 1;
        const writer = getWritable({ namespace: 'log', commit }).getWriter();
        await writer.write(attempts);
        await writer.close();
        await new Promise<void>((resolve) => lives.clock.schedule(resolve, 100));
        if (attempts === 1) throw new Error('again');
      });
      return attempts;
    });

  it.each(['soon', 'end'] as const)('is closed by the attempt that succeeds, with commit: "%s"', async (commit) => {
    expect(await outcomeOf(closing(commit))).toBe(2);
    expect(await lives.written('log')).toEqual(commit === 'end' ? [2] : [1, 2]);
  });

  it('is closed with the completion of the step, whatever the run does then', async () => {
    const hold = gate();
    const inside = gate();
    const slow = workflow('slow', async () => {
      await step('write', async () => {
        const writer = getWritable({ namespace: 'log' }).getWriter();
        await writer.write('only');
        void writer.close();
        inside.open();
        await hold.opened;
      });
      await step('after', () => new Promise(() => {}));
    });
    await lives.launch([slow]).start(slow, { id: 'r' });
    await inside.opened;
    await lives.clock.advance(1_000);
    expect(await lives.inner.read('r', 'log', { from: 0, maxBytes: 1_000 })).toMatchObject({ tail: 1, closed: false });
    hold.open();
    await lives.clock.advance(1_000);
    expect(await lives.inner.read('r', 'log', { from: 0, maxBytes: 1_000 })).toMatchObject({ tail: 1, closed: true });
  });

  it('has what every attempt wrote, and ends, wherever the process dies', async () => {
    for (let commit = 1; ; commit += 1) {
      lives.reset();
      attempts = 1;
      const definition = closing('soon');
      const death = gate();
      let died = false;
      const { store } = killable(lives.inner, (count) => {
        if (count !== commit) return 'go';
        died = true;
        death.open();
        return 'die after';
      });
      const first = await lives.launch([definition], { store }).start(definition, { id: 'r' });
      await lives.passingTime(Promise.race([first.result().catch(() => {}), death.opened]));
      if (died) await lives.passingTime(lives.launch([definition]).getRun('r').result());
      const chunks = await lives.written('log');
      expect(chunks.at(-1), `death after commit ${commit}`).toBe(attempts);
      expect(chunks).toHaveLength(attempts - 1);
      if (!died) break;
    }
  });

  it('takes what was held back for the end of the step, by whichever writable', async () => {
    const both = workflow('both', async () => {
      await step('write', async () => {
        const late = getWritable({ namespace: 'log', commit: 'end' }).getWriter();
        const soon = getWritable({ namespace: 'log' }).getWriter();
        await late.write('late');
        await soon.write('soon');
        await soon.close();
        await late.close();
      });
      return 'done';
    });
    expect(await outcomeOf(both)).toBe('done');
    expect(await lives.written('log')).toEqual(['soon', 'late']);
  });
});

describe('a writable that a workflow opened and a step closes', () => {
  it.each(['soon', 'end'] as const)('ends with what the step wrote, with commit: "%s"', async (commit) => {
    const handing = workflow('handing', async () => {
      const writable = getWritable({ namespace: 'log', commit });
      await step('write', async () => {
        const writer = writable.getWriter();
        for (const n of [1, 2]) await writer.write(n);
        await writer.close();
      });
      return 'done';
    });
    expect(await outcomeOf(handing)).toBe('done');
    expect(await lives.written('log')).toEqual([1, 2]);
    expect(await lives.inner.read('r', 'log', { from: 2, maxBytes: 10 })).toMatchObject({ closed: true });
  });

  it.each(['soon', 'end'] as const)(
    'takes all of a pipe as the work of the step, with commit: "%s"',
    async (commit) => {
      const piping = workflow('piping', async () => {
        const writable = getWritable({ namespace: 'log', commit });
        const start = (to: ReadableStreamDefaultController<number>): void => {
          for (const n of [1, 2, 3]) to.enqueue(n);
          to.close();
        };
        await step('pipe', () => new ReadableStream<number>({ start }).pipeTo(writable));
        return 'done';
      });
      expect(await outcomeOf(piping)).toBe('done');
      expect(await lives.written('log')).toEqual([1, 2, 3]);
      const events = await lives.launch([piping]).getRun('r').events();
      expect(events.map(({ type }) => type)).not.toContain('chunk_written');
    },
  );

  it('is closed by the workflow at once, although a step wrote to it before', async () => {
    const hold = gate();
    const handing = workflow('handing', async () => {
      const writer = getWritable({ namespace: 'log' }).getWriter();
      await step('write', () => writer.write(1));
      await writer.close();
      await step('after', () => hold.opened);
    });
    const run = await lives.launch([handing]).start(handing, { id: 'r' });
    await lives.clock.advance(1_000);
    expect(await lives.inner.read('r', 'log', { from: 0, maxBytes: 10 })).toMatchObject({ tail: 1, closed: true });
    hold.open();
    await lives.passingTime(run.result());
  });
});

describe("what a step holds back with commit: 'end'", () => {
  it('counts for the limit of its stream', async () => {
    const filling = workflow('filling', async () => {
      await step(
        'write',
        async () => {
          const writer = getWritable({ namespace: 'log', commit: 'end' }).getWriter();
          for (let n = 0; n < 20; n += 1) await writer.write(n);
        },
        { retries: 0 },
      );
    });
    expect(await outcomeOf(filling, { maxChunks: 5 })).toMatchObject({
      code: 'stream_full',
      details: { stream: 'log', chunks: 5, limit: 5 },
    });
    expect(await lives.written('log')).toEqual([]);
  });
});
