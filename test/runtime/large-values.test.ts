import { randomBytes } from 'node:crypto';
import { child, createHook, getWritable, step, workflow } from 'everturn';
import type { Workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createTestRuntime, manualClock } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { decodeReference, isReference } from '../../src/runtime/reference.ts';
import type { Commit, Store } from '../../src/runtime/store.ts';

const MB = 1_048_576;

/** Text that has nothing in common with any other: what is stored twice is seen. */
function textOf(bytes: number): string {
  return randomBytes((bytes / 4) * 3).toString('base64');
}

const image = textOf(2 * MB);
/** Around what is the same in two values there are parts that are not. */
const EDGES = 700_000;

interface Counted {
  clock: ReturnType<typeof manualClock>;
  store: Store;
  /** Bytes of all parts that were put, each part of an id once. */
  kept: () => number;
  /** How many parts were asked for. */
  asked: () => number;
  /** Puts the parts of an id aside; the answer brings them back. */
  lose: () => () => void;
}

/** A memory store of which is known what parts it has. */
function countedStore(): Counted {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const { putParts, getParts } = store;
  const kept = new Map<string, number>();
  let asked = 0;
  let areLost = false;
  store.putParts = async (id, parts) => {
    for (const { hash, bytes } of parts) kept.set(`${id} ${hash}`, bytes.length);
    return putParts(id, parts);
  };
  store.getParts = async (id, hashes) => {
    asked += hashes.length;
    return areLost ? hashes.map(() => null) : getParts(id, hashes);
  };
  return {
    clock,
    store,
    kept: () => [...kept.values()].reduce((sum, bytes) => sum + bytes, 0),
    asked: () => asked,
    lose: () => {
      areLost = true;
      return () => {
        areLost = false;
      };
    },
  };
}

let runtime: TestRuntime;
afterEach(() => runtime.close());

function launch(...workflows: Array<Workflow<never>>): Counted {
  const counted = countedStore();
  runtime = createTestRuntime({ workflows, store: counted.store, clock: counted.clock, patienceMs: 10_000 });
  return counted;
}

let calls = 0;
const loads = workflow('loads', async () => {
  calls = 0;
  const found = await step('load', () => {
    calls += 1;
    return { image };
  });
  await createHook({ token: 'go' });
  return found.image === image;
});

describe('a large result of a step', () => {
  it('is recorded out of line, and replayed', async () => {
    const { store, kept } = launch(loads);
    const run = await runtime.start(loads);
    await runtime.until(run, 'waiting');
    const { events = [] } = (await store.load(run.id, 0)) ?? {};
    expect(Math.max(...events.map(({ length }) => length))).toBeLessThan(4_000);
    expect(Math.abs(kept() - image.length)).toBeLessThan(1_000);
    await runtime.restart();
    await runtime.resumeHook('go');
    expect(await run.result()).toBe(true);
    expect(calls).toBe(0);
  });

  it('is not loaded until the code asks for it', async () => {
    const idle = workflow('idle', async () => {
      await step('load', () => image);
      await createHook({ token: 'one' });
      await createHook({ token: 'two' });
    });
    const { asked } = launch(idle);
    const run = await runtime.start(idle);
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('one');
    await runtime.until(run, 'waiting');
    expect(asked()).toBe(0);
    await runtime.restart();
    await runtime.resumeHook('two');
    await run.result();
    expect(asked()).toBeGreaterThan(0);
  });

  it('that was put and not committed is put once more by the next process, and goes with the run', async () => {
    const { store, kept, clock } = launch(loads);
    runtime.crashBeforeCommit(1);
    const run = await runtime.start(loads, { id: 'run_1' });
    await runtime.crashed();
    expect(kept()).toBeGreaterThan(MB);
    const before = kept();
    await runtime.restart();
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('go');
    expect(await run.result()).toBe(true);
    expect(kept()).toBe(before);
    const hashes = await hashesOf(store, run.id);
    expect(await store.getParts(run.id, hashes)).not.toContain(null);
    await clock.advance('1 minute');
    await runtime.gc({ olderThanMs: 0 });
    expect((await store.getParts(run.id, hashes)).every((part) => part === null)).toBe(true);
  });

  it('whose parts are missing parks its run with the reason, and the run goes on when they are back', async () => {
    const { lose } = launch(loads);
    const run = await runtime.start(loads);
    await runtime.until(run, 'waiting');
    const restore = lose();
    await runtime.restart();
    await runtime.resumeHook('go');
    const { parked } = await runtime.until(run, 'parked');
    expect(parked).toMatchObject({
      code: 'value_corrupt',
      details: { message: expect.stringMatching(/part is missing/) },
    });
    restore();
    await runtime.resume(run.id);
    expect(await run.result()).toBe(true);
  });
});

async function chunksOf(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const chunks: unknown[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

/** Of the parts that the run's first large event names. */
async function hashesOf(store: Store, run: string): Promise<string[]> {
  const { events = [] } = (await store.load(run, 0)) ?? {};
  return events.filter(isReference).flatMap((event) => decodeReference(event).parts.map(({ hash }) => hash));
}

describe('a large value', () => {
  it('comes in by a start, a hook and a child, and out as a result', async () => {
    const echo = workflow('echo', async (given: string) => given);
    const parent = workflow('parent', async (given: string) => {
      const told = await createHook<string>({ token: 'tell' });
      const made = await child(echo, told);
      return [given === image, made === `${image}!`, made] as const;
    });
    launch(parent, echo);
    const run = await runtime.start(parent, { input: image });
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('tell', `${image}!`);
    expect(await run.result()).toEqual([true, true, `${image}!`]);
    expect((await run.info()).input).toBe(image);
  });

  it('that stands in several values of a run is stored once', async () => {
    const flow = workflow('flow', async (given: { image: string }) => {
      await step('copy', () => ({ found: given.image, at: 1 }));
      await step('show', async () => {
        await getWritable().getWriter().write({ type: 'file', url: given.image });
      });
      return { last: given.image };
    });
    const { kept } = launch(flow);
    const run = await runtime.start(flow, { input: { image } });
    expect(await run.result()).toEqual({ last: image });
    expect(kept()).toBeGreaterThan(image.length);
    expect(kept()).toBeLessThan(image.length + 3 * EDGES);
  });

  it('is a chunk like any other for who reads the stream', async () => {
    const flow = workflow('flow', async () => {
      await step('write', async () => {
        const writer = getWritable().getWriter();
        for (const chunk of ['first', { image }, new Uint8Array(MB).fill(7), 'last']) await writer.write(chunk);
      });
    });
    launch(flow);
    const run = await runtime.start(flow);
    await run.result();
    const whole = await chunksOf(run.stream());
    expect(whole).toEqual(['first', { image }, new Uint8Array(MB).fill(7), 'last']);
    expect(await chunksOf(run.stream({ from: 1 }))).toEqual(whole.slice(1));
    expect(await chunksOf(run.stream({ from: -1 }))).toEqual(['last']);
  });

  it('stands in a list of runs as an error that says how it is read', async () => {
    const echo = workflow('echo', async (given: string) => given);
    launch(echo);
    const run = await runtime.start(echo, { input: image });
    await run.result();
    const [row] = (await runtime.list()).items;
    expect(row?.input).toMatchObject({
      code: 'value_not_loaded',
      message: expect.stringMatching(/getRun\(id\)\.info/),
    });
    const [event] = await run.events();
    expect(event).toMatchObject({ type: 'run_completed' });
  });

  it('that a refused start has brought is gone an hour later', async () => {
    const waits = workflow('waits', async (given: string) => [given, await createHook({ token: 'never' })]);
    const { store, clock, kept } = launch(waits);
    await runtime.until(await runtime.start(waits, { input: 'first', thread: 't' }), 'waiting');
    const put: string[] = [];
    const { putParts } = store;
    store.putParts = async (id, parts) => {
      put.push(...parts.map(({ hash }) => hash));
      return putParts(id, parts);
    };
    const refused = runtime.start(waits, { id: 'second', thread: 't', input: image });
    await expect(refused).rejects.toMatchObject({ code: 'thread_busy' });
    expect(kept()).toBeGreaterThan(MB);
    expect(await store.getParts('second', put)).not.toContain(null);
    await clock.advance('61 minutes');
    await runtime.gc({ olderThanMs: 0 });
    expect((await store.getParts('second', put)).every((part) => part === null)).toBe(true);
  });
});

describe('while a large value is stored', () => {
  it('the lease goes on, and other runs do', async () => {
    const quick = workflow('quick', async () => step('work', () => 'done'));
    const clock = manualClock();
    const store = memoryStore({ clock });
    const { putParts, commit } = store;
    const gates: Array<() => void> = [];
    store.putParts = async (id, parts) => {
      await new Promise<void>((resolve) => gates.push(resolve));
      return putParts(id, parts);
    };
    const heartbeats: Commit[] = [];
    store.commit = async (batch) => {
      heartbeats.push(...batch.filter(({ then, run }) => run === 'large' && then.kind === 'run' && then.heartbeat));
      return commit(batch);
    };
    runtime = createTestRuntime({
      workflows: [loads, quick],
      store,
      clock,
      worker: { storeTimeoutMs: 3_600_000 * 48 },
    });
    const run = await runtime.start(loads, { id: 'large' });
    while (gates.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(await (await runtime.start(quick)).result()).toBe('done');
    await clock.advance('5 hours');
    expect(heartbeats.length).toBeGreaterThan(3);
    store.putParts = putParts;
    for (const open of gates.splice(0)) open();
    await runtime.until(run, 'waiting');
    expect((await run.info()).epoch).toBe(1);
  });

  it('a store that is away is asked again', async () => {
    const { store } = launch(loads);
    const { putParts } = store;
    let failures = 0;
    store.putParts = async (id, parts) => {
      failures += 1;
      if (failures < 3) throw new Error('the network is down');
      return putParts(id, parts);
    };
    const run = await runtime.start(loads);
    await vi.waitFor(async () => {
      await runtime.clock.advance('1 second');
      expect(failures).toBeGreaterThanOrEqual(3);
    });
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('go');
    expect(await run.result()).toBe(true);
    expect(calls).toBe(1);
  });
});
