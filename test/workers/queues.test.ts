import { child, createHook, createRuntime, DurableAgent, sleep, step, workflow } from 'everturn';
import type { Runtime, RuntimeOptions } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { memoryStore } from 'everturn/memory';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collectLogs } from '../../src/testing/logs.ts';
import type { LogLine } from '../../src/testing/logs.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { processes } from '../runtime/support.ts';
import type { Logged } from '../runtime/support.ts';
import { storeFolder } from '../stores/sqlite-file.ts';
import { expectSilentConsole } from '../support/silent-console.ts';

type WorkerOptions = Exclude<RuntimeOptions['worker'], false | undefined>;

expectSilentConsole();

describe('two runtimes on one SQLite file, each with queues of its own', () => {
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

  /** Both know all; `ran` has the process of each step. */
  function openBoth(...[first, second]: [queues: string[], queues: string[]]) {
    const ran: string[] = [];
    const logs: LogLine[] = [];
    const open = (name: string, queues: string[]): Runtime => {
      const note = (what: string) => step('note', () => void ran.push(`${what} in ${name}`));
      const invoice = workflow('invoice', async (id: string) => {
        await note(`invoice ${id}`);
        return id;
      });
      const order = workflow('order', async (id: string) => {
        await note(`order ${id}`);
        const paid: string = await createHook<string>({ token: `paid_${id}` });
        await note(`order ${id}, ${paid}`);
        return child<string, string>(invoice, `of ${id}`);
      });
      const model = scriptedModel(() => {
        ran.push(`support in ${name}`);
        return { text: 'hello' };
      });
      const runtime = createRuntime({
        store: sqliteStore({ path: folder.path, synchronous: 'normal' }),
        workflows: [order, invoice],
        agents: { support: new DurableAgent({ model }) },
        worker: { queues },
        logger: collectLogs(logs),
      });
      runtimes.push(runtime);
      return runtime;
    };
    return { one: open('one', first), two: open('two', second), ran, logs };
  }

  it('execute each its own runs, whoever starts them, brings their messages, or starts them as children', async () => {
    const { one, two, ran, logs } = openBoth(['order', 'support'], ['invoice']);
    const [alone, chat, order] = await Promise.all([
      one.start('invoice', { id: 'alone', input: 'alone' }),
      two.start('support', { id: 'chat', prompt: 'hi' }),
      two.start('order', { id: 'order', input: 'a' }),
    ]);
    await Promise.all([alone.result(), chat.result()]);
    await expect.poll(() => order.status).toBe('waiting');
    await two.resumeHook('paid_a', 'paid');
    expect(await order.result()).toBe('of a');
    expect(ran.toSorted()).toEqual([
      'invoice alone in two',
      'invoice of a in two',
      'order a in one',
      'order a, paid in one',
      'support in one',
    ]);
    expect(logs.filter(({ level }) => level !== 'info')).toEqual([]);
  });

  it('leave what neither executes alone, until one comes that does', async () => {
    const { one, two, ran } = openBoth(['order'], ['support']);
    const waiting = await one.start('invoice', { input: 'x' });
    await (await two.start('support', { prompt: 'hi' })).result();
    expect(await waiting.info()).toMatchObject({ status: 'ready', epoch: 0, queue: 'invoice@1' });
    const { one: third } = openBoth(['invoice'], ['support']);
    expect(await third.getRun(waiting.id).result()).toBe('x');
    expect(ran).toEqual(['support in two']);
  });
});

describe('the queues of a worker', () => {
  const order = workflow('order', async () => createHook<string>());
  const at = workflow('order@home', async () => {});
  const support = new DurableAgent({ model: scriptedModel([]) });
  const create = (worker: WorkerOptions): Runtime => {
    const store = { ...memoryStore(), close: async () => {} };
    return createRuntime({ store, workflows: [order, at], agents: { support }, version: '2', worker });
  };
  /** What a worker asks the store for. */
  async function asked(queues: string[]): Promise<readonly string[]> {
    const inner = memoryStore();
    const first = Promise.withResolvers<readonly string[]>();
    const claim: typeof inner.claim = (request) => {
      first.resolve(request.queues);
      return inner.claim(request);
    };
    const options = { workflows: [order, at], agents: { support }, version: '2', worker: { queues } };
    const runtime = createRuntime({ store: { ...inner, claim }, ...options });
    try {
      return await first.promise;
    } finally {
      await runtime.close();
    }
  }

  it('are named as what is registered, as workflow and version, or as rows name them', async () => {
    expect(await asked(['order', 'support'])).toEqual(['order@2', 'support@*']);
    expect(await asked(['order@1', 'order', 'order@2'])).toEqual(['order@1', 'order@2']);
    expect(await asked(['order@home', 'support@*'])).toEqual(['order@home@2', 'support@*']);
  });

  it.each<[string, unknown, RegExp]>([
    [
      'a name that is not registered',
      ['order', 'ordr'],
      /"ordr" in worker\.queues: it is not registered here.*registered are: "support", "order", "order@home"/,
    ],
    [
      'a version of what follows the newest',
      ['support@2'],
      /"support@2" .*any version goes on with its runs\. Write "support"/,
    ],
    ['any version of what does not', ['order@*'], /"order@\*" .*it names no version\. Write "order", or "order@1"/],
    ['an empty list', [], /worker\.queues \[\]\..*worker: false/],
    ['a text', 'order', /worker\.queues "order"\. Write a list of names/],
    ['what is no name', [7], /with 7 in worker\.queues/],
  ])('are refused when the runtime is created: %s', (_, queues, message) => {
    expect(() => create({ queues: queues as string[] })).toThrow(message);
    expect(() => create({ queues: queues as string[] })).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });

  it('are not lost over a name that is spelled wrong', () => {
    expect(() => create({ queue: ['order'] } as WorkerOptions)).toThrow(/the option "worker\.queue": there is none/);
  });

  it('let a process go on with runs of a former version whose code has not changed', async () => {
    const site = processes();
    const asking = workflow('asking', async () => createHook<string>({ token: 'ask' }));
    const former = site.open({ workflows: [asking], version: '1' });
    await former.start(asking, { id: 'a' });
    await site.settle();
    former.kill();
    const heir = site.open({ workflows: [asking], version: '2', worker: { queues: ['asking', 'asking@1'] } });
    await heir.resumeHook('ask', 'answer');
    expect(await heir.getRun('a').result()).toBe('answer');
    expect(site.logs.filter(({ level }) => level === 'warn')).toEqual([]);
  });
});

describe('a run whose queue nobody serves', () => {
  const invoice = workflow('invoice', async () => 'billed');
  const nap = workflow('nap', async () => sleep('1m'));
  const taken = /no worker that executes invoice@1 takes it: start a process on this store/;

  const warnings = (logs: readonly Logged[]): Array<[fields: unknown, message: string]> =>
    logs.filter(({ level }) => level === 'warn').map(({ fields, message }) => [fields, message]);

  it.each<[string, Omit<RuntimeOptions, 'store'>]>([
    ['without a worker', { workflows: [invoice], worker: false }],
    ['whose worker has other queues', { workflows: [invoice, nap], worker: { queues: ['nap'] } }],
  ])('is told of by the process %s that started it, once for all of its queue', async (_, options) => {
    const { clock, open, settle, logs } = processes();
    const runtime = open(options);
    for (const id of ['a', 'b', 'c']) await runtime.start(invoice, { id });
    await clock.advance(9_999);
    await settle();
    expect(warnings(logs)).toEqual([]);
    await clock.advance(60_000);
    await settle();
    expect(warnings(logs)).toEqual([[{ run: 'a', queue: 'invoice@1' }, expect.stringMatching(taken)]]);
    await clock.advance(300_000);
    await runtime.start(invoice, { id: 'd' });
    await clock.advance(10_000);
    await settle();
    expect(warnings(logs).map(([fields]) => fields)).toMatchObject([{ run: 'a' }, { run: 'd' }]);
  });

  it.each<[string, (site: ReturnType<typeof processes>) => void]>([
    ['was taken', ({ open }) => open({ workflows: [invoice] })],
    [
      'was taken by a worker for it',
      ({ open }) => open({ workflows: [nap, invoice], worker: { queues: ['invoice'] } }),
    ],
  ])('is not told of if it %s', async (_, take) => {
    const site = processes();
    const starter = site.open({ workflows: [invoice], worker: false });
    await starter.start(invoice, { id: 'a' });
    take(site);
    await site.clock.advance(60_000);
    expect(await starter.getRun('a').result()).toBe('billed');
    expect(warnings(site.logs)).toEqual([]);
  });

  it('is not told of if a limit holds it up, which its row names', async () => {
    const { clock, open, settle, logs } = processes();
    const limited = workflow('limited', async () => step('never', () => new Promise<void>(() => {})), {
      concurrency: { limit: 1 },
    });
    open({ workflows: [limited] });
    const starter = open({ workflows: [limited], worker: false });
    await starter.start(limited, { id: 'a' });
    await clock.advance(1_000);
    await settle();
    const run = await starter.start(limited, { id: 'b' });
    await clock.advance(10_000);
    await settle();
    expect(warnings(logs)).toEqual([]);
    expect(await run.info()).toMatchObject({ blockedBy: 'concurrency:limited', waitsForWorker: null });
  });

  it('is not told of after the process was closed', async () => {
    const { clock, open, settle, logs } = processes();
    const starter = open({ workflows: [invoice], worker: false });
    await starter.start(invoice);
    await starter.close();
    await clock.advance(60_000);
    await settle();
    expect(warnings(logs)).toEqual([]);
  });

  it('cannot be looked at while the store is away, which is told', async () => {
    const { clock, open, settle, logs, inner } = processes();
    const starter = open({ workflows: [invoice], worker: false });
    await starter.start(invoice, { id: 'a' });
    const { get } = inner;
    inner.get = () => Promise.reject(new Error('away'));
    await clock.advance(10_000);
    await settle();
    inner.get = get;
    expect(warnings(logs)).toMatchObject([[{ run: 'a' }, 'it could not be seen whether a worker takes the run']]);
  });

  it('says so in its row once it has been due for 5 s, also where a sleep ended or a worker died', async () => {
    const { clock, open, settle } = processes();
    const worker = open({ workflows: [nap] });
    await worker.start(nap, { id: 'asleep' });
    const dead = open({ workflows: [workflow('stuck', async () => step('never', () => new Promise<void>(() => {})))] });
    await dead.start('stuck', { id: 'stuck' });
    await settle();
    worker.kill();
    dead.kill();
    const starter = open({ workflows: [invoice], worker: false });
    await starter.start(invoice, { id: 'started' });
    const waiting = async (): Promise<unknown> =>
      Object.fromEntries((await starter.list()).items.map(({ id, waitsForWorker }) => [id, waitsForWorker]));
    expect(await waiting()).toEqual({ asleep: null, stuck: null, started: null });
    await clock.advance(5_001);
    expect(await waiting()).toEqual({ asleep: null, stuck: null, started: 'invoice@1' });
    await clock.advance(15_000);
    expect(await waiting()).toEqual({ asleep: null, stuck: 'stuck@1', started: 'invoice@1' });
    await clock.advance(60_000);
    expect(await waiting()).toEqual({ asleep: 'nap@1', stuck: 'stuck@1', started: 'invoice@1' });
  });

  it('is counted by a worker with other queues when it opens', async () => {
    const { open, settle, logs } = processes();
    const starter = open({ workflows: [invoice], worker: false });
    await starter.start(invoice, { id: 'a' });
    await starter.start(invoice, { id: 'b' });
    open({ workflows: [invoice, nap], worker: { queues: ['nap'] } });
    await settle();
    expect(logs).toEqual([
      {
        level: 'info',
        fields: { queue: 'invoice@1', runs: 2, executes: ['nap@1'] },
        message: '2 open runs of invoice@1 can go on only in another process, by worker.queues',
      },
    ]);
  });
});
