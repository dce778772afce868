import { createHook, DurableAgent, getWritable, workflow } from 'everturn';
import { createApp } from 'everturn/server';
import { memoryStore } from 'everturn/memory';
import { expect, it } from 'vitest';
import { scriptedModel, startRuntime, until } from '../agent/run-kit.ts';
import type { Answer } from '../agent/run-kit.ts';
import {
  allFrames,
  chunksOf,
  openDirectly,
  overBothWays,
  post,
  refusalOf,
  say,
  textOf,
  toChunks,
  userMessage,
} from './kit.ts';
import type { Agents } from './kit.ts';

const agentOf = (answers: Answer[] = []): Agents => ({
  support: new DurableAgent({ model: scriptedModel(answers).model }),
});

overBothWays('bad input', (open) => {
  it.each<[string, string, string]>([
    ['nothing', '', '(body)'],
    ['no JSON', '{"messages":', '(body)'],
    ['no text', '\uFFFE', '(body)'],
    ['a list', '[]', '(root)'],
    ['no messages', '{"id":"t1"}', 'messages'],
    ['an empty list of messages', '{"id":"t1","messages":[]}', 'messages'],
    ['messages that are none', '{"id":"t1","messages":"hello"}', 'messages'],
    ['an id that is a number', '{"id":7,"messages":[{}]}', 'id'],
    ['an unknown trigger', '{"id":"t1","messages":[{}],"trigger":"delete-everything"}', 'trigger'],
    ['an unknown way to wait', '{"id":"t1","messages":[{}],"whenBusy":"shout"}', 'whenBusy'],
  ])('a chat body with %s is refused, and the field is named', async (_, body, field) => {
    const site = await open({ agents: agentOf() });
    const response = await site.fetch(`${site.api}/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect(await refusalOf(response)).toMatchObject({ status: 400, code: 'invalid_argument', details: { field } });
  });

  it('a message that does not fit names the field', async () => {
    const site = await open({ agents: agentOf() });
    const message = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 7 }] };
    const refused = await refusalOf(await post(site, { id: 't1', messages: [userMessage('m0', 'x'), message] }));
    expect(refused).toMatchObject({ status: 400, code: 'history_not_accepted' });
    expect(refused.details['field']).toMatch(/^messages\[1\]\.parts\[0\]/);
  });

  it.each(['run_1', 'run_', 'a~1', '', '.', '..', 'x'.repeat(201), 'a\nb', 'a\u0000b'])(
    'the thread id %j is refused',
    async (id) => {
      const site = await open({ agents: agentOf() });
      expect(await refusalOf(await say(site, { thread: id }))).toMatchObject({
        status: 400,
        code: 'invalid_argument',
        details: { field: 'id' },
      });
      expect((await site.runtime.list({})).items).toEqual([]);
    },
  );

  it.each(['7b0a/..%2F', 'Ünïcode ✓', 'a b+c', '%41', 'thread?x#y'])('the thread id %j works', async (id) => {
    const site = await open({ agents: agentOf([{ text: 'Hello' }]) });
    await chunksOf(await say(site, { thread: id }));
    const history = await site.fetch(`${site.api}/chat/${encodeURIComponent(id)}`);
    expect(((await history.json()) as { id: string; messages: unknown[] }).id).toBe(id);
  });

  it('a body that is too large is refused, announced or not', async () => {
    const site = await open({ agents: agentOf() });
    const large = { id: 't1', messages: [userMessage('m1', 'x'.repeat(1_000_001))] };
    expect(await refusalOf(await post(site, large))).toMatchObject({
      status: 413,
      code: 'body_too_large',
      details: { limit: 1_000_000 },
    });
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(32)),
    });
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: endless, duplex: 'half' };
    const streamed = await site.fetch(`${site.api}/chat`, init as RequestInit).catch((error: unknown) => error);
    // A server that has answered may close the connection while the body is still being sent.
    if (streamed instanceof Response) expect(await refusalOf(streamed)).toMatchObject({ code: 'body_too_large' });
    else expect(streamed).toBeInstanceOf(TypeError);
    expect((await site.runtime.list({})).items).toEqual([]);
  });

  it('the limit is an option', async () => {
    const site = await open({ agents: agentOf([{ text: 'Read' }]) }, { maxBodyBytes: 400 });
    expect((await say(site, { text: 'x'.repeat(400) })).status).toBe(413);
    expect(textOf(await chunksOf(await say(site, { text: 'short' })))).toBe('Read');
  });

  it('what does not exist is not found', async () => {
    const site = await open({ agents: agentOf() });
    const missing: Array<[string, string]> = [
      ['/chat/none', 'thread_not_found'],
      ['/chat/run_0/stream', 'run_not_found'],
      ['/chat/run_0~4/stream', 'run_not_found'],
      ['/runs/run_0', 'run_not_found'],
      ['/runs/run_0/events', 'run_not_found'],
      ['/approvals/apr_0', 'approval_not_found'],
      ['/nothing', 'route_not_found'],
      ['/chat/a/b/c', 'route_not_found'],
    ];
    for (const [path, code] of missing) {
      expect(await refusalOf(await site.fetch(`${site.api}${path}`))).toMatchObject({ status: 404, code });
    }
    const posts: Array<[string, string]> = [
      ['/hooks/none', 'hook_not_found'],
      ['/runs/run_0/cancel', 'run_not_found'],
      ['/runs/run_0/resume', 'run_not_found'],
      ['/approvals/apr_0/decision', 'approval_not_found'],
    ];
    for (const [path, code] of posts) {
      expect(await refusalOf(await post(site, { approved: true }, { path }))).toMatchObject({ status: 404, code });
    }
  });

  it.each(['limit=0', 'limit=501', 'limit=x', 'limit=1.5', 'cursor=x', 'cursor=-1', 'status=none'])(
    'the query %s of a list is refused',
    async (query) => {
      const site = await open({ agents: agentOf() });
      for (const path of ['/runs', '/approvals']) {
        const refused = await refusalOf(await site.fetch(`${site.api}${path}?${query}`));
        expect(refused).toMatchObject({
          status: 400,
          code: 'invalid_argument',
          details: { field: query.split('=')[0] },
        });
      }
    },
  );

  it('a decision of another shape names the field', async () => {
    const site = await open({ agents: agentOf() });
    const refused = await refusalOf(await post(site, { approved: 'yes' }, { path: '/approvals/a/decision' }));
    expect(refused).toMatchObject({ status: 400, code: 'invalid_argument', details: { field: 'approved' } });
  });

  it('a run that is not parked cannot be resumed', async () => {
    const site = await open({ agents: agentOf([{ text: 'x' }]) });
    const sent = await say(site);
    const run = sent.headers.get('x-workflow-run-id')?.split('~')[0];
    await chunksOf(sent);
    const refused = await refusalOf(await post(site, {}, { path: `/runs/${run}/resume` }));
    expect(refused).toMatchObject({ status: 400, code: 'invalid_argument', details: { status: 'completed' } });
  });

  it('no content of a chunk makes a frame', async () => {
    const hostile = 'a\r\n\r\ndata: {"type":"finish"}\n\nid: 9\u2028event: x\u2029b\u0000c';
    const write = workflow('write', async () => {
      const writer = getWritable().getWriter();
      await writer.write({ type: 'text-start', id: hostile });
      await writer.write({ type: 'text-delta', id: hostile, delta: hostile });
      await writer.write({ type: 'data-x\r\ndata: y', data: { [hostile]: hostile } });
      await writer.close();
    });
    const site = await open({ agents: agentOf(), workflows: [write] });
    const run = await site.runtime.start(write, { id: 'run_hostile' });
    await run.result();
    for (const query of ['', '?startIndex=0']) {
      const response = await site.fetch(
        `${site.api}/chat/run_hostile~0/stream${query === '' ? '?startIndex=0' : query}`,
      );
      const text = await response.clone().text();
      expect(text).not.toMatch(/[\r\u2028\u2029]/);
      const frames = await allFrames(response);
      expect(toChunks(frames)).toEqual([
        { type: 'text-start', id: hostile },
        { type: 'text-delta', id: hostile, delta: hostile },
        { type: 'data-x\r\ndata: y', data: { [hostile]: hostile } },
        { type: 'finish' },
      ]);
      expect(frames.map(({ event }) => event)).toEqual([undefined, undefined, undefined, undefined, undefined]);
    }
  });

  it('hooks take what was sent, as its type says', async () => {
    const wait = workflow('wait', async () => {
      const hook = createHook({ token: 'tok/en 1' });
      return hook;
    });
    const site = await open({ agents: agentOf(), workflows: [wait] });
    const cases: Array<[string | undefined, BodyInit, unknown]> = [
      ['application/json', '{"a":1}', { a: 1 }],
      ['application/cloudevents+json; charset=utf-8', '[1]', [1]],
      ['text/plain', '{"a":1}', '{"a":1}'],
      ['application/octet-stream', new Uint8Array([1, 2]), new Uint8Array([1, 2])],
      ['application/json', '', null],
    ];
    for (const [type, body, expected] of cases) {
      const run = await site.runtime.start(wait);
      await until(async () => (await run.status) === 'waiting');
      const headers = {
        ...(type === undefined ? {} : { 'content-type': type }),
        'idempotency-key': 'k1',
        origin: 'https://elsewhere.test',
      };
      const path = `${site.api}/hooks/${encodeURIComponent('tok/en 1')}`;
      expect((await site.fetch(path, { method: 'POST', headers, body })).status).toBe(204);
      expect(await run.result()).toEqual(expected);
      const again = await refusalOf(
        await site.fetch(path, { method: 'POST', headers: { ...headers, 'idempotency-key': 'k2' }, body }),
      );
      expect([again.status, again.code]).toEqual([409, 'hook_already_resumed']);
    }
    const broken = await site.fetch(`${site.api}/hooks/x`, {
      method: 'POST',
      body: '{',
      headers: { 'content-type': 'application/json' },
    });
    expect(await refusalOf(broken)).toMatchObject({ status: 400, code: 'invalid_argument' });
  });
});

it.each<[string, object, RegExp]>([
  ['two agents and no choice', { agents: { a: agentOf().support, b: agentOf().support } }, /has 2 agents \("a", "b"\)/],
])('an app over a runtime with %s is refused when it is made', (_, options, says) => {
  const runtime = startRuntime({ store: memoryStore(), ...options });
  expect(() => createApp(runtime)).toThrow(says);
  expect(() => createApp(runtime, { agent: 'c' })).toThrow(/no agent "c"/);
});

it('an app over a runtime without agents takes hooks, and no chat', async () => {
  const site = await openDirectly({});
  const sent = await say(site);
  expect(await refusalOf(sent)).toMatchObject({ status: 404, code: 'route_not_found' });
  expect((await site.fetch(`${site.api}/hooks/none`, { method: 'POST' })).status).toBe(404);
  expect((await site.fetch(`${site.api}/health`)).status).toBe(200);
  await site.close();
});

it.each(['api', '/api/', '/a b', '//'])('the base path %j is refused', (basePath) => {
  const runtime = startRuntime({ store: memoryStore(), agents: agentOf() });
  expect(() => createApp(runtime, { basePath })).toThrow(/base path/);
});
