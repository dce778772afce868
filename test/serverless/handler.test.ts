import { createRuntime, now, sleep, step, workflow } from 'everturn';
import type { Runtime, RuntimeOptions } from 'everturn';
import { createHandler, qstash, qstashDelivery, serve } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../src/runtime/clock.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { storeFolder } from '../stores/sqlite-file.ts';
import { fakeQstash, KEYS, signature, TOKEN } from './fake-qstash.ts';
import { silentLogger } from '../support/silent-logger.ts';

let folder: ReturnType<typeof storeFolder>;
let closing: Array<() => Promise<unknown>>;

beforeEach(() => {
  folder = storeFolder();
  closing = [];
});

afterEach(async () => {
  for (const close of closing.toReversed()) await close();
  folder.remove();
});

function open(options: Omit<RuntimeOptions, 'store'>): Runtime {
  const store = sqliteStore({
    path: folder.path,
    synchronous: 'normal',
    ...(options.clock && { clock: options.clock }),
  });
  const runtime = createRuntime({ logger: silentLogger, ...options, store });
  closing.push(() => runtime.close({ graceMs: 0 }));
  return runtime;
}

/** A function that executes runs when it is called over HTTP. */
async function listen(runtime: Runtime, options: { maxDurationMs: number; clock?: Clock }): Promise<string> {
  const handler = createHandler(runtime, { verify: qstash(KEYS), logger: silentLogger, ...options });
  const server = await serve({ fetch: (request: Request) => handler(request) }, { port: 0 });
  closing.push(() => server.close());
  return `${server.url}/drive`;
}

let calls = 0;

async function trigger(
  url: string,
  change: { signed?: string; body?: string; key?: string; id?: string; now?: number } = {},
): Promise<Response> {
  calls += 1;
  const body = change.body ?? '{}';
  const signed = await signature(change.signed ?? url, '{}', { now: Date.now(), id: `jwt_${calls}`, ...change });
  return fetch(url, { method: 'POST', headers: { 'upstash-signature': signed }, body });
}

describe('a handler', () => {
  it('executes in each call what its time allows, and the next call goes on from there', async () => {
    const steps = workflow('steps', async () => {
      const done: number[] = [];
      for (let n = 0; n < 10; n += 1)
        done.push(await step(`step ${n}`, () => new Promise<number>((resolve) => setTimeout(() => resolve(n), 60))));
      return done;
    });
    const front = open({ workflows: [steps], worker: false });
    const url = await listen(open({ workflows: [steps], worker: { background: false } }), { maxDurationMs: 600 });
    const run = await front.start(steps);
    const answers: unknown[] = [];
    while ((await run.status) !== 'completed') {
      const before = (await run.events()).length;
      const response = await trigger(url);
      answers.push(await response.json());
      expect((await run.events()).length).toBeGreaterThan(before);
    }
    expect(await run.result()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect((await run.events()).filter(({ type }) => type === 'step_completed')).toHaveLength(10);
    expect(answers.length).toBeGreaterThan(1);
    expect([answers[0], answers.at(-1)]).toEqual([{ nextDueInMs: 0 }, { nextDueInMs: null }]);
  }, 30_000);

  it('executes nothing between calls', async () => {
    let bodies = 0;
    const count = workflow('count', async () => step('count', () => void (bodies += 1)));
    const runtime = open({ workflows: [count], worker: { background: false, pollMs: 1 } });
    const run = await runtime.start(count);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([bodies, await run.status]).toEqual([0, 'ready']);
    await runtime.drive({ maxDurationMs: 1_000 });
    expect([bodies, await run.status]).toEqual([1, 'completed']);
  });

  it('takes the run that the same request starts', async () => {
    const hello = workflow('hello', async (name: string) => step('greet', () => `hello ${name}`));
    const runtime = open({ workflows: [hello], worker: { background: false } });
    const request = runtime.start(hello, { input: 'ann' }).then((run) => run.result());
    const drive = await runtime.drive({ maxDurationMs: 5_000, until: request });
    expect([await request, drive]).toEqual(['hello ann', { nextDueInMs: null }]);
  });

  it.each<[string, (url: string) => Promise<Response>]>([
    ['is not signed', (url) => fetch(url, { method: 'POST', body: '{}' })],
    ['has another body than was signed', (url) => trigger(url, { body: '{"run":"other"}' })],
    ['was signed for another URL', (url) => trigger(url, { signed: 'https://elsewhere.example/drive' })],
    ['was signed with another key', (url) => trigger(url, { key: 'sig_forged' })],
    ['was signed long ago', (url) => trigger(url, { now: Date.now() - 3_600_000 })],
    [
      'was used before',
      async (url) => {
        expect((await trigger(url, { id: 'same' })).status).toBe(200);
        return trigger(url, { id: 'same' });
      },
    ],
  ])('refuses a request that %s', async (_what, send) => {
    const url = await listen(open({ worker: { background: false } }), { maxDurationMs: 1_000 });
    const response = await send(url);
    expect([response.status, await response.json()]).toMatchObject([401, { error: { code: 'signature_invalid' } }]);
  });

  it('takes what is signed with the next key', async () => {
    const url = await listen(open({ worker: { background: false } }), { maxDurationMs: 1_000 });
    expect((await trigger(url, { key: KEYS.nextSigningKey })).status).toBe(200);
  });

  it('is refused for a runtime that polls, and without a verifier', async () => {
    await expect(open({}).drive({ maxDurationMs: 1_000 })).rejects.toThrow(/worker: \{ background: false \}/);
    expect(() => createHandler(open({}), { maxDurationMs: 1_000 } as never)).toThrow(/verifier/);
    expect(() => qstashDelivery({ token: '', url: 'https://shop.example' })).toThrow(/token/);
  });
});

describe('a sleep of days with QStash', () => {
  it('goes on at its time, without a poll and without a cron', async () => {
    const clock = manualClock();
    const qstashServer = await fakeQstash();
    closing.push(qstashServer.close);
    const nap = workflow('nap', async () => {
      const from = now();
      await sleep('3 days');
      return now() - from;
    });
    const urls: { drive?: string } = {};
    const onDue: RuntimeOptions['onDue'] = (due) =>
      qstashDelivery({ token: TOKEN, url: urls.drive ?? '', baseUrl: qstashServer.url })(due);
    const common = { workflows: [nap], clock, onDue, worker: { background: false } };
    const front = open(common);
    urls.drive = await listen(open(common), { maxDurationMs: 10_000, clock });
    const run = await front.start(nap, { id: 'nap_1' });
    const startedAt = clock.now();
    expect(await qstashServer.deliver(clock.now())).toBe(1);
    expect(await run.status).toBe('waiting');
    expect(qstashServer.waiting.map(({ notBefore }) => notBefore)).toEqual([Math.ceil(startedAt / 1_000) + 3 * 86_400]);
    await clock.advance('2 days');
    expect(await qstashServer.deliver(clock.now())).toBe(0);
    await clock.advance('1 day');
    expect(await qstashServer.deliver(clock.now())).toBe(1);
    expect(await run.result()).toBe(3 * 86_400_000);
    expect([qstashServer.waiting, qstashServer.refused]).toEqual([[], []]);
  });

  it('is told of once for a run and a time, and a failure is logged', async () => {
    const qstashServer = await fakeQstash();
    closing.push(qstashServer.close);
    const options = { url: 'http://127.0.0.1:1/drive', baseUrl: qstashServer.url };
    const tell = qstashDelivery({ ...options, token: TOKEN });
    for (let times = 0; times < 2; times += 1) await tell({ run: 'a', dueAt: 1_500 });
    await tell({ run: 'a', dueAt: 2_500 });
    expect(qstashServer.waiting.map(({ notBefore, body }) => [notBefore, body])).toEqual([
      [2, '{"run":"a","dueAt":1500}'],
      [3, '{"run":"a","dueAt":2500}'],
    ]);
    const lines: unknown[] = [];
    const logger = { ...silentLogger, error: (fields: object, message: string) => void lines.push([fields, message]) };
    const hello = workflow('hello', async () => 'hello');
    const runtime = open({
      workflows: [hello],
      worker: false,
      logger,
      onDue: qstashDelivery({ ...options, token: 'wrong' }),
    });
    const run = await runtime.start(hello, { id: 'hello_1' });
    expect(await run.status).toBe('ready');
    expect(lines).toEqual([[expect.objectContaining({ run: 'hello_1' }), expect.stringMatching(/^onDue failed/)]]);
  });
});
