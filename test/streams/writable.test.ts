import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/app/create-runtime.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import { currentFrame } from '../../src/runtime/context.ts';
import { step } from '../../src/runtime/step.ts';
import type { Store } from '../../src/runtime/store.ts';
import { shield, workflow } from '../../src/runtime/workflow.ts';
import type { Workflow } from '../../src/runtime/workflow.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { createStreamReader } from '../../src/streams/reader.ts';
import { getWritable } from '../../src/streams/writable.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { killable } from '../support/killable.ts';

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

type Runnable = Workflow<void>;

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

interface Death {
  /** From 1. */
  commit: number;
  when: 'before' | 'after';
}

function launch(workflows: Runnable[], store: Store = inner): Runtime {
  const runtime = createRuntime({ store, workflows, clock, logger: silent });
  runtimes.push(runtime);
  return runtime;
}

/** Starts the workflow in a process that dies as told (if it gets there), and ends it in another one. */
async function runThrough(definition: Runnable, death?: Death): Promise<{ died: boolean }> {
  let died = (): void => {};
  const killed = new Promise<'died'>((resolve) => {
    died = () => resolve('died');
  });
  const { store } = killable(inner, (commit) => {
    if (commit !== death?.commit) return 'go';
    died();
    return death.when === 'before' ? 'die before' : 'die after';
  });
  const run = await launch([definition], store).start(definition.name, { id: 'r' });
  const outcome = await Promise.race([run.result().then(() => 'ended'), killed]);
  if (outcome === 'ended') return { died: false };
  const result = launch([definition]).getRun('r').result();
  await clock.advance(20_000);
  await result;
  return { died: true };
}

async function written(stream = 'default'): Promise<unknown[]> {
  const chunks: unknown[] = [];
  for await (const { chunk } of createStreamReader({ store: inner, clock }).chunks({ run: 'r', stream, follow: false }))
    chunks.push(chunk);
  return chunks;
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
    expect(await written()).toEqual(whole);
  });

  it('is there once although the process dies before or after any commit', async () => {
    let deaths = 0;
    for (const when of ['before', 'after'] as const) {
      for (let commit = 1; ; commit += 1) {
        inner = memoryStore({ clock });
        const { died } = await runThrough(progress, { commit, when });
        expect(await written(), `death ${when} commit ${commit}`).toEqual(whole);
        if (!died) break;
        deaths += 1;
      }
    }
    expect(deaths).toBeGreaterThan(6);
  });

  it('is an event of the journal each, and nothing is skipped in a first execution', async () => {
    const runtime = launch([progress]);
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
    const runtime = launch([flaky]);
    const run = await runtime.start('flaky', { id: 'r' });
    const result = run.result();
    await clock.advance(60_000);
    await result;
    expect(await written('log')).toEqual([{ attempt: 1 }, { attempt: 2 }]);
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
      inner = memoryStore({ clock });
      const { died } = await runThrough(large, { commit, when: 'after' });
      const seen = new Set((await written()).map((chunk) => String(chunk)[0]));
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
    expect(await written('file')).toEqual([new Uint8Array([1, 2, 3])]);
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
    expect(await written('log')).toEqual([]);
    expect(await written()).toEqual(['written', 'kept']);
  });
});

describe('a writable', () => {
  async function failureOf(body: () => Promise<unknown>): Promise<unknown> {
    const runtime = launch([workflow('failing', body)]);
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
    const runtime = launch([closing]);
    const run = await runtime.start('closing', { id: 'r' });
    const read = [];
    for await (const chunk of run.stream()) read.push(chunk);
    expect(read).toEqual(['last']);
    expect(await run.status).toBe('running');
    release();
    await run.result();
  });

  it('says where it can be used, and wants a name', async () => {
    expect(() => getWritable()).toThrow(expect.objectContaining({ code: 'outside_run' }));
    expect(await failureOf(async () => getWritable({ namespace: '' }))).toMatchObject({ code: 'invalid_argument' });
  });
});
