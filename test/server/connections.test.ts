import { DurableAgent, getWritable, sleep, step, workflow } from 'everturn';
import { durableChatTransport } from 'everturn/client';
import { createApp } from 'everturn/server';
import { createTestRuntime, manualClock } from 'everturn/testing';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { ACCEPT_EVENTS } from '../../src/streams/wire.ts';
import type { TestRuntimeOptions } from 'everturn/testing';
import type { UIMessageChunk } from 'ai';
import { scriptedModel, until } from '../agent/run-kit.ts';
import {
  allFrames,
  byHeaders,
  chunksOf,
  isDone,
  openDirectly,
  openSocket,
  overBothWays,
  refusalOf,
  say,
  textOf,
  userMessage,
} from './kit.ts';
import type { Agents, Site } from './kit.ts';

const agentOf = (hold?: Promise<void>): Agents => ({
  support: new DurableAgent({
    model: scriptedModel([{ text: 'One', ...(hold === undefined ? {} : { hold }) }]).model,
  }),
});

interface Watcher {
  response: Response;
  close(): void;
}

async function watch(site: Site, { user = 'ann', path = '/threads/t1/stream', accept = '*/*' } = {}): Promise<Watcher> {
  const controller = new AbortController();
  const response = await site.fetch(site.api + path, {
    headers: { 'x-user': user, accept },
    signal: controller.signal,
  });
  const reader = response.body?.getReader();
  if (response.status === 200) await reader?.read();
  return {
    response,
    close() {
      // The body of an app that is called directly knows nothing of the signal.
      reader?.cancel().catch(() => undefined);
      controller.abort();
    },
  };
}

overBothWays('a principal', (open) => {
  it('with 200 streams open gets no other one, keeps what is no stream, and is in nobody else’s way', async () => {
    const site = await open({ agents: agentOf() });
    const open200 = await Promise.all(Array.from({ length: 200 }, () => watch(site)));
    expect(new Set(open200.map(({ response }) => response.status))).toEqual(new Set([200]));
    const refused = await watch(site);
    expect(refused.response.headers.get('retry-after')).toBe('5');
    const other = await site.fetch(`${site.api}/threads/t2/stream`, { headers: { 'x-user': 'ann' } });
    expect(await refusalOf(other)).toMatchObject({ status: 429, code: 'too_many_streams', details: { limit: 200 } });
    expect((await site.fetch(`${site.api}/runs`, { headers: { 'x-user': 'ann' } })).status).toBe(200);
    const answered = await say(site, {}, { headers: { 'x-user': 'ben' } });
    expect(textOf(await chunksOf(answered))).toBe('One');
    for (const each of [...open200, refused]) each.close();
  });

  it('has a place again when a stream is closed, has ended, or was refused', async () => {
    const site = await open({ agents: agentOf() }, { authorize: byHeaders, maxStreams: 1 });
    const isFree = async (): Promise<boolean> =>
      (await watch(site, { path: '/chat/unknown/stream' })).response.status === 204;
    for (let round = 0; round < 3; round += 1) {
      await until(isFree);
      expect((await watch(site, { path: '/chat/run_unknown/stream' })).response.status).toBe(404);
      expect((await site.fetch(`${site.api}/threads/t1/stream`, { method: 'HEAD' })).status).toBe(200);
      await chunksOf(await say(site));
      await until(isFree);
      const first = await watch(site);
      expect(first.response.status).toBe(200);
      expect(await isFree()).toBe(false);
      first.close();
    }
  });

  it.each([0, -1, 1.5, Number.NaN])('cannot be allowed %s streams', async (maxStreams) => {
    await expect(open({ agents: agentOf() }, { authorize: byHeaders, maxStreams })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
  });

  it('with too many streams starts nothing', async () => {
    const site = await open({ agents: agentOf() }, { authorize: byHeaders, maxStreams: 1 });
    const first = await watch(site);
    expect(await refusalOf(await say(site, { id: 'm1' }))).toMatchObject({ status: 429 });
    expect(await refusalOf(await site.fetch(`${site.api}/chat/t1`))).toMatchObject({ code: 'thread_not_found' });
    first.close();
  });
});

describe('an old stream', () => {
  const MINUTE = 60_000;

  it('ends at a frame for a client that said that it reconnects, and for no other one', async () => {
    const clock = manualClock();
    const site = await openDirectly({ agents: agentOf() }, { authorize: byHeaders, clock });
    const ends: string[] = [];
    const read = async (name: string, accept: string): Promise<void> => {
      const response = await site.fetch(`${site.api}/threads/t1/stream`, { headers: { accept } });
      const frames = await allFrames(response);
      expect(frames.some(isDone)).toBe(false);
      ends.push(name);
    };
    const reading = [read('stock', 'text/event-stream'), read('ours', ACCEPT_EVENTS)];
    await clock.advance(7 * MINUTE);
    expect(ends).toEqual([]);
    await clock.advance(4 * MINUTE);
    expect(ends).toEqual(['ours']);
    await clock.advance(60 * MINUTE);
    expect(ends).toEqual(['ours']);
    void reading;
    await site.close();
  });

  it('is one answer for the page that reads it', async () => {
    let release = (): void => {};
    const hold = new Promise<void>((resolve) => (release = resolve));
    const clock = manualClock();
    const site = await openDirectly({ agents: agentOf(hold) }, { authorize: byHeaders, clock });
    const requests: string[] = [];
    const transport = durableChatTransport({
      api: site.api,
      environment: { random: () => 0 },
      fetch(input, init) {
        requests.push(new Headers(init?.headers).get('last-event-id') ?? 'first');
        return site.fetch(input, init);
      },
    });
    const stream = await transport.sendMessages({
      chatId: 't1',
      messages: [userMessage('m1', 'Hello')],
      trigger: 'submit-message',
      messageId: undefined,
      abortSignal: undefined,
    });
    const chunks: Array<{ type: string }> = [];
    const reading = (async () => {
      for await (const chunk of stream) chunks.push(chunk);
    })();
    await until(() => chunks.some(({ type }) => type === 'text-delta'));
    const before = chunks.length;
    await clock.advance(11 * MINUTE);
    await until(() => requests.length > 1);
    release();
    await reading;
    expect(requests).toEqual(['first', String(before).padStart(16, '0')]);
    expect(chunks.map(({ type }) => type)).toEqual(
      (await chunksOf(await site.fetch(`${site.api}/chat/t1/stream?startIndex=0`))).map(({ type }) => type),
    );
    await site.close();
  });
});

describe('a reader that takes nothing', () => {
  const flood = workflow('flood', () =>
    step('write', async () => {
      const writer = getWritable({ namespace: 'rows' }).getWriter();
      for (let index = 0; index < 400; index += 1) await writer.write({ index, text: 'x'.repeat(60_000) });
      await writer.close();
    }),
  );
  const TYPES = ['text/event-stream', 'application/x-ndjson', ACCEPT_EVENTS];

  it.each(TYPES)('for a minute is cut, and its place is free: %s', async (accept) => {
    const clock = manualClock();
    const site = await openDirectly({ agents: agentOf(), workflows: [flood] }, { clock, maxStreams: 1 });
    const { id } = await site.runtime.start(flood);
    const open = (): Promise<Response> => site.fetch(`${site.api}/runs/${id}/streams/rows`, { headers: { accept } });
    const stalled = (await open()).body?.getReader();
    await stalled?.read();
    await clock.advance(59_000);
    expect((await stalled?.read())?.done).toBe(false);
    await clock.advance(59_000);
    expect((await open()).status).toBe(429);
    await clock.advance(10_000);
    await expect(stalled?.read()).rejects.toThrow('The stream was cut.');
    const next = await open();
    expect(next.status).toBe(200);
    await next.body?.cancel();
    await site.close();
  });

  it('but waits for news is not cut', async () => {
    const clock = manualClock();
    const site = await openDirectly({ agents: agentOf() }, { clock });
    const reader = (await site.fetch(`${site.api}/threads/t1/stream`)).body?.getReader();
    const taking = (async () => {
      for (let frame = await reader?.read(); frame?.done === false; frame = await reader?.read());
    })();
    await clock.advance(10 * 60_000);
    await reader?.cancel();
    await expect(taking).resolves.toBeUndefined();
    await site.close();
  });

  it('through a socket is cut, and comes back to where it was', async () => {
    const clock = manualClock();
    const site = await openSocket({ agents: agentOf(), workflows: [flood] }, { clock, maxStreams: 1 });
    const { id } = await site.runtime.start(flood);
    await site.runtime.getRun(id).result();
    const url = `${site.api}/runs/${id}/streams/rows`;
    const response = await new Promise<IncomingMessage>((resolve) => {
      get(url, { agent: false, headers: { accept: 'application/x-ndjson' } }, (answer) => resolve(answer.pause()));
    });
    const isFree = async (): Promise<boolean> => {
      const other = await site.fetch(url, { headers: { accept: 'application/x-ndjson' } });
      await other.body?.cancel();
      return other.status === 200;
    };
    expect(await isFree()).toBe(false);
    // Its socket's buffers are full after some pages; how many, the machine knows.
    await until(async () => {
      await clock.advance(70_000);
      return isFree();
    });
    const lines: string[] = [];
    const cut = new Promise((resolve) => response.on('error', resolve));
    response
      .setEncoding('utf8')
      .on('data', (text: string) => lines.push(text))
      .resume();
    await cut;
    const whole = lines.join('').split('\n').slice(0, -1);
    expect(whole.length).toBeLessThan(400);
    const last = JSON.parse(whole.at(-1) ?? '{"offset":"-1"}') as { offset: string };
    const rest = await site.fetch(`${url}?offset=${last.offset}`, { headers: { accept: 'application/x-ndjson' } });
    expect(whole.length + (await rest.text()).trim().split('\n').length).toBe(401);
    await site.close();
  });
});

it('a response of a run that is parked says so and ends; when it was resumed the rest is read from there', async () => {
  const write = async (chunk: object): Promise<void> => {
    const writer = getWritable().getWriter();
    await writer.write(chunk);
    writer.releaseLock();
  };
  const code = (name: string): Pick<TestRuntimeOptions, 'agents' | 'workflows'> => ({
    agents: agentOf(),
    workflows: [
      workflow('deploy', async () => {
        await step(name, () => write({ type: 'start' }));
        await sleep('1 hour');
        await step('end', () => write({ type: 'finish' }));
      }),
    ],
  });
  const runtime = createTestRuntime(code('build'));
  const { id } = await runtime.start('deploy', { id: 'run_deploy' });
  await runtime.until(id, 'waiting');
  await runtime.restart(code('compile'));
  await runtime.clock.advance('61 minutes');
  await runtime.until(id, 'parked');
  const app = createApp(runtime, { authorize: byHeaders, clock: runtime.clock });
  const read = async (after: number): Promise<UIMessageChunk[]> => {
    const headers = { 'last-event-id': String(after) };
    return chunksOf(await app.request(`http://localhost/api/chat/${id}/stream`, { headers }));
  };
  expect(await read(0)).toEqual([
    { type: 'start' },
    { type: 'error', errorText: 'The run is parked (divergence).' },
    { type: 'finish' },
  ]);
  await runtime.restart(code('build'));
  await runtime.resume(id);
  await runtime.until(id, 'completed');
  expect(await read(1)).toEqual([{ type: 'finish' }]);
  await runtime.close();
});
