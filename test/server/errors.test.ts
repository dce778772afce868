import { createHook, DurableAgent, DurableError, workflow } from 'everturn';
import type { Store } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createApp, serve } from 'everturn/server';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { scriptedModel, startRuntime, until } from '../agent/run-kit.ts';
import {
  allFrames,
  chunksOf,
  framesOf,
  isDone,
  overBothWays,
  post,
  refusalOf,
  say,
  textOf,
  toChunks,
  userMessage,
} from './kit.ts';
import type { Agents } from './kit.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { z } from 'zod';

interface FragileStore {
  store: Store;
  /** All calls fail, until they do not. */
  down: (error: Error | null) => void;
  /** The next call of a kind fails, before or after what it does is done. */
  failNext: (method: 'start' | 'deliver', when: 'before' | 'after') => void;
}

/** A store that can be unreachable. */
function fragileStore(): FragileStore {
  const inner = memoryStore();
  let failure: Error | null = null;
  let next: { method: string; when: 'before' | 'after' } | null = null;
  const store = new Proxy(inner, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function' || name === 'watch' || name === 'close') return value;
      return async (...args: unknown[]): Promise<unknown> => {
        if (failure !== null) throw failure;
        const failing = next?.method === name ? next.when : null;
        if (failing !== null) next = null;
        if (failing === 'before') throw unavailable();
        const answer = await (value as (...args: unknown[]) => unknown).apply(target, args);
        if (failing === 'after') throw unavailable();
        return answer;
      };
    },
  });
  return { store, down: (error) => (failure = error), failNext: (method, when) => (next = { method, when }) };
}

const unavailable = (): DurableError =>
  new DurableError('store_unavailable', 'The store does not answer.', { retryable: true });

const agentOf = (text: string, hold?: Promise<void>): Agents => ({
  support: new DurableAgent({ model: scriptedModel([{ text, ...(hold === undefined ? {} : { hold }) }]).model }),
});

/** Asks for two refunds at once. */
function twoRefunds(executed: unknown[]): Agents {
  const calls = ['c1', 'c2'].map((id) => ({ id, name: 'refund', input: {} }));
  const { model } = scriptedModel([{ calls }, { text: 'Done' }]);
  const refund = tool({ inputSchema: z.object({}), execute: (input) => void executed.push(input) });
  return { support: new DurableAgent({ model, tools: { refund }, toolApproval: { refund: 'user-approval' } }) };
}

overBothWays('a store that goes away', (open) => {
  it('is 503 with a time to come back, acknowledges nothing, and is served again by itself', async () => {
    const { store, down } = fragileStore();
    const site = await open({ store, agents: agentOf('Hello') });
    down(unavailable());
    const requests = [
      () => say(site),
      () => site.fetch(`${site.api}/chat/t1`),
      () => site.fetch(`${site.api}/chat/t1/stream`),
      () => site.fetch(`${site.api}/chat/run_1~0/stream?startIndex=0`),
      () => site.fetch(`${site.api}/threads/t1/stream`),
      () => post(site, {}, { path: '/chat/t1/stop' }),
      () => post(site, { approved: true }, { path: '/approvals/a/decision' }),
      () => post(site, {}, { path: '/hooks/a' }),
      () => site.fetch(`${site.api}/runs`),
      () => site.fetch(`${site.api}/health`),
    ];
    for (const request of requests) {
      const response = await request();
      expect(response.headers.get('retry-after')).toBe('1');
      expect(await refusalOf(response)).toMatchObject({ status: 503, code: 'store_unavailable' });
    }
    down(null);
    expect((await site.fetch(`${site.api}/health`)).status).toBe(200);
    expect(textOf(await chunksOf(await say(site)))).toBe('Hello');
    expect((await site.runtime.list({})).items).toHaveLength(1);
  });

  it('cuts the streams that are open, and the last id brings the rest', async () => {
    const { store, down } = fragileStore();
    let release = (): void => {};
    const hold = new Promise<void>((resolve) => (release = resolve));
    const site = await open({ store, agents: agentOf('one two three', hold) });
    const response = await say(site);
    const seen: UIMessageChunk[] = [];
    let last = '';
    const reading = (async () => {
      for await (const frame of framesOf(response)) {
        expect(isDone(frame)).toBe(false);
        last = frame.id ?? last;
        seen.push(...toChunks([frame]));
        if (textOf(seen) === 'one two three') down(unavailable());
      }
    })();
    await expect(reading).rejects.toThrow();
    down(null);
    release();
    const rest = await site.fetch(`${site.api}/chat/t1/stream`, { headers: { 'last-event-id': last } });
    const all = [...seen, ...(await chunksOf(rest))];
    expect(all.map(({ type }) => type).filter((type) => type !== 'text-delta')).toEqual([
      'start',
      'start-step',
      'text-start',
      'text-end',
      'finish-step',
      'finish',
    ]);
    expect(textOf(all)).toBe('one two three');
  });
});

const PLACES = [
  ['before it was stored', 'before'],
  ['after it was stored', 'after'],
] as const;

overBothWays('what fails on its way and is sent again', (open) => {
  const acceptJson = { headers: { accept: 'application/json' } };

  it.each(PLACES)('a message that fails %s starts one run', async (_, when) => {
    const { store, failNext } = fragileStore();
    const site = await open({ store, agents: agentOf('Hello') });
    failNext('start', when);
    expect(await refusalOf(await say(site, {}, acceptJson))).toMatchObject({ status: 503, code: 'store_unavailable' });
    const again = await say(site, {}, acceptJson);
    expect(again.status).toBe(202);
    const { runId } = (await again.json()) as { runId: string };
    expect((await site.runtime.list({})).items.map(({ id }) => id)).toEqual([runId]);
    expect(await site.runtime.getRun(runId).result()).toMatchObject({ text: 'Hello' });
  });

  it.each(PLACES)('a decision that fails %s counts once, and one that was acknowledged is kept', async (_, when) => {
    const { store, down, failNext } = fragileStore();
    const executed: unknown[] = [];
    const site = await open({ store, agents: twoRefunds(executed) });
    await chunksOf(await say(site));
    const { items } = await site.runtime.approvals.list();
    const [first = '', second = ''] = items.map(({ id }) => id);
    const decide = (id: string, approved: boolean): Promise<Response> =>
      post(site, { approved }, { path: `/approvals/${id}/decision` });
    expect((await decide(first, false)).status).toBe(200);

    failNext('deliver', when);
    expect(await refusalOf(await decide(second, true))).toMatchObject({ status: 503, code: 'store_unavailable' });
    expect((await decide(second, true)).status).toBe(200);
    down(unavailable());
    expect((await decide(first, true)).status).toBe(503);
    down(null);

    const run = (await site.runtime.list({})).items[0]?.id ?? '';
    expect(await site.runtime.getRun(run).result()).toMatchObject({ text: 'Done' });
    expect(executed).toHaveLength(1);
    const answers = [first, second].map(async (id) => {
      const { status, audit } = await site.runtime.approvals.get(id);
      return [status, audit.filter(({ type }) => type === 'answered').map(({ by, approved }) => [by, approved])];
    });
    expect(await Promise.all(answers)).toEqual([
      ['denied', [['ann', false]]],
      ['approved', [['ann', true]]],
    ]);
  });

  it.each(PLACES)(
    'a payload that fails %s is delivered once, and one that was acknowledged is kept',
    async (_, when) => {
      const { store, failNext } = fragileStore();
      const collect = workflow('collect', async () => {
        using items = createHook<string>({ token: 'basket', many: true });
        const got: string[] = [];
        for await (const item of items) {
          if (got.push(item) === 3) break;
        }
        return got;
      });
      const site = await open({ store, agents: agentOf('Hello'), workflows: [collect] });
      const run = await site.runtime.start(collect);
      await until(async () => (await run.status) === 'waiting');
      const send = (item: string): Promise<Response> =>
        post(site, item, { path: '/hooks/basket', headers: { 'idempotency-key': item } });
      expect((await send('apples')).status).toBe(204);
      failNext('deliver', when);
      expect(await refusalOf(await send('pears'))).toMatchObject({ status: 503, code: 'store_unavailable' });
      expect((await send('pears')).status).toBe(204);
      expect((await send('plums')).status).toBe(204);
      expect(await run.result()).toEqual(['apples', 'pears', 'plums']);
    },
  );
});

overBothWays('what fails without a code', (open) => {
  it('is answered without a word of it, and logged', async () => {
    const { store, down } = fragileStore();
    const site = await open({ store, agents: agentOf('Hello') });
    down(new Error('secret: hunter2'));
    const response = await site.fetch(`${site.api}/runs`);
    const text = await response.clone().text();
    expect(await refusalOf(response)).toMatchObject({ status: 500, code: 'internal_error', details: {} });
    expect(text).not.toMatch(/hunter2|\bat \S+:\d+/);
    down(null);
    expect(site.logs.some(({ level, fields }) => level === 'error' && String(fields.err).includes('hunter2'))).toBe(
      true,
    );
  });

  it.each([
    ['/runs/run_1/streams/default', 'application/x-ndjson'],
    ['/runs/run_1/streams/default', 'text/event-stream'],
    ['/runs/run_1/streams/default?offset=-1&live=sse', '*/*'],
    ['/chat/run_1/stream?startIndex=0', '*/*'],
    ['/threads/t1/stream?after=start', '*/*'],
  ])('cuts a stream without a word of it, wherever it fails, and is logged: %s as %s', async (path, accept) => {
    const inner = memoryStore();
    let left = Number.POSITIVE_INFINITY;
    const read: Store['read'] = async (...args) => {
      if ((left -= 1) < 0) throw new Error('secret: hunter2');
      return inner.read(...args);
    };
    const pages = `${'x'.repeat(1_000)} `.repeat(200);
    const site = await open({ store: { ...inner, read }, agents: agentOf(pages) });
    await (await site.runtime.start('support', { id: 'run_1', prompt: 'Hello', thread: 't1' })).result();
    const seen: string[] = [];
    for (let reads = 0; reads < 4; reads += 1) {
      left = reads;
      site.logs.splice(0);
      const signal = AbortSignal.timeout(500);
      const response = await site.fetch(site.api + path, { headers: { accept }, signal });
      const said: string[] = [];
      const cut = await (async () => {
        for await (const text of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream(), {
          signal,
        }))
          said.push(text);
      })().then(
        () => undefined,
        (error: Error) => error,
      );
      expect(said.join('') + String(cut)).not.toContain('hunter2');
      if (left >= 0) continue;
      seen.push(`${response.status} ${cut === undefined ? JSON.parse(said.join('')).error.code : 'cut'}`);
      expect(site.logs.filter(({ fields }) => String(fields.err).includes('hunter2'))).toMatchObject([
        { level: 'error', fields: { code: 'internal_error' } },
      ]);
    }
    expect([...new Set(seen)]).toEqual(['500 internal_error', '200 cut']);
  });

  it('an authorize that throws or answers nonsense admits nobody', async () => {
    for (const answer of [
      () => {
        throw new Error('no');
      },
      () => ({}) as never,
      () => ({ id: '' }),
      () => undefined as never,
    ]) {
      const site = await open({ agents: agentOf('Hello') }, { authorize: answer });
      expect(await refusalOf(await say(site))).toMatchObject({ status: 500, code: 'internal_error' });
      expect((await site.runtime.list({})).items).toEqual([]);
    }
  });
});

describe('idle streams', () => {
  it('say every 15 seconds that they live, in comments', async () => {
    const clock = manualClock();
    const runtime = startRuntime({ store: memoryStore(), agents: agentOf('x') });
    const app = createApp(runtime, { authorize: () => ({ id: 'ann' }), clock });
    const response = await app.request('http://localhost/api/threads/t1/stream');
    const reader = (response.body ?? new ReadableStream()).getReader();
    const read = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value);
    expect(await read()).toBe(': open\n\n');
    expect(await read()).toMatch(/^event: thread\n/);
    for (let beat = 0; beat < 3; beat += 1) {
      const next = read();
      await clock.advance('15 seconds');
      expect(await next).toBe(': heartbeat\n\n');
    }
    await reader.cancel();
    await runtime.close({ graceMs: 0 });
  });
});

describe('serve', () => {
  it('rejects when the port is taken', async () => {
    const runtime = startRuntime({ store: memoryStore(), agents: agentOf('x') });
    const server = await serve(createApp(runtime), { port: 0 });
    await expect(serve(createApp(runtime), { port: server.port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await server.close();
    await runtime.close({ graceMs: 0 });
  });

  it('closes although streams are open', async () => {
    const runtime = startRuntime({ store: memoryStore(), agents: agentOf('x') });
    const server = await serve(createApp(runtime), { port: 0 });
    const response = await fetch(`${server.url}/api/threads/t1/stream`);
    const frames = allFrames(response).catch((error: unknown) => error);
    await until(async () => response.status === 200);
    await server.close();
    expect(await frames).toBeInstanceOf(Error);
    await runtime.close({ graceMs: 0 });
  });

  it('names the package that is missing', () => {
    const folder = mkdtempSync(join(tmpdir(), 'everturn-serve-'));
    const script = join(folder, 'main.mjs');
    const entry = new URL('../../src/server.ts', import.meta.url).href;
    writeFileSync(
      script,
      `import { registerHooks } from 'node:module';
      registerHooks({ resolve(specifier, context, next) {
        if (specifier === '@hono/node-server') throw new Error('not found');
        return next(specifier, context);
      } });
      const { serve } = await import(${JSON.stringify(entry)});
      await serve({ fetch: () => new Response() }).catch((error) => console.log(error.code, error.message));`,
    );
    const { stdout } = spawnSync(process.execPath, ['--conditions=everturn-source', script], { encoding: 'utf8' });
    expect(stdout).toMatch(/^invalid_argument .*"@hono\/node-server" is not installed.*npm install @hono\/node-server/);
  });
});

it('a message of a thread that nobody reads starts its run all the same', async () => {
  const runtime = startRuntime({ store: memoryStore(), agents: agentOf('Hello') });
  const app = createApp(runtime, { authorize: () => ({ id: 'ann' }) });
  const response = await app.request('http://localhost/api/chat', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: 't1', messages: [userMessage('m1', 'Hi')] }),
  });
  await response.body?.cancel();
  const run = (await runtime.list({})).items[0]?.id ?? '';
  expect(await runtime.getRun(run).result()).toMatchObject({ text: 'Hello' });
  await runtime.close({ graceMs: 0 });
});
