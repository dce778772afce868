import { createHook, createWebhook, DurableAgent, sleep, step, workflow } from 'everturn';
import type { RunHandle, Webhook, WebhookOptions, Workflow } from 'everturn';
import type { AppOptions } from 'everturn/server';
import { expect, it } from 'vitest';
import { scriptedModel, until } from '../agent/run-kit.ts';
import { overBothWays, refusalOf } from './kit.ts';
import type { OpenSite, Site } from './kit.ts';

interface Bell extends Site {
  run: RunHandle;
  ring(init?: RequestInit & { query?: string; token?: string }): Promise<Response>;
}

/** A run that waits for requests at the token "bell". */
async function openBell(open: OpenSite, code: Workflow<void>, app: AppOptions = {}): Promise<Bell> {
  const support = new DurableAgent({ model: scriptedModel([]).model });
  const site = await open({ agents: { support }, workflows: [code] }, app);
  const run = await site.runtime.start(code);
  await until(async () => (await run.status) === 'waiting');
  return {
    ...site,
    run,
    ring: ({ query = '', token = 'bell', ...init } = {}) =>
      site.fetch(`${site.api}/webhooks/${token}${query}`, { method: 'POST', ...init }),
  };
}

const bell = (options: WebhookOptions): Webhook => createWebhook({ token: 'bell', ...options });

/** Takes one request and says what came. */
const one = (options: WebhookOptions = {}): Workflow<void> =>
  workflow('one', async () => {
    const webhook = bell(options);
    const request = await webhook;
    const { method, headers, body, url } = request;
    const again = new Uint8Array(await request.request.arrayBuffer());
    return { method, url, type: headers.get('content-type'), own: headers.get('x-own'), body, again, at: webhook.url };
  });

/** Answers each of `count` requests with what it says. */
const echo = (count: number, options: WebhookOptions = {}): Workflow<void> =>
  workflow('echo', async () => {
    const requests = bell({ many: true, respondWith: 'manual', ...options });
    const texts: string[] = [];
    for await (const request of requests) {
      const { name } = await request.json<{ name: string }>();
      texts.push(name);
      await step('answer', () =>
        request.respondWith(Response.json({ hello: name }, { status: 201, headers: { 'x-run': 'yes' } })),
      );
      if (texts.length === count) return texts;
    }
  });

const json = (value: unknown, headers: Record<string, string> = {}): RequestInit => ({
  body: JSON.stringify(value),
  headers,
});

overBothWays('a webhook', (open) => {
  it('takes a request whole and answers 202', async () => {
    const site = await openBell(open, one());
    const body = Uint8Array.of(0, 255, 10, 13, 200);
    const response = await site.ring({
      body,
      query: '?a=1&b=%20',
      headers: { 'content-type': 'image/x', 'x-own': 'mine' },
    });
    expect([response.status, await response.text()]).toEqual([202, '']);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await site.run.result()).toEqual({
      method: 'POST',
      url: '/api/webhooks/bell?a=1&b=%20',
      type: 'image/x',
      own: 'mine',
      body,
      again: body,
      at: '/api/webhooks/bell',
    });
  });

  it('gives each sender the same static response', async () => {
    const sorry = new Response('thank you', { status: 203, headers: { 'content-type': 'text/x-thanks', 'x-a': '1' } });
    const code = workflow('static', async () => {
      for await (const request of bell({ many: true, respondWith: sorry })) {
        if ((await request.text()) === 'last') return 'done';
      }
    });
    const site = await openBell(open, code);
    for (const body of ['first', 'last']) {
      const response = await site.ring({ body });
      expect([response.status, response.headers.get('content-type'), response.headers.get('x-a')]).toEqual([
        203,
        'text/x-thanks',
        '1',
      ]);
      expect(await response.text()).toBe('thank you');
    }
    expect(await site.run.result()).toBe('done');
  });

  it('gives each sender what a step of the run answers', async () => {
    const site = await openBell(open, echo(2));
    const responses = await Promise.all(['ann', 'bob'].map((name) => site.ring(json({ name }))));
    expect(responses.map(({ status, headers }) => [status, headers.get('x-run')])).toEqual([
      [201, 'yes'],
      [201, 'yes'],
    ]);
    expect(await Promise.all(responses.map((each) => each.json()))).toEqual([{ hello: 'ann' }, { hello: 'bob' }]);
  });

  it('applies the same delivery once, and answers it again as the first time', async () => {
    const site = await openBell(open, echo(2));
    const delivery = json({ name: 'ann' }, { 'idempotency-key': 'delivery-1' });
    const answers = [await site.ring(delivery), await site.ring(delivery)];
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect(await Promise.all(answers.map((each) => each.json()))).toEqual([{ hello: 'ann' }, { hello: 'ann' }]);
    await site.ring(json({ name: 'bob' }, { 'idempotency-key': 'delivery-2' }));
    expect(await site.run.result()).toEqual(['ann', 'bob']);
    expect((await site.ring(delivery)).status).toBe(201);
  });

  it('tells a sender that waits too long to come again, and has the answer then', async () => {
    const slow = workflow('slow', async () => {
      const request = await bell({ respondWith: 'manual', timeout: 40 });
      await createHook({ token: 'go on' });
      await step('answer', () => request.respondWith(new Response('here it is')));
      await createHook({ token: 'end' });
    });
    const site = await openBell(open, slow);
    const delivery = json({}, { 'idempotency-key': 'delivery-1' });
    expect(await refusalOf(await site.ring(delivery))).toMatchObject({
      status: 504,
      code: 'webhook_unanswered',
      details: { run: site.run.id, timeoutMs: 40 },
    });
    await site.runtime.resumeHook('go on');
    const response = await site.ring(delivery);
    expect([response.status, await response.text()]).toEqual([200, 'here it is']);
  });

  it('does not make a sender repeat what it has no name for', async () => {
    const silent = workflow('silent', async () => {
      await bell({ respondWith: 'manual', timeout: 20 });
      await sleep('1 hour');
    });
    const site = await openBell(open, silent);
    expect((await site.ring()).status).toBe(202);
  });

  it('answers 202 when the run ends without a response', async () => {
    const site = await openBell(
      open,
      workflow('curt', async () => void (await bell({ respondWith: 'manual' }))),
    );
    expect((await site.ring(json({}, { 'idempotency-key': 'x' }))).status).toBe(202);
  });

  it('takes the methods that it names, and no others', async () => {
    const site = await openBell(open, one({ methods: ['GET', 'PUT'] }));
    const refused = await site.ring({ body: 'x' });
    expect(refused.headers.get('allow')).toBe('GET, PUT');
    expect(await refusalOf(refused)).toMatchObject({ status: 405, code: 'method_not_allowed' });
    expect((await site.ring({ method: 'GET', query: '?challenge=7' })).status).toBe(202);
    expect(await site.run.result()).toMatchObject({ method: 'GET', url: '/api/webhooks/bell?challenge=7' });
  });

  it('takes bodies up to its limit, and up to that of the app', async () => {
    const site = await openBell(open, one({ maxBodyBytes: 10 }), { maxBodyBytes: 1_000 });
    expect(await refusalOf(await site.ring({ body: 'x'.repeat(11) }))).toMatchObject({
      status: 413,
      code: 'body_too_large',
      details: { limit: 10 },
    });
    expect((await site.ring({ body: 'x'.repeat(10) })).status).toBe(202);
    const small = await openBell(open, one(), { maxBodyBytes: 5 });
    expect((await small.ring({ body: 'x'.repeat(6) })).status).toBe(413);
  });

  it('has room for the largest body that it may take', async () => {
    const site = await openBell(open, one());
    expect((await site.ring({ body: new Uint8Array(700_000).fill(200) })).status).toBe(202);
    expect(((await site.run.result()) as { body: Uint8Array }).body.length).toBe(700_000);
  });

  it('is not found by another token, and is no plain hook', async () => {
    const site = await openBell(
      open,
      workflow('both', async () => Promise.all([bell({}), createHook({ token: 'plain' })])),
    );
    for (const token of ['other', 'plain'])
      expect(await refusalOf(await site.ring({ token }))).toMatchObject({ status: 404, code: 'hook_not_found' });
    // A payload made up by somebody would pass for a request that was verified.
    const forged = await site.fetch(`${site.api}/hooks/bell`, { method: 'POST', body: '{}' });
    expect(await refusalOf(forged)).toMatchObject({ status: 400, code: 'invalid_argument' });
    expect(await site.run.status).toBe('waiting');
  });

  it('says that it is gone when its code has closed it, or its one request came', async () => {
    const code = workflow('closing', async () => {
      {
        using webhook = bell({ many: true });
        await webhook;
      }
      await createWebhook({ token: 'once' });
      await createHook({ token: 'end' });
    });
    const site = await openBell(open, code);
    expect((await site.ring()).status).toBe(202);
    const closed = async (): Promise<boolean> => (await site.run.events()).some(({ type }) => type === 'hook_closed');
    await until(async () => (await closed()) && (await site.run.status) === 'waiting');
    expect(await refusalOf(await site.ring())).toMatchObject({ status: 410, code: 'hook_closed' });
    const header = { 'idempotency-key': 'the one' };
    expect((await site.ring({ token: 'once', headers: header })).status).toBe(202);
    expect((await site.ring({ token: 'once', headers: header })).status).toBe(202);
    expect(await refusalOf(await site.ring({ token: 'once' }))).toMatchObject({
      status: 409,
      code: 'hook_already_resumed',
    });
  });

  it('needs no principal and no Origin', async () => {
    const site = await openBell(open, one(), { authorize: () => new Response('who are you', { status: 401 }) });
    expect((await site.ring({ headers: { origin: 'https://elsewhere.example' } })).status).toBe(202);
  });
});
