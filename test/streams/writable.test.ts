import { describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/app/create-runtime.ts';
import { currentFrame } from '../../src/runtime/context.ts';
import { step } from '../../src/runtime/step.ts';
import { shield, workflow } from '../../src/runtime/workflow.ts';
import type { Workflow } from '../../src/runtime/workflow.ts';
import { getWritable } from '../../src/streams/writable.ts';
import { useLives } from './lives.ts';
import { killable } from '../support/killable.ts';

type Runnable = Workflow<void>;

const lives = useLives();

interface Death {
  /** From 1. */
  commit: number;
  when: 'before' | 'after';
}

/** Starts the workflow in a process that dies as told (if it gets there), and ends it in another one. */
async function runThrough(
  definition: Runnable,
  death?: Death,
  { failing = false }: { failing?: boolean } = {},
): Promise<{ died: boolean }> {
  let died = (): void => {};
  const killed = new Promise<'died'>((resolve) => {
    died = () => resolve('died');
  });
  const { store } = killable(lives.inner, (commit) => {
    if (commit !== death?.commit) return 'go';
    died();
    return death.when === 'before' ? 'die before' : 'die after';
  });
  const run = await lives.launch([definition], { store }).start(definition.name, { id: 'r' });
  const settled = Promise.race([run.result().then(() => 'ended'), killed]);
  const outcome = failing ? await lives.passingTime(settled) : await settled;
  if (outcome === 'ended') return { died: false };
  const result = lives.launch([definition]).getRun('r').result();
  await lives.clock.advance(20_000);
  await result;
  return { died: true };
}

describe("what a workflow's own code writes", () => {
  const progress = workflow('progress', async () => {
    const writer = getWritable<string>().getWriter();
    await writer.write('one');
    await step('a', () => 1);
    await writer.write('two');
    await writer.write('three');
    await Promise.all([step('b', () => 2), writer.write('four')]);
    await shield(async () => {
      const other = getWritable<string>().getWriter();
      await other.write('five');
      other.releaseLock();
    });
    await step('c', () => 3);
    await writer.write('six');
    await writer.close();
  });
  const whole = ['one', 'two', 'three', 'four', 'five', 'six'];

  it('is in the stream once, in order', async () => {
    await runThrough(progress);
    expect(await lives.written()).toEqual(whole);
  });

  it('is there once although the process dies before or after any commit', async () => {
    let deaths = 0;
    for (const when of ['before', 'after'] as const) {
      for (let commit = 1; ; commit += 1) {
        lives.reset();
        const { died } = await runThrough(progress, { commit, when });
        expect(await lives.written(), `death ${when} commit ${commit}`).toEqual(whole);
        if (!died) break;
        deaths += 1;
      }
    }
    expect(deaths).toBeGreaterThan(6);
  });

  it('is an event of the journal each, and nothing is skipped in a first execution', async () => {
    const runtime = lives.launch([progress]);
    const run = await runtime.start('progress', { id: 'r' });
    await run.result();
    const facts = (await run.events()).filter((event) => event.type === 'chunk_written');
    expect(facts.map((event) => event.key)).toEqual([
      'writable:default',
      'writable:default',
      'writable:default',
      'writable:default',
      'shield/writable:default',
      'writable:default',
    ]);
  });
});

describe('what a step writes', () => {
  it('is in the stream once per attempt, and never missing when the step is recorded', async () => {
    let attempts = 0;
    const flaky = workflow('flaky', async () => {
      await step('write', async () => {
        attempts += 1;
        const writer = getWritable({ namespace: 'log' }).getWriter();
        await writer.write({ attempt: attempts });
        if (attempts === 1) throw new Error('again');
      });
    });
    const runtime = lives.launch([flaky]);
    const run = await runtime.start('flaky', { id: 'r' });
    const result = run.result();
    await lives.clock.advance(60_000);
    await result;
    expect(await lives.written('log')).toEqual([{ attempt: 1 }, { attempt: 2 }]);
  });

  it('is committed with its completion or before, however much it is', async () => {
    const page = 'x'.repeat(100_000);
    const large = workflow('large', async () => {
      await step('write', async () => {
        const writer = getWritable().getWriter();
        for (let n = 0; n < 9; n += 1) await writer.write(`${n}${page}`);
      });
      await step('after', () => 1);
    });
    for (let commit = 1; ; commit += 1) {
      lives.reset();
      const { died } = await runThrough(large, { commit, when: 'after' });
      const seen = new Set((await lives.written()).map((chunk) => String(chunk)[0]));
      expect(seen.size, `death after commit ${commit}`).toBe(9);
      if (!died) break;
    }
  });

  it('keeps bytes as bytes', async () => {
    const bytes = workflow('bytes', () =>
      step('write', async () => {
        await new Blob([new Uint8Array([1, 2, 3])]).stream().pipeTo(getWritable({ namespace: 'file' }));
      }),
    );
    await runThrough(bytes);
    expect(await lives.written('file')).toEqual([new Uint8Array([1, 2, 3])]);
  });
});

describe("what a step writes with commit: 'end'", () => {
  it('is there once, however often the process dies and the step fails', async () => {
    let deaths = 0;
    for (const when of ['before', 'after'] as const) {
      for (let commit = 1; ; commit += 1) {
        lives.reset();
        let attempts = 0;
        const careful = workflow('careful', async () => {
          await step('first', () => 1);
          await step('write', async () => {
            attempts += 1;
            const late = getWritable<string>({ namespace: 'log', commit: 'end' }).getWriter();
            const soon = getWritable<string>({ namespace: 'soon' }).getWriter();
            await late.write('one');
            await soon.write('seen');
            await late.write('two');
            if (attempts === 1) throw new Error('again');
          });
          await step('last', () => 2);
        });
        const { died } = await runThrough(careful, { commit, when }, { failing: true });
        expect(await lives.written('log'), `death ${when} commit ${commit}`).toEqual(['one', 'two']);
        expect(await lives.written('soon')).toContain('seen');
        if (!died) break;
        deaths += 1;
      }
    }
    expect(deaths).toBeGreaterThan(4);
  }, 30_000);

  it('closes its stream with its completion', async () => {
    const closing = workflow('closing', async () => {
      await step('write', async () => {
        const writer = getWritable<string>({ namespace: 'log', commit: 'end' }).getWriter();
        await writer.write('only');
        await writer.close();
      });
    });
    await runThrough(closing);
    expect(await lives.written('log')).toEqual(['only']);
  });

  it('is refused when it is more than fits into memory', async () => {
    let failure: unknown;
    const large = workflow('large', async () => {
      await step('write', async () => {
        const writer = getWritable<string>({ commit: 'end' }).getWriter();
        await writer.write('x'.repeat(600_000));
        failure = await writer.write('x'.repeat(600_000)).catch((error: unknown) => error);
      });
    });
    await runThrough(large);
    expect(failure).toMatchObject({ code: 'value_too_large' });
  });
});

describe("a step's end", () => {
  it('commits what the step wrote and did not await', async () => {
    const hasty = workflow('hasty', async () => {
      await step('write', () => {
        const writer = getWritable<number>().getWriter();
        for (let n = 0; n < 50; n += 1) void writer.write(n);
      });
    });
    for (let commit = 1; ; commit += 1) {
      lives.reset();
      const { died } = await runThrough(hasty, { commit, when: 'after' });
      expect((await lives.written()).slice(-50)).toEqual(Array.from({ length: 50 }, (_, n) => n));
      if (!died) break;
    }
  });

  it('does not wait for what a writable that failed or was closed will never take', async () => {
    const failing = workflow('failing', async () => {
      await step('write', () => {
        const failed = getWritable({ namespace: 'failed' }).getWriter();
        const closed = getWritable({ namespace: 'closed' }).getWriter();
        const ignore = (): void => {};
        for (const value of [1, new Map(), 3, 4]) failed.write(value).catch(ignore);
        closed.write(1).catch(ignore);
        closed.close().catch(ignore);
        closed.write(2).catch(ignore);
        failed.closed.catch(ignore);
        closed.closed.catch(ignore);
      });
    });
    await runThrough(failing);
    expect(await lives.written('failed')).toEqual([1]);
    expect(await lives.written('closed')).toEqual([1]);
  });

  it('ends its writables: a later write says so', async () => {
    let late: unknown;
    const leaking = workflow('leaking', async () => {
      const writer = await step('open', () => {
        const opened = getWritable<string>().getWriter();
        return opened.write('in time').then(() => {
          late = opened;
          return 1;
        });
      });
      await step('next', () => writer);
      late = await (late as WritableStreamDefaultWriter<string>).write('late').catch((error: unknown) => error);
    });
    await runThrough(leaking);
    expect(late).toMatchObject({ code: 'stream_closed', details: { stream: 'default', key: 'open' } });
    expect(String(late)).toContain('has ended');
    expect(await lives.written()).toEqual(['in time']);
  });

  it('holds no lock: another step writes to the same stream, whatever was left open', async () => {
    const open = workflow('open', async () => {
      await step('a', () => getWritable<string>().getWriter().write('a'));
      await step('b', () => getWritable<string>().getWriter().write('b'));
    });
    await runThrough(open);
    expect(await lives.written()).toEqual(['a', 'b']);
  });
});

describe('a writable that a workflow opened', () => {
  const shared = workflow('shared', async () => {
    const writable = getWritable<string>();
    const write = async (text: string): Promise<void> => {
      const writer = writable.getWriter();
      await writer.write(text);
      writer.releaseLock();
    };
    await write('own 1');
    await step('a', () => write('step a'));
    await write('own 2');
    await step('b', () =>
      new Blob(['x']).stream().pipeThrough(named('step b')).pipeTo(writable, { preventClose: true }),
    );
    await write('own 3');
  });

  function named(text: string): TransformStream<Uint8Array, string> {
    return new TransformStream({ transform: (_, controller) => controller.enqueue(text) });
  }

  it('takes what its steps write as theirs: nothing is missing or doubled on replay', async () => {
    for (const when of ['before', 'after'] as const) {
      for (let commit = 1; ; commit += 1) {
        lives.reset();
        const { died } = await runThrough(shared, { commit, when });
        const chunks = await lives.written();
        expect(chunks.filter((chunk, index) => chunk !== chunks[index - 1])).toEqual([
          'own 1',
          'step a',
          'own 2',
          'step b',
          'own 3',
        ]);
        expect(chunks.filter((chunk) => String(chunk).startsWith('own'))).toEqual(['own 1', 'own 2', 'own 3']);
        if (!died) break;
      }
    }
  });
});

describe('a ReadableStream as the result of a step', () => {
  const source = (name: string, fails = false): ReadableStream<unknown> =>
    new ReadableStream({
      start(controller) {
        for (const chunk of [{ name, n: 1 }, { name, n: 2 }, new Uint8Array([3])]) controller.enqueue(chunk);
        if (fails) controller.error(new Error('cut'));
        else controller.close();
      },
    });

  it('is stored, and read by the workflow and by each attempt of its steps', async () => {
    for (const when of ['before', 'after'] as const) {
      for (let commit = 1; ; commit += 1) {
        lives.reset();
        let fetched = 0;
        let used = 0;
        const seen: unknown[] = [];
        const streaming = workflow('streaming', async () => {
          const fetchedStream = await step('fetch', () => {
            fetched += 1;
            return source(`fetch ${fetched}`, fetched === 1);
          });
          const [own] = await Promise.all([step('own', () => 1), read(fetchedStream)]);
          await step('use', async () => {
            used += 1;
            const chunks = [];
            for await (const chunk of fetchedStream) chunks.push(chunk);
            seen.push(chunks);
            if (used === 1) throw new Error('again');
          });
          return own;
        });
        const { died } = await runThrough(streaming, { commit, when }, { failing: true });
        for (const chunks of seen)
          expect(chunks).toEqual([
            { name: expect.stringMatching('fetch') as string, n: 1 },
            { name: expect.stringMatching('fetch') as string, n: 2 },
            new Uint8Array([3]),
          ]);
        expect(seen.length).toBeGreaterThan(1);
        expect(new Set(seen.slice(-2).map((chunks) => JSON.stringify(chunks))).size).toBe(1);
        if (!died) break;
      }
    }
  }, 30_000);

  async function read(stream: ReadableStream<unknown>): Promise<void> {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    await step(`read ${chunks.length}`, () => chunks.length);
  }

  it('can be read under its name from outside', async () => {
    const streaming = workflow('streaming', async () => {
      await step('fetch', () => source('it'));
    });
    await runThrough(streaming);
    expect(await lives.written('step:fetch')).toHaveLength(3);
  });
});

describe('chunks for a stream that an earlier process closed', () => {
  it('are dropped and hold nobody up', async () => {
    let flushed = 0;
    const closing = workflow('closing', async () => {
      await step('close', async () => {
        await getWritable({ namespace: 'log' }).getWriter().close();
        const late = getWritable().getWriter();
        await late.write('written');
        late.releaseLock();
      });
      await step('write', async () => {
        await getWritable({ namespace: 'log' })
          .getWriter()
          .write('late')
          .catch(() => {});
        await getWritable().getWriter().write('kept');
        await currentFrame.getStore()?.context.flush();
        flushed += 1;
      });
    });
    expect((await runThrough(closing, { commit: 1, when: 'after' })).died).toBe(true);
    expect(flushed).toBe(1);
    expect(await lives.written('log')).toEqual([]);
    expect(await lives.written()).toEqual(['written', 'kept']);
  });
});

describe('a writable', () => {
  async function failureOf(body: () => Promise<unknown>): Promise<unknown> {
    const runtime = lives.launch([workflow('failing', body)]);
    const run = await runtime.start('failing', { id: 'r' });
    const error: unknown = await run.result().catch((reason: unknown) => reason);
    return error instanceof Error ? error.cause : error;
  }

  it('refuses what is not JSON, with its path', async () => {
    expect(
      await failureOf(() =>
        getWritable()
          .getWriter()
          .write({ users: [new Map()] }),
      ),
    ).toMatchObject({
      code: 'value_not_serializable',
      details: { path: '.users[0]' },
    });
  });

  it('refuses a write after the stream was closed by another one', async () => {
    expect(
      await failureOf(async () => {
        const late = getWritable().getWriter();
        await getWritable().getWriter().close();
        await late.write('late');
      }),
    ).toMatchObject({ code: 'stream_closed' });
  });

  it('closes its stream for readers while the run goes on', async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const closing = workflow('closing', async () => {
      const writer = getWritable().getWriter();
      await writer.write('last');
      await writer.close();
      await step('slow', () => gate);
    });
    const runtime = lives.launch([closing]);
    const run = await runtime.start('closing', { id: 'r' });
    const read = [];
    for await (const chunk of run.stream()) read.push(chunk);
    expect(read).toEqual(['last']);
    expect(await run.status).toBe('running');
    release();
    await run.result();
  });

  it('keeps within the limits of the runtime for a chunk and for a stream', async () => {
    const failures: unknown[] = [];
    const filling = workflow('filling', async () => {
      await step('large', async () => {
        await getWritable({ namespace: 'large' })
          .getWriter()
          .write('x'.repeat(200))
          .catch((error: unknown) => failures.push(error));
        await getWritable({ namespace: 'large' }).getWriter().write('x'.repeat(90));
      });
      for (const name of ['a', 'b'])
        await step(name, async () => {
          const writer = getWritable().getWriter();
          for (let n = 0; n < 3; n += 1) await writer.write(n);
        }).catch((error: unknown) => failures.push(error));
    });
    const runtime = lives.launch([filling], { streams: { maxChunkBytes: 100, maxChunks: 5 } });
    const run = await runtime.start('filling', { id: 'r' });
    const result = run.result();
    await lives.clock.advance(120_000);
    await result;
    expect(failures).toMatchObject([
      { code: 'value_too_large', details: { stream: 'large', bytes: 202, limit: 100 } },
      { code: 'stream_full', details: { stream: 'default', limit: 5 } },
    ]);
    expect(await lives.written()).toEqual([0, 1, 2, 0, 1]);
  });

  it('wants whole numbers for its limits', () => {
    for (const streams of [{ maxChunks: -1 }, { maxChunkBytes: 1.5 }, { keep: { chunks: Number.NaN } }])
      expect(() => createRuntime({ store: lives.inner, streams })).toThrow(
        expect.objectContaining({ code: 'invalid_argument' }),
      );
  });

  it('is no result of a step', async () => {
    expect(await failureOf(() => step('open', () => getWritable(), { retries: 0 }))).toMatchObject({
      code: 'value_not_serializable',
    });
  });

  it('and its counterpart are no result of a workflow, which is told what to do', async () => {
    const written: unknown = await failureOf(async () => ({ log: getWritable() }));
    expect(written).toMatchObject({ code: 'value_not_serializable', details: { path: '.log' } });
    expect(String(written)).toContain('Return its namespace');
    lives.reset();
    const read: unknown = await failureOf(async () => new Blob(['x']).stream());
    expect(read).toMatchObject({ code: 'value_not_serializable', details: { path: '' } });
    expect(String(read)).toContain('pipeTo(getWritable({ namespace }))');
  });

  it('says where it can be used, and wants a name', async () => {
    expect(() => getWritable()).toThrow(expect.objectContaining({ code: 'outside_run' }));
    expect(await failureOf(async () => getWritable({ namespace: '' }))).toMatchObject({ code: 'invalid_argument' });
  });
});
