import { ask, child, DurableAgent, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createApp, serve } from 'everturn/server';
import type { AccessRequest, Authorize, RunningServer } from 'everturn/server';
import { request as httpRequest } from 'node:http';
import { tool } from 'ai';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { scriptedModel, startRuntime, until, userTexts } from '../agent/run-kit.ts';
import { chunksOf, framesOf, overBothWays, post, refusalOf, say, userMessage } from './kit.ts';
import type { Agents, Frame, Site } from './kit.ts';
import type { ApprovalLinks, ApprovalNotice, DurableSettings, Runtime } from 'everturn';

function refundAgent(executed: unknown[] = [], durable: DurableSettings = {}): Agents {
  const { model } = scriptedModel([{ calls: [{ id: 'c1', name: 'refund', input: {} }] }, { text: 'Refunded' }]);
  const refund = tool({ inputSchema: z.object({}), execute: (input) => void executed.push(input) });
  return {
    support: new DurableAgent({ model, tools: { refund }, toolApproval: { refund: 'user-approval' }, durable }),
  };
}

function decisionOf(run: string, approval: string): unknown {
  const part = { type: 'tool-refund', toolCallId: 'c1', state: 'approval-responded', input: {} };
  return { id: `msg_${run}`, role: 'assistant', parts: [{ ...part, approval: { id: approval, approved: false } }] };
}

describe('without authorize', () => {
  let server: RunningServer | undefined;
  let runtime: Runtime | undefined;
  const executed: unknown[] = [];

  afterEach(async () => {
    vi.unstubAllEnvs();
    await server?.close();
    await runtime?.close({ graceMs: 0 });
    server = undefined;
    executed.length = 0;
  });

  async function start(): Promise<RunningServer> {
    runtime = startRuntime({ store: memoryStore(), agents: refundAgent(executed) });
    server = await serve(createApp(runtime), { port: 0 });
    return server;
  }

  /** `fetch` sets Host itself. */
  function send(
    path: string,
    options: { method?: string; headers?: Record<string, string>; body?: unknown },
  ): Promise<{ status: number; text: string }> {
    const { method = 'POST', headers = {}, body } = options;
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        {
          host: '127.0.0.1',
          port: server?.port,
          path,
          method,
          headers: { 'content-type': 'application/json', ...headers },
        },
        (response) => {
          let text = '';
          response.on('data', (part: Buffer) => (text += part.toString()));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        },
      );
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  const message = { id: 't1', messages: [userMessage('m1', 'Hello')] };

  it('this machine is served', async () => {
    const { port } = await start();
    for (const headers of [{}, { host: `localhost:${port}` }, { host: '[::1]' }, { origin: 'http://localhost:5173' }]) {
      const { status } = await send('/api/chat', { headers, body: message });
      expect(status).toBe(200);
    }
  });

  it.each<[string, Record<string, string>]>([
    ['a page of another origin', { origin: 'https://evil.test' }],
    ['a page without an origin of its own', { origin: 'null' }],
    ['a name that points here', { host: 'evil.test' }],
    ['a name that only looks local', { host: 'localhost.evil.test' }],
    ['a name with a port', { host: 'evil.test:80' }],
    ['a proxy that says for whom', { 'x-forwarded-for': '10.0.0.1' }],
    ['a proxy of the standard kind', { forwarded: 'for=10.0.0.1' }],
    ['a proxy that says where', { 'x-forwarded-host': 'localhost' }],
    ['a proxy that gives its name', { via: '1.1 proxy' }],
  ])('%s is refused: every POST, and nothing is approved', async (_, headers) => {
    await start();
    await send('/api/chat', { body: message });
    const [approval] = (await runtime?.approvals.list())?.items ?? [];
    const id = approval?.id ?? '';
    const posts: Array<[string, unknown]> = [
      ['/api/chat', { id: 't2', messages: [userMessage('m1', 'Hello')] }],
      [`/api/approvals/${id}/decision`, { approved: true }],
      ['/api/chat/t1/stop', {}],
      [`/api/runs/${approval?.run}/cancel`, {}],
      [`/api/runs/${approval?.run}/resume`, {}],
    ];
    for (const [path, body] of posts) {
      const { status, text } = await send(path, { headers, body });
      expect([path, status, (JSON.parse(text) as { error: { code: string } }).error.code]).toEqual([
        path,
        403,
        'forbidden',
      ]);
      expect(text).toContain('createApp(runtime, { authorize })');
    }
    for (const path of [
      '/api/chat/t1',
      '/api/chat/t1/stream',
      '/api/threads/t1/stream',
      '/api/runs',
      '/api/approvals',
    ]) {
      expect((await send(path, { method: 'GET', headers })).status).toBe(403);
    }
    expect((await runtime?.approvals.get(id))?.status).toBe('pending');
    expect(executed).toEqual([]);
    expect((await runtime?.list({}))?.items).toHaveLength(1);
  });

  it('production is refused', async () => {
    await start();
    vi.stubEnv('NODE_ENV', 'production');
    const { status, text } = await send('/api/chat', { body: message });
    expect(status).toBe(403);
    expect(text).toContain('NODE_ENV is production');
  });

  it('a host that does not know who is at the other end serves nobody', async () => {
    runtime = startRuntime({ store: memoryStore(), agents: refundAgent() });
    const app = createApp(runtime);
    const response = await app.request('http://localhost/api/runs');
    expect(await refusalOf(response)).toMatchObject({
      status: 403,
      code: 'forbidden',
      message: expect.stringContaining('serve()'),
    });
    const env = { peer: '127.0.0.1', incoming: { socket: { remoteAddress: '127.0.0.1' } } };
    expect((await app.request('http://localhost/api/runs', {}, env)).status).toBe(403);
  });

  it('health and the OpenAPI document are open, and so are hooks', async () => {
    await start();
    const headers = { host: 'evil.test', origin: 'https://evil.test', 'x-forwarded-for': '10.0.0.1' };
    expect((await send('/api/health', { method: 'GET', headers })).status).toBe(200);
    expect((await send('/api/openapi.json', { method: 'GET', headers })).status).toBe(200);
    const hook = await send('/api/hooks/unknown', { headers, body: {} });
    expect([hook.status, (JSON.parse(hook.text) as { error: { code: string } }).error.code]).toEqual([
      404,
      'hook_not_found',
    ]);
  });
});

overBothWays('with authorize', (open) => {
  it('it is asked with the action and the ids, before anything happens', async () => {
    const asked: AccessRequest[] = [];
    const site = await open(
      { agents: refundAgent() },
      {
        authorize: (_, access) => {
          asked.push(access);
          return { id: 'ann' };
        },
      },
    );
    const sent = await say(site);
    const run = sent.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
    await chunksOf(sent);
    expect(asked.splice(0)).toEqual([{ action: 'chat.send', threadId: 't1' }]);
    const [approval] = (await site.runtime.approvals.list()).items;
    const id = approval?.id ?? '';
    const after = async (path: string, body?: unknown): Promise<AccessRequest[]> => {
      await (await (body === undefined ? site.fetch(`${site.api}${path}`) : post(site, body, { path }))).body?.cancel();
      return asked.splice(0);
    };
    const inThread = { runId: run, threadId: 't1' };
    /** What is read by an id of its own is asked for again with where it belongs. */
    const twice = (access: AccessRequest): AccessRequest[] => [access, { ...access, ...inThread }];
    expect(await after('/chat/t1')).toEqual([{ action: 'chat.read', threadId: 't1' }]);
    expect(await after('/chat/t1/stream')).toEqual([{ action: 'chat.read', threadId: 't1' }]);
    expect(await after('/threads/t1/stream')).toEqual([{ action: 'chat.read', threadId: 't1' }]);
    expect(await after(`/chat/${run}/stream`)).toEqual(twice({ action: 'chat.read', runId: run }));
    expect(await after(`/chat/${run}~3/stream?startIndex=0`)).toEqual(twice({ action: 'chat.read', runId: run }));
    expect(await after('/approvals?thread=t1')).toEqual([{ action: 'approval.list', threadId: 't1' }]);
    expect(await after(`/approvals?run=${run}`)).toEqual(twice({ action: 'approval.list', runId: run }));
    expect(await after(`/questions?run=${run}`)).toEqual(twice({ action: 'question.list', runId: run }));
    expect(await after(`/approvals/${id}`)).toEqual(twice({ action: 'approval.read', approvalId: id }));
    expect(await after('/runs')).toEqual([{ action: 'run.list' }]);
    expect(await after('/runs?thread=t1')).toEqual([{ action: 'run.list', threadId: 't1' }]);
    expect(await after(`/runs/${run}`)).toEqual(twice({ action: 'run.read', runId: run }));
    expect(await after(`/runs/${run}/events`)).toEqual(twice({ action: 'run.read', runId: run }));
    expect(await after(`/runs/${run}/streams/default`)).toEqual(twice({ action: 'stream.read', runId: run }));
    expect(await after(`/runs/${run}/resume`, {})).toEqual(twice({ action: 'run.resume', runId: run }));
    const ours = { id: `msg_${run}`, role: 'assistant', parts: [] };
    expect(await after('/chat', { id: 't1', messages: [ours] })).toEqual([
      { action: 'chat.send', threadId: 't1' },
      { action: 'chat.send', ...inThread },
    ]);
    expect(await after('/chat', { messages: [ours] })).toEqual(twice({ action: 'chat.send' }));
    expect(await after('/chat', { messages: [ours, userMessage('m2', 'More')] })).toEqual([
      { action: 'chat.send' },
      { action: 'chat.send', threadId: 't1' },
    ]);
    expect(await after('/chat', { messages: [userMessage('m2', 'More')] })).toEqual([
      { action: 'chat.send' },
      { action: 'chat.send', threadId: 'thread_m2' },
    ]);
    expect(await after('/chat', { id: 't1', messages: [decisionOf(run, id)] })).toEqual([
      { action: 'chat.send', threadId: 't1' },
      { action: 'chat.send', ...inThread },
      { action: 'approval.decide', approvalId: id, ...inThread },
    ]);
    expect(await after(`/approvals/${id}/decision`, { approved: false })).toEqual(
      twice({ action: 'approval.decide', approvalId: id }),
    );
    expect(await after('/chat/t1/stop', {})).toEqual([{ action: 'chat.stop', threadId: 't1' }]);
    expect(await after(`/chat/${run}/stop`, {})).toEqual(twice({ action: 'chat.stop', runId: run }));
    expect(await after(`/runs/${run}/cancel`, {})).toEqual(twice({ action: 'run.cancel', runId: run }));
  });

  it('a link that requires a login tells it where the approval belongs', async () => {
    const asked: AccessRequest[] = [];
    const made = Promise.withResolvers<ApprovalLinks>();
    const url = 'http://localhost/api';
    const onApprovalRequested = async ({ approval }: ApprovalNotice): Promise<void> =>
      made.resolve(await approval.links({ to: 'ann', url, requireLogin: true }));
    const site = await open(
      { agents: refundAgent([], { onApprovalRequested }) },
      { authorize: (_, access) => (asked.push(access), { id: 'ann' }) },
    );
    const { runId } = (await (await say(site, {}, { headers: { accept: 'application/json' } })).json()) as {
      runId: string;
    };
    const { deny } = await made.promise;
    const approvalId = (await site.runtime.approvals.list()).items[0]?.id;
    asked.length = 0;
    const link = deny.replace(url, site.api);
    expect((await site.fetch(link)).status).toBe(200);
    expect((await site.fetch(link, { method: 'POST' })).status).toBe(200);
    const where = { approvalId, runId, threadId: 't1' };
    expect(asked).toEqual([
      { action: 'approval.read', ...where },
      { action: 'approval.decide', ...where },
    ]);
  });

  it('its response is the answer', async () => {
    const authorize = (): Response =>
      new Response('sign in first', { status: 401, headers: { 'www-authenticate': 'Bearer' } });
    const site = await open({ agents: refundAgent() }, { authorize });
    const response = await say(site);
    expect([response.status, await response.text(), response.headers.get('www-authenticate')]).toEqual([
      401,
      'sign in first',
      'Bearer',
    ]);
    expect((await site.runtime.list({})).items).toEqual([]);
  });

  it('a POST that a foreign page can send without asking is refused', async () => {
    const site = await open({ agents: refundAgent() });
    const body = JSON.stringify({ id: 't1', messages: [userMessage('m1', 'Hello')] });
    const types = [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/jsonp',
    ];
    for (const type of types) {
      for (const origin of [undefined, 'https://evil.test', 'null']) {
        const headers = { 'content-type': type, ...(origin === undefined ? {} : { origin }) };
        const response = await site.fetch(`${site.api}/chat`, { method: 'POST', headers, body });
        expect(await refusalOf(response)).toMatchObject({ status: 403, code: 'forbidden' });
      }
    }
    for (const path of ['/chat/t1/stop', '/runs/x/cancel', '/approvals/x/decision']) {
      const response = await site.fetch(`${site.api}${path}`, { method: 'POST' });
      expect(await refusalOf(response)).toMatchObject({ status: 403, code: 'forbidden' });
    }
    expect((await site.runtime.list({})).items).toEqual([]);
    const { origin } = new URL(site.api);
    const own = await site.fetch(`${site.api}/chat`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', origin },
      body,
    });
    expect(own.status).toBe(200);
  });
});

overBothWays('an authorize that looks at threads', (open) => {
  /** What is Ann's is nobody else's. */
  const guarded: Authorize = (request, { threadId }) => {
    const id = request.headers.get('x-user') ?? 'ann';
    return threadId === 'thread_42' && id !== 'ann' ? new Response("Ann's", { status: 403 }) : { id };
  };
  const eve = { 'x-user': 'eve' };

  it('guards the thread that a message without one is for', async () => {
    const { model, prompts } = scriptedModel([{ text: 'Noted' }, { text: 'Hello' }]);
    const site = await open({ agents: { support: new DurableAgent({ model }) } }, { authorize: guarded });
    const sent = await say(site, { thread: 'thread_42', text: 'my pin is 1234' });
    const run = sent.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
    await chunksOf(sent);
    const ours = { id: `msg_${run}`, role: 'assistant', parts: [] };
    for (const messages of [[userMessage('42', 'what is my pin')], [ours, userMessage('m2', 'what is my pin')]]) {
      const refused = await post(site, { messages }, { headers: eve });
      expect([refused.status, await refused.text()]).toEqual([403, "Ann's"]);
    }
    expect(prompts.map(userTexts)).toEqual([['my pin is 1234']]);
    expect((await post(site, { messages: [userMessage('43', 'Hi')] }, { headers: eve })).status).toBe(200);
  });

  it('guards every way to what belongs to a thread', async () => {
    const site = await open({ agents: refundAgent() }, { authorize: guarded });
    const sent = await say(site, { thread: 'thread_42' });
    const run = sent.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
    await chunksOf(sent);
    const approval = (await site.runtime.approvals.list()).items[0]?.id ?? '';
    const { head } = await site.runtime.getRun(run).info();
    const ways: Array<[string, unknown?]> = [
      [`/chat/${run}/stream`],
      [`/chat/${run}~0/stream?startIndex=0`],
      [`/approvals?run=${run}`],
      [`/approvals?run=${run}&thread=own`],
      [`/approvals/${approval}`],
      [`/questions?run=${run}`],
      [`/runs/${run}`],
      [`/runs/${run}/events`],
      [`/runs/${run}/streams/default`],
      [`/runs/${run}/streams/default?offset=-1&live=sse`],
      ['/chat', { id: 'thread_42', messages: [decisionOf(run, approval)] }],
      ['/chat', { messages: [decisionOf(run, approval)] }],
      [`/chat/${run}/stop`, {}],
      [`/approvals/${approval}/decision`, { approved: true }],
      [`/runs/${run}/cancel`, {}],
      [`/runs/${run}/resume`, {}],
    ];
    for (const [path, body] of ways) {
      const answered =
        body === undefined
          ? site.fetch(`${site.api}${path}`, { headers: eve })
          : post(site, body, { path, headers: eve });
      const refused = await answered;
      expect([path, refused.status, await refused.text()]).toEqual([path, 403, "Ann's"]);
    }
    expect(await site.runtime.approvals.get(approval)).toMatchObject({
      status: 'pending',
      audit: [{ type: 'requested' }],
    });
    expect(await site.runtime.getRun(run).info()).toMatchObject({ head, cancelRequested: false });
  });

  it('guards the questions of a thread', async () => {
    const survey = workflow('survey', () => ask({ prompt: 'Now?', options: ['yes'] }));
    const site = await open({ agents: refundAgent(), workflows: [survey] }, { authorize: guarded });
    const run = await site.runtime.start(survey, { thread: 'thread_42' });
    await until(async () => (await site.runtime.questions.list()).items.length === 1);
    const question = (await site.runtime.questions.list()).items[0]?.id ?? '';
    const answerPath = `/questions/${question}/answer`;
    expect((await site.fetch(`${site.api}/questions/${question}`, { headers: eve })).status).toBe(403);
    expect((await post(site, { answer: 'yes' }, { path: answerPath, headers: eve })).status).toBe(403);
    expect((await site.runtime.questions.get(question)).status).toBe('pending');
    expect((await post(site, { answer: 'yes' }, { path: answerPath })).status).toBe(200);
    expect(await run.result()).toBe('yes');
  });

  it('guards the runs that a run of a thread has started', async () => {
    const inner = workflow('inner', () => ask({ prompt: 'Now?', options: ['yes'] }));
    const outer = workflow('outer', () => child(inner, undefined));
    const site = await open({ agents: refundAgent(), workflows: [inner, outer] }, { authorize: guarded });
    await site.runtime.start(outer, { thread: 'thread_42' });
    await until(async () => (await site.runtime.questions.list()).items.length === 1);
    const { id = '', run = '' } = (await site.runtime.questions.list()).items[0] ?? {};
    for (const path of [`/runs/${run}`, `/runs/${run}/streams/default`, `/questions/${id}`, `/questions?run=${run}`]) {
      expect([path, (await site.fetch(`${site.api}${path}`, { headers: eve })).status]).toEqual([path, 403]);
      expect([path, (await site.fetch(`${site.api}${path}`)).status]).toEqual([path, 200]);
    }
  });
});

overBothWays('two tenants', (open) => {
  const as = (tenant: string): { headers: Record<string, string> } => ({ headers: { 'x-tenant': tenant } });

  async function bothBytes(site: Site, paths: { own: string; unknown: string }, init: RequestInit): Promise<string[]> {
    const strip = (text: string, path: string): string => text.replaceAll(decodeURIComponent(path), 'ID');
    const own = await site.fetch(`${site.api}${paths.own}`, init);
    const unknown = await site.fetch(`${site.api}${paths.unknown}`, init);
    const [ownId = '', unknownId = ''] = [paths.own, paths.unknown].map((path) => path.split('/')[2]?.split(/[?~]/)[0]);
    return [
      `${own.status} ${strip(await own.text(), ownId)}`,
      `${unknown.status} ${strip(await unknown.text(), unknownId)}`,
    ];
  }

  it("do not see each other: what is the other one's answers as what does not exist", async () => {
    const site = await open({ agents: refundAgent() });
    const sent = await say(site, { thread: 't1' }, as('acme'));
    const run = sent.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
    await chunksOf(sent);
    const [approval] = (await site.runtime.approvals.list({ tenant: 'acme' })).items;
    const unknownRun = `run_${'0'.repeat(32)}`;
    const pairs: Array<{ own: string; unknown: string; init?: RequestInit }> = [
      { own: '/chat/t1', unknown: '/chat/zz' },
      { own: '/chat/t1/stream', unknown: '/chat/zz/stream' },
      { own: `/chat/${run}/stream`, unknown: `/chat/${unknownRun}/stream` },
      { own: `/chat/${run}~0/stream?startIndex=0`, unknown: `/chat/${unknownRun}~0/stream?startIndex=0` },
      { own: `/runs/${run}`, unknown: `/runs/${unknownRun}` },
      { own: `/runs/${run}/events`, unknown: `/runs/${unknownRun}/events` },
      { own: `/runs/${run}/streams/default`, unknown: `/runs/${unknownRun}/streams/default` },
      { own: `/approvals/${approval?.id}`, unknown: '/approvals/apr_0' },
    ];
    const body = (value: unknown): RequestInit => ({ method: 'POST', body: JSON.stringify(value) });
    pairs.push(
      { own: '/chat/t1/stop', unknown: '/chat/zz/stop', init: body({}) },
      { own: `/runs/${run}/cancel`, unknown: `/runs/${unknownRun}/cancel`, init: body({}) },
      { own: `/runs/${run}/resume`, unknown: `/runs/${unknownRun}/resume`, init: body({}) },
      {
        own: `/approvals/${approval?.id}/decision`,
        unknown: '/approvals/apr_0/decision',
        init: body({ approved: true }),
      },
    );
    for (const tenant of [{}, { 'x-tenant': 'other' }]) {
      for (const { init = {}, ...paths } of pairs) {
        const headers = { 'content-type': 'application/json', ...tenant };
        const [theirs, unknown] = await bothBytes(site, paths, { ...init, headers });
        expect(theirs).toBe(unknown);
      }
      const list = await site.fetch(`${site.api}/runs`, { headers: tenant });
      expect(await list.json()).toEqual({ items: [], cursor: null });
      const approvals = await site.fetch(`${site.api}/approvals?status=all`, { headers: tenant });
      expect(await approvals.json()).toEqual({ items: [], cursor: null });
    }
    expect(await site.runtime.approvals.get(approval?.id ?? '')).toMatchObject({ status: 'pending', tenant: 'acme' });
    expect((await site.runtime.getRun(run).info()).cancelRequested).toBe(false);
  });

  it("one that opens the other one's thread sees its own, and no position in the other's", async () => {
    const site = await open({ agents: refundAgent() });
    const sent = await say(site, { thread: 't1' }, as('acme'));
    const theirs = sent.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
    await chunksOf(sent);
    const controller = new AbortController();
    const streamOf = (query: string): Promise<Response> =>
      site.fetch(`${site.api}/threads/t1/stream${query}`, { ...as('other'), signal: controller.signal });
    const refusals = [theirs, `run_${'0'.repeat(32)}`].map(async (run) => {
      const refused = await streamOf(`?after=${run}~${'0'.repeat(16)}`);
      return `${refused.status} ${(await refused.text()).replaceAll(run, 'RUN')}`;
    });
    const [foreign, unknown] = await Promise.all(refusals);
    expect(foreign).toBe(unknown);
    expect(foreign).toContain('400 {"error":{"code":"invalid_offset"');

    const opened = await Promise.all([streamOf(''), streamOf('?after=start')]);
    expect(opened.map(({ headers }) => headers.get('stream-next-offset'))).toEqual(['start', 'start']);
    const frames = opened.map((response) => framesOf(response, controller.signal));
    const next = async (): Promise<unknown[]> =>
      Promise.all(frames.map(async (each) => ((await each.next()) as { value: Frame }).value));
    const idle = { event: 'thread', id: undefined, data: JSON.stringify({ id: 't1', run: null, queued: [] }) };
    expect(await next()).toEqual([idle, idle]);
    const own = await say(site, { thread: 't1' }, as('other'));
    const ours = own.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
    await chunksOf(own);
    const begun = expect.objectContaining({ event: 'run', id: `${ours}~${'0'.repeat(16)}` });
    expect(await next()).toEqual([begun, begun]);
    controller.abort();
  });

  it('may have threads of the same id', async () => {
    const { model } = scriptedModel([{ text: 'One' }, { text: 'Two' }]);
    const site = await open({ agents: { support: new DurableAgent({ model }) } });
    const [a, b] = [await say(site, {}, as('a')), await say(site, {}, as('b'))];
    expect(a.headers.get('x-workflow-run-id')).not.toBe(b.headers.get('x-workflow-run-id'));
    await Promise.all([chunksOf(a), chunksOf(b)]);
    for (const tenant of ['a', 'b']) {
      const history = await site.fetch(`${site.api}/chat/t1`, as(tenant));
      expect(((await history.json()) as { messages: unknown[] }).messages).toHaveLength(2);
    }
    expect((await site.runtime.list({ tenant: 'a' })).items).toHaveLength(1);
  });
});
