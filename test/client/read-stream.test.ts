import { DurableAgent, getWritable, step, workflow } from 'everturn';
import { readStream } from 'everturn/client';
import type { StreamEvent } from 'everturn/client';
import { serve } from 'everturn/server';
import type { UIMessageChunk } from 'ai';
import { Hono } from 'hono';
import { afterEach, describe, expect, it } from 'vitest';
import { scriptedModel } from '../agent/run-kit.ts';
import { openSocket, say, textOf } from '../server/kit.ts';
import type { Site } from '../server/kit.ts';
import { openProxy } from './proxy.ts';
import type { Proxy } from './proxy.ts';
import { collect } from '../support/collect.ts';

/** Waits are short: these tests use real time. */
const environment = { random: () => 0.02 };

const closing: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Scene {
  site: Site;
  proxy: Proxy;
  /** Behind the proxy. */
  api: string;
  release: () => void;
}

/** Workflow and the first answer of the agent stand still after what they began with, until they are released. */
async function openScene(...answers: string[]): Promise<Scene> {
  let release = (): void => undefined;
  const hold = new Promise<void>((resolve) => (release = resolve));
  const mixed = workflow('mixed', () =>
    step('write', async () => {
      const writer = getWritable({ namespace: 'mixed' }).getWriter();
      await writer.write({ n: 1 });
      await writer.write(new Uint8Array([0, 255, 128]));
      await hold;
      await writer.write('three');
      await writer.close();
    }),
  );
  const { model } = scriptedModel(answers.map((text, index) => (index === 0 ? { text, hold } : { text })));
  const site = await openSocket({ agents: { support: new DurableAgent({ model }) }, workflows: [mixed] });
  const proxy = await openProxy(new URL(site.api).origin);
  closing.push(async () => {
    await proxy.close();
    await site.close();
  });
  await site.runtime.start(mixed, { id: 'run_mixed' });
  return { site, proxy, api: `${proxy.url}/api`, release };
}

describe('readStream', () => {
  it('yields values and bytes with their places, as the stream grows, and ends with it', async () => {
    const { api, release } = await openScene();
    const read: StreamEvent[] = [];
    for await (const event of readStream(`${api}/runs/run_mixed/streams/mixed`, { environment })) {
      read.push(event);
      if (read.length === 2) release();
    }
    expect(read).toEqual([
      { id: '0000000000000001', event: undefined, data: { n: 1 } },
      { id: '0000000000000002', event: 'bytes', data: new Uint8Array([0, 255, 128]) },
      { id: '0000000000000003', event: undefined, data: 'three' },
    ]);
  });

  it('goes on after an id, or after so many chunks', async () => {
    const { api, release } = await openScene();
    release();
    const url = `${api}/runs/run_mixed/streams/mixed`;
    const whole = await collect(readStream(url, { environment }));
    expect(await collect(readStream(url, { environment, from: whole[0]?.id ?? '' }))).toEqual(whole.slice(1));
    expect(await collect(readStream(url, { environment, from: 2 }))).toEqual(whole.slice(2));
    expect(await collect(readStream(url, { environment, from: 3 }))).toEqual([]);
  });

  it('misses nothing that comes between a cut and the next connection, also before its first event', async () => {
    const { api, proxy, release, site } = await openScene();
    await site.runtime.getRun('run_mixed').stream({ namespace: 'mixed', from: 1 }).getReader().read();
    let opened = 0;
    const counting: typeof fetch = async (...request) => {
      const response = await fetch(...request);
      opened += 1;
      return response;
    };
    const url = `${api}/runs/run_mixed/streams/mixed?offset=now`;
    const reading = collect(readStream(url, { environment, fetch: counting }));
    await expect.poll(() => opened).toBe(1);
    const { target } = proxy;
    proxy.target = undefined;
    proxy.cut();
    release();
    await site.runtime.getRun('run_mixed').result();
    proxy.target = target;
    expect((await reading).map(({ data }) => data)).toEqual(['three']);
  });

  it('misses no run of a thread that began and ended while it was cut off', async () => {
    const { api, proxy, release, site } = await openScene('first', 'second');
    release();
    await (await say(site)).text();
    const controller = new AbortController();
    const read: unknown[] = [];
    const reading = (async () => {
      const options = { environment, signal: controller.signal };
      for await (const event of readStream<UIMessageChunk>(`${api}/threads/t1/stream`, options)) read.push(event);
    })();
    await expect.poll(() => read).toHaveLength(1);
    const { target } = proxy;
    proxy.target = undefined;
    proxy.cut();
    await (await say(site, { id: 'm2' })).text();
    proxy.target = target;
    await expect.poll(() => JSON.stringify(read)).toContain('"finish"');
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    expect(JSON.stringify(read)).toContain('"second"');
    expect(JSON.stringify(read)).not.toContain('"first"');
  });

  it("reads a thread's response to its end, though another one has begun meanwhile", async () => {
    const { api, proxy, release, site } = await openScene('held', 'second');
    const sent = await say(site, {}, { headers: { accept: 'application/json' } });
    const { runId } = (await sent.json()) as { runId: string };
    const read: UIMessageChunk[] = [];
    for await (const { data } of readStream<UIMessageChunk>(`${api}/chat/t1/stream`, { environment })) {
      read.push(data);
      if (data.type !== 'text-delta') continue;
      const { target } = proxy;
      proxy.target = undefined;
      proxy.cut();
      release();
      await site.runtime.getRun(runId).result();
      await (await say(site, { id: 'm2' })).text();
      proxy.target = target;
    }
    expect(textOf(read)).toBe('held');
    expect(read.at(-1)?.type).toBe('finish');
  });

  it('sends what headers it is given, and throws what the server refuses with', async () => {
    const { api } = await openScene();
    const missing = readStream(`${api}/runs/run_0/streams/mixed`, { environment, headers: () => ({ 'x-user': 'bo' }) });
    await expect(missing.next()).rejects.toMatchObject({ code: 'run_not_found' });
    const beyond = readStream(`${api}/runs/run_mixed/streams/mixed`, { environment, from: 99 });
    await expect(beyond.next()).rejects.toMatchObject({ code: 'invalid_offset' });
    const seen: Array<string | undefined> = [];
    const app = new Hono().get('*', ({ req }) => {
      seen.push(req.header('x-user'));
      return new Response('data: [DONE]\n\n', { headers: { 'content-type': 'text/event-stream' } });
    });
    const server = await serve(app, { port: 0 });
    closing.push(() => server.close());
    expect(await collect(readStream(server.url, { headers: () => ({ 'x-user': 'bo' }) }))).toEqual([]);
    expect(seen).toEqual(['bo']);
  });

  it('closes its connection when the loop is left, and rejects with the reason of its signal', async () => {
    const { api, proxy } = await openScene();
    const url = `${api}/runs/run_mixed/streams/mixed`;
    for await (const event of readStream(url, { environment })) if (event.id !== undefined) break;
    await expect.poll(() => proxy.openPaths()).toEqual([]);
    const controller = new AbortController();
    const reading = readStream(url, { environment, signal: controller.signal });
    await reading.next();
    await reading.next();
    const waiting = reading.next();
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect.poll(() => proxy.openPaths()).toEqual([]);
  });

  it('rejects with the reason of a signal that aborted while nobody waited, and leaves no rejection behind', async () => {
    const { api } = await openScene();
    const controller = new AbortController();
    const url = `${api}/runs/run_mixed/streams/mixed`;
    const reading = readStream(url, { environment, signal: controller.signal });
    await reading.next();
    await reading.next();
    controller.abort(new Error('enough'));
    await expect(reading.next()).rejects.toThrow('enough');
    // An unhandled rejection is told after a macrotask, and fails the run.
    await new Promise((resolve) => setImmediate(resolve));
  });

  it('tells of the beginning of a run once, also if it comes back to it', async () => {
    const beginning = 'event: run\nid: run_1~0000000000000000\ndata: {"runId":"run_1"}\n\n';
    const rest = 'id: run_1~0000000000000001\ndata: {"type":"start"}\n\ndata: [DONE]\n\n';
    const asked: Array<string | undefined> = [];
    const app = new Hono().get('*', ({ req }) => {
      asked.push(req.header('last-event-id'));
      const body = asked.length === 1 ? beginning : beginning + rest;
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
    });
    const server = await serve(app, { port: 0 });
    closing.push(() => server.close());
    const read = await collect(readStream(`${server.url}/threads/t1/stream`, { environment, from: 'start' }));
    expect(asked).toEqual(['start', 'run_1~0000000000000000']);
    expect(read.map(({ id }) => id)).toEqual(['run_1~0000000000000000', 'run_1~0000000000000001']);
  });
});
