import { createHook, createRuntime, createWebhook, DurableAgent, DurableError, sleep, step, workflow } from 'everturn';
import type { WebhookOptions, WebhookRequest, Workflow } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { createApp, serve } from 'everturn/server';
import { createTestRuntime } from 'everturn/testing';
import type { TestRuntime, TestRuntimeOptions } from 'everturn/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { recordingLogger, scriptedModel } from '../agent/run-kit.ts';

function opened(code: Workflow<never>, options: TestRuntimeOptions = {}): TestRuntime {
  const runtime = createTestRuntime({ workflows: [code], ...options });
  onTestFinished(() => runtime.close());
  return runtime;
}

const request = (body = '{}', headers: Record<string, string> = {}): Request =>
  new Request('http://localhost/anything', { method: 'POST', body, headers });

const once = { retries: 0 };

const codeOf = (error: unknown): unknown => (DurableError.is(error) ? error.code : error);

/** Runs code that makes a webhook and waits; answers its run once it waits. */
async function waiting(
  code: Workflow<void>,
  options?: TestRuntimeOptions,
): Promise<{ runtime: TestRuntime; id: string }> {
  const runtime = opened(code, options);
  const { id } = await runtime.start(code);
  await runtime.until(id, 'waiting');
  return { runtime, id };
}

describe('a webhook in a run', () => {
  it('has a URL below the public one, the same on replay, that nobody can guess', async () => {
    const urls: string[] = [];
    const code = workflow('code', async () => {
      const webhook = createWebhook();
      urls.push(webhook.url);
      const { url } = await webhook;
      return { url, token: webhook.token };
    });
    const { runtime, id } = await waiting(code, { publicUrl: 'https://shop.example/api/' });
    const token = new URL(urls[0] ?? '').pathname.split('/').at(-1) ?? '';
    expect(urls).toEqual([`https://shop.example/api/webhooks/${token}`]);
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    await runtime.restart();
    await runtime.resumeWebhook(token, new Request('http://10.0.0.1/x?from=inside', { method: 'POST' }));
    expect(await runtime.getRun(id).result()).toEqual({ url: `${urls[0]}?from=inside`, token });
    expect(urls).toEqual([urls[0], urls[0]]);
  });

  it('does not store its token, and shows none to those who read the journal', async () => {
    const code = workflow('code', async () => {
      await createWebhook({ token: 'a-secret-token' });
    });
    const { runtime, id } = await waiting(code);
    await runtime.resumeWebhook(
      'a-secret-token',
      new Request('http://localhost/api/webhooks/a-secret-token?q=1', { method: 'POST' }),
    );
    await runtime.getRun(id).result();
    const events = await runtime.getRun(id).events();
    expect(JSON.stringify(events.map(({ key, meta, value }) => ({ key, meta, value })))).not.toContain(
      'a-secret-token',
    );
  });

  it('keeps a request that comes before the wait, and gives the same one on replay', async () => {
    const code = workflow('code', async () => {
      const webhook = createWebhook({ token: 'bell' });
      await createHook({ token: 'go on' });
      const { id, text } = await webhook;
      const first = await text();
      await createHook({ token: 'end' });
      return [id, first];
    });
    const { runtime, id } = await waiting(code);
    await runtime.resumeWebhook('bell', request('early', { 'idempotency-key': 'd1' }));
    await runtime.restart();
    await runtime.resumeHook('go on');
    await runtime.until(id, 'waiting');
    await runtime.restart();
    await runtime.resumeHook('end');
    expect(await runtime.getRun(id).result()).toEqual(['d1', 'early']);
  });

  it('expires as a hook does, and loses a race against sleep', async () => {
    const expiring = workflow('expiring', async () =>
      createWebhook({ token: 'bell', expiresIn: '1 hour' }).then(() => 'came', codeOf),
    );
    const first = await waiting(expiring);
    await first.runtime.clock.advance('1 hour');
    expect(await first.runtime.getRun(first.id).result()).toBe('hook_expired');
    await expect(first.runtime.resumeWebhook('bell', request())).rejects.toMatchObject({ code: 'hook_closed' });

    const racing = workflow('racing', async () =>
      Promise.race([createWebhook({ token: 'bell' }).then(() => 'came'), sleep('1 hour').then(() => 'slept')]),
    );
    const second = await waiting(racing);
    await second.runtime.clock.advance('1 hour');
    expect(await second.runtime.getRun(second.id).result()).toBe('slept');
  });

  it('costs nothing but its row while it waits, with a static response too', async () => {
    const code = workflow('code', async () => {
      await createWebhook({ token: 'bell', respondWith: new Response('thanks') });
    });
    const { runtime, id } = await waiting(code);
    expect((await runtime.store.get(id))?.dueAt).toBeNull();
    const response = await runtime.resumeWebhook('bell', request());
    expect(await response.text()).toBe('thanks');
  });

  it('keeps its static response as long as it waits, whatever is kept of streams', async () => {
    const code = workflow('code', async () => {
      await createWebhook({ token: 'bell', respondWith: new Response('thanks') });
    });
    const { runtime } = await waiting(code, { streams: { keep: { age: '1 hour' } } });
    await runtime.clock.advance('3 hours');
    expect(await (await runtime.resumeWebhook('bell', request())).text()).toBe('thanks');
  });

  it('stores its static response once, whenever its process dies', async () => {
    const thanks = new Response('thanks');
    const code = workflow('code', async () => {
      await createWebhook({ token: 'bell', respondWith: thanks, many: true });
      await createHook({ token: 'end' });
    });
    for (const commit of [1, 2, 3]) {
      const runtime = opened(code);
      runtime.crashAfterCommit(commit);
      const { id } = await runtime.start(code);
      await runtime.crashed();
      await runtime.restart();
      await runtime.until(id, 'waiting');
      for (const _ of [1, 2]) expect(await (await runtime.resumeWebhook('bell', request())).text()).toBe('thanks');
      const steps = (await runtime.getRun(id).events()).filter(({ type }) => type === 'step_completed');
      expect(steps.map(({ key }) => key)).toEqual([expect.stringMatching(/^webhook:[0-9a-f]{16}\/response$/)]);
    }
  });
});

describe('the response of run code', () => {
  /** Tries to answer outside a step, and then in one. */
  const trying = (options: WebhookOptions, answer: (request: WebhookRequest) => unknown): Workflow<void> =>
    workflow('trying', async () => {
      const request = await createWebhook({ token: 'bell', ...options });
      return Promise.resolve(answer(request)).then(() => 'answered', codeOf);
    });

  it.each<[string, WebhookOptions, (request: WebhookRequest) => unknown]>([
    ['outside a step', { respondWith: 'manual' }, (it) => it.respondWith(new Response('x'))],
    ['where the webhook answers by itself', {}, (it) => step('answer', () => it.respondWith(new Response('x')), once)],
    ['that is none', { respondWith: 'manual' }, (it) => step('answer', () => it.respondWith('x' as never), once)],
    [
      'that is an error',
      { respondWith: 'manual' },
      (it) => step('answer', () => it.respondWith(Response.error()), once),
    ],
  ])('is refused %s', async (_, options, answer) => {
    const { runtime, id } = await waiting(trying(options, answer));
    await runtime.resumeWebhook('bell', request());
    expect(await runtime.getRun(id).result()).toBe('invalid_argument');
  });

  it('is refused if it is larger than a stored value', async () => {
    const large = new Response('x'.repeat(1_048_576));
    const answer = (it: WebhookRequest): unknown => step('answer', () => it.respondWith(large), once);
    const { runtime, id } = await waiting(trying({ respondWith: 'manual' }, answer), { maxValueBytes: 1_048_576 });
    await runtime.resumeWebhook('bell', request());
    expect(await runtime.getRun(id).result()).toBe('value_too_large');
  });

  it('is the first one, when a step answers and is tried again', async () => {
    let tries = 0;
    const code = workflow('code', async () => {
      const request = await createWebhook({ token: 'bell', respondWith: 'manual' });
      await step('answer', async () => {
        tries += 1;
        await request.respondWith(new Response(`try ${tries}`));
        if (tries === 1) throw new Error('after the answer');
      });
      await createHook({ token: 'end' });
    });
    const { runtime, id } = await waiting(code);
    const first = runtime.resumeWebhook('bell', request('{}', { 'idempotency-key': 'd1' }));
    expect(await (await first).text()).toBe('try 1');
    await runtime.clock.advance(1_000);
    await runtime.until(id, 'waiting');
    const again = await runtime.resumeWebhook('bell', request('{}', { 'idempotency-key': 'd1' }));
    expect([await again.text(), tries]).toEqual(['try 1', 2]);
  });

  it('is accepted once more when it is so old that its response is not kept', async () => {
    const code = workflow('code', async () => {
      const request = await createWebhook({ token: 'bell', respondWith: 'manual' });
      await step('answer', () => request.respondWith(new Response('now')));
    });
    const { runtime, id } = await waiting(code, { streams: { keep: { age: '1 hour' } } });
    const delivery = (): Request => request('{}', { 'idempotency-key': 'd1' });
    expect(await (await runtime.resumeWebhook('bell', delivery())).text()).toBe('now');
    await runtime.until(id, 'completed');
    await runtime.clock.advance('3 hours');
    const again = await runtime.resumeWebhook('bell', delivery());
    expect([again.status, await again.text()]).toEqual([202, '']);
  });

  it('is given up when the sender has gone', async () => {
    const code = workflow('code', async () => {
      await createWebhook({ token: 'bell', respondWith: 'manual', timeout: '1 minute' });
      await createHook({ token: 'end' });
    });
    const { runtime } = await waiting(code);
    const gone = new AbortController();
    const sent = new Request('http://localhost/', { method: 'POST', signal: gone.signal });
    const answer = runtime.resumeWebhook('bell', sent);
    gone.abort();
    expect((await answer).status).toBe(202);
  });
});

describe('a wrong webhook', () => {
  it.each<[string, WebhookOptions, RegExp]>([
    ['respondWith', { respondWith: 'always' as never }, /neither a Response nor "manual"/],
    ['timeout', { timeout: '2 minutes' }, /longer than a minute/],
    ['verify', { verify: (() => true) as never }, /createApp\(runtime, \{ verifiers/],
    ['methods', { methods: ['post'] }, /\["POST", "PUT"\]/],
    ['no methods', { methods: [] }, /\["POST", "PUT"\]/],
    ['maxBodyBytes', { maxBodyBytes: 1_000_000 }, /at most 700000/],
    ['many and expiresIn', { many: true, expiresIn: 1 }, /Race its next/],
  ])('is refused when it is made: %s', async (_, options, says) => {
    const code = workflow('code', async () => void createWebhook(options));
    const run = await opened(code).start(code);
    await expect(run.result()).rejects.toMatchObject({
      cause: { code: 'invalid_argument', message: expect.stringMatching(says) },
    });
  });

  it('says what is wrong with a body that is no JSON', async () => {
    const code = workflow('code', async () => {
      const request = await createWebhook({ token: 'bell' });
      return request.json().catch(codeOf);
    });
    const { runtime, id } = await waiting(code);
    await runtime.resumeWebhook('bell', request('{"open":'));
    expect(await runtime.getRun(id).result()).toBe('payload_invalid');
  });

  it.each(['shop.example/api', 'ftp://shop.example', 7])('%s is no public URL', (publicUrl) => {
    expect(() => createTestRuntime({ publicUrl: publicUrl as string })).toThrow('https://shop.example/api');
  });
});

it('a webhook is answered through one process by a run that executes in another', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-webhooks-'));
  const file = join(folder, 'runs.db');
  const greet = workflow('greet', async () => {
    const webhook = createWebhook({ respondWith: 'manual', many: true, verify: 'shop' });
    await step('tell', () => void urls.push(webhook.url));
    const names: string[] = [];
    for await (const request of webhook) {
      const { name } = await request.json<{ name: string }>();
      names.push(name);
      await step('answer', () => request.respondWith(Response.json({ hello: name })));
      if (names.length === 2) return names;
    }
  });
  const urls: string[] = [];
  const support = new DurableAgent({ model: scriptedModel([]).model });
  const { logger } = recordingLogger();
  const working = createRuntime({ store: sqliteStore(file), workflows: [greet], logger });
  const serving = createRuntime({ store: sqliteStore(file), agents: { support }, worker: false, logger });
  const verifiers = { shop: ({ headers }: { headers: Headers }) => ({ id: headers.get('x-shop-id') ?? 'none' }) };
  const server = await serve(createApp(serving, { verifiers, logger }), { port: 0 });
  onTestFinished(async () => {
    await server.close();
    await Promise.all([working.close(), serving.close()]);
    rmSync(folder, { recursive: true });
  });
  const run = await working.start(greet);
  await expect.poll(() => run.status).toBe('waiting');
  const send = (name: string): Promise<Response> =>
    fetch(`${server.url}${urls[0]}`, {
      method: 'POST',
      body: JSON.stringify({ name }),
      headers: { 'x-shop-id': name },
    });
  const answers = [await send('ann'), await send('ann'), await send('bob')];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(await Promise.all(answers.map((each) => each.json()))).toEqual([
    { hello: 'ann' },
    { hello: 'ann' },
    { hello: 'bob' },
  ]);
  expect(await run.result()).toEqual(['ann', 'bob']);
});
