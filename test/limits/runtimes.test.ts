import { createHook, createRuntime, DurableAgent, step, workflow } from 'everturn';
import type { LimitOptions, Runtime, RuntimeOptions } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { processes } from '../runtime/support.ts';
import { storeFolder } from '../stores/sqlite-file.ts';
import { expectSilentConsole } from '../support/silent-console.ts';

expectSilentConsole();

let folder: ReturnType<typeof storeFolder>;
let runtimes: Runtime[];

beforeEach(() => {
  folder = storeFolder();
  runtimes = [];
});

afterEach(async () => {
  for (const runtime of runtimes) await runtime.close({ graceMs: 0 });
  folder.remove();
});

function open(options: Omit<RuntimeOptions, 'store'>): Runtime {
  const runtime = createRuntime({ ...options, store: sqliteStore({ path: folder.path, synchronous: 'normal' }) });
  runtimes.push(runtime);
  return runtime;
}

/** Counts the bodies that are open at once, by key. */
function counter() {
  const open = new Map<string, number>();
  const most = new Map<string, number>();
  const ends: string[] = [];
  const body = async (key: string): Promise<void> => {
    const now = (open.get(key) ?? 0) + 1;
    open.set(key, now);
    most.set(key, Math.max(now, most.get(key) ?? 0));
    await new Promise((resolve) => setImmediate(resolve));
    open.set(key, (open.get(key) ?? 0) - 1);
    ends.push(key);
  };
  return { body, most, ends };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('limits of runs on one SQLite file', () => {
  it('50 runs of one key with a limit of 3 never have more than 3 bodies open in two runtimes, and all end', async () => {
    const { body, most, ends } = counter();
    const order = (): ReturnType<typeof workflow<{ customer: string; n: number }>> =>
      workflow(
        'order',
        async ({ customer }: { customer: string; n: number }) => {
          await step('one', () => body(customer));
          await step('two', () => body(customer));
        },
        { concurrency: { limit: 3, key: ({ customer }) => customer } },
      );
    const first = open({ workflows: [order()] });
    const second = open({ workflows: [order()] });
    const started = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        (n % 2 === 0 ? first : second).start('order', { id: `run_${n}`, input: { customer: 'ann', n } }),
      ),
    );
    await Promise.all(started.map((run) => run.result()));
    expect([most.get('ann'), ends.length]).toEqual([3, 100]);
  }, 60_000);

  it('a tenant with 1,000 runs does not keep one with 5 waiting', async () => {
    const { body, most, ends } = counter();
    const job = workflow('job', async (tenant: string) => step('work', () => body(tenant)));
    const starter = open({ workflows: [job], worker: false, limits: { perTenant: 2 } });
    const start = (tenant: string, count: number): Promise<unknown> =>
      Promise.all(
        Array.from({ length: count }, (_, n) => starter.start(job, { id: `${tenant}_${n}`, input: tenant, tenant })),
      );
    await start('big', 1_000);
    await start('small', 5);
    const worker = open({ workflows: [job], worker: { concurrency: 4 }, limits: { perTenant: 2 } });
    await Promise.all(Array.from({ length: 5 }, (_, n) => worker.getRun(`small_${n}`).result()));
    expect(ends.filter((tenant) => tenant === 'big').length).toBeLessThan(100);
    await until(async () => (await worker.list({ status: ['ready', 'running'], limit: 1 })).items.length === 0);
    expect([most.get('big'), most.get('small'), ends.length]).toEqual([2, 2, 1_005]);
  }, 60_000);

  it('a run that is blocked says by what', async () => {
    const gate = Promise.withResolvers<void>();
    const slow = workflow('slow', async () => step('wait', () => gate.promise), { concurrency: { limit: 1 } });
    const runtime = open({ workflows: [slow] });
    const first = await runtime.start(slow, { id: 'first' });
    await until(async () => (await first.status) === 'running');
    const second = await runtime.start(slow, { id: 'second' });
    const key = 'concurrency:slow';
    expect(await second.info()).toMatchObject({ status: 'ready', blockedBy: key, limits: [{ key, most: 1 }] });
    expect((await runtime.list()).items.map(({ blockedBy }) => blockedBy)).toEqual([key, null]);
    gate.resolve();
    await second.result();
    expect((await second.info()).blockedBy).toBeNull();
  });

  it('a run that waits leaves its slot to others', async () => {
    const gate = Promise.withResolvers<string>();
    const ask = workflow(
      'ask',
      async (waits: boolean) => {
        if (!waits) return 'went';
        const hook = createHook<string>();
        gate.resolve(hook.token);
        return hook;
      },
      { concurrency: { limit: 1 } },
    );
    const runtime = open({ workflows: [ask] });
    const waiting = await runtime.start(ask, { input: true });
    const token = await gate.promise;
    await until(async () => (await waiting.status) === 'waiting');
    expect(await (await runtime.start(ask, { input: false })).result()).toBe('went');
    await runtime.resumeHook(token, 'answer');
    expect(await waiting.result()).toBe('answer');
  });

  it('an agent has limits too, by what its runs are', async () => {
    const model = scriptedModel([{ text: 'hello' }]);
    const agent = new DurableAgent({
      model,
      durable: { limits: { concurrency: { limit: 2, key: (_input, { thread }) => thread ?? 'none' } } },
    });
    const runtime = open({ agents: { support: agent }, limits: { perTenant: 7 } });
    const run = await runtime.start(agent, { prompt: 'hi', thread: 't', tenant: 'acme' });
    await run.result();
    expect((await run.info()).limits).toEqual([
      { key: 'concurrency:support:t', most: 2 },
      { key: 'tenant:acme', most: 7 },
    ]);
  });
});

describe('a rate', () => {
  it('lets so many runs begin in a window, and the worker comes back when it has ended', async () => {
    const { clock, open: openHere, settle } = processes();
    let begun = 0;
    const tick = workflow('tick', async () => step('note', () => void (begun += 1)), { rate: { limit: 2, per: '1m' } });
    const runtime = openHere({ workflows: [tick], worker: { pollMs: 3_600_000 } });
    for (let n = 0; n < 5; n += 1) await runtime.start(tick, { id: `tick_${n}` });
    const counts: number[] = [];
    for (let window = 0; window < 3; window += 1) {
      await settle();
      counts.push(begun);
      await clock.advance(59_999);
      await settle();
      counts.push(begun);
      await clock.advance(1);
    }
    expect(counts).toEqual([2, 2, 4, 4, 5, 5]);
  });
});

describe('limits that make no sense', () => {
  const define = (options: LimitOptions<string>): unknown => workflow('w', async (_input: string) => {}, options);
  it.each<[string, LimitOptions<string>, RegExp]>([
    ['no number', { concurrency: { limit: 0 } }, /workflow\("w"\)\.concurrency\.limit: 0 is no number of runs/],
    ['half a run', { rate: { limit: 1.5, per: '1m' } }, /rate\.limit: 1.5/],
    ['no time', { rate: { limit: 1, per: 0 } }, /rate\.per: it is 0/],
    ['an unknown unit', { rate: { limit: 1, per: '1 fortnight' } }, /duration/],
    ['a key that is none', { concurrency: { limit: 1, key: 'customer' as never } }, /key: it is no function/],
  ])('are refused when they are defined: %s', (_name, options, message) => {
    expect(() => define(options)).toThrow(message);
  });

  it('are refused when the runtime is created', () => {
    expect(() => open({ limits: { perTenant: -1 } })).toThrow(/limits\.perTenant: -1 is no number of runs/);
  });

  it('are refused when a key answers no text', async () => {
    const odd = workflow('odd', async (_input: string) => {}, { concurrency: { limit: 1, key: (input) => input } });
    const runtime = open({ workflows: [odd] });
    await expect(runtime.start(odd, { input: '' })).rejects.toThrow(
      /the key of its concurrency is a text of 0 characters/,
    );
  });
});
