/** The code of docs/hooks.md, run: each block of TypeScript there stands in this file word for word. */

import { createHook, createRuntime, createWebhook, defineHook, DurableAgent, step, workflow } from 'everturn';
import type { Runtime, Verifier } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createApp, standardWebhooks } from 'everturn/server';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';

const here = import.meta.dirname;
const page = readFileSync(join(here, '../../docs/hooks.md'), 'utf8');

const mails: string[] = [];
const sendMail = (to: string, text: string): void => void mails.push(`${to}: ${text}`);
const asked: string[] = [];
const requestPayment = (id: string, { notify }: { notify: string }): void => void asked.push(`${id} ${notify}`);
const isSigned = (text: string, signature: string | null): boolean => signature === `signed ${text}`;

export const review = defineHook({ schema: z.object({ approved: z.boolean(), by: z.string() }) });

export const publish = workflow('publish', async (article: string) => {
  const hook = review.create({ token: `review:${article}`, expiresIn: '3 days' });
  await step('ask', () => sendMail('editors@shop.example', `Please review ${article}`));
  const { approved, by } = await hook;
  return approved ? `published, as ${by} said` : 'withdrawn';
});

export const basket = workflow('basket', async (id: string) => {
  using items = createHook<string>({ token: `basket:${id}`, many: true });
  const taken: string[] = [];
  for await (const item of items) {
    if (item === 'checkout') break;
    taken.push(item);
  }
  return taken;
});

export const order = workflow('order', async (id: string) => {
  const webhook = createWebhook({ verify: 'shop', expiresIn: '1 hour' });
  await step('pay', () => requestPayment(id, { notify: webhook.url }));
  const request = await webhook;
  const { status } = await request.json<{ status: string }>();
  return status;
});

export const quote = workflow('quote', async () => {
  const request = await createWebhook({ token: 'quotes', respondWith: 'manual', timeout: '3s' });
  const { pieces } = await request.json<{ pieces: number }>();
  await step('answer', () => request.respondWith(Response.json({ price: pieces * 7 })));
});

const shop: Verifier = ({ headers, text, now }) => {
  if (!isSigned(text, headers.get('x-shop-signature'))) throw new Error('wrong signature');
  if (now - Number(headers.get('x-shop-time')) > 300_000) throw new Error('too old');
  return { id: headers.get('x-shop-delivery') ?? undefined };
};

function opened(): TestRuntime {
  const runtime = createTestRuntime({ workflows: [publish, basket, order, quote] });
  onTestFinished(() => runtime.close());
  return runtime;
}

describe('docs/hooks.md', () => {
  it('shows no other TypeScript than what stands here', () => {
    const own = readFileSync(join(here, 'hooks-guide.test.ts'), 'utf8').replaceAll(/\s+/g, ' ');
    const blocks = [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map((match) => match[1] ?? '');
    expect(blocks.length).toBeGreaterThan(5);
    for (const block of blocks) expect(own).toContain(block.trim().replaceAll(/\s+/g, ' '));
  });

  it('waits for a typed payload', async () => {
    const runtime = opened();
    const run = await runtime.start(publish, { input: 'a1' });
    await runtime.until(run, 'waiting');
    expect(mails).toEqual(['editors@shop.example: Please review a1']);
    await review.resume(runtime, { token: 'review:a1', payload: { approved: true, by: 'ada' } });
    expect(await run.result()).toBe('published, as ada said');
  });

  it('takes many payloads', async () => {
    const runtime = opened();
    const run = await runtime.start(basket, { input: 'b1' });
    await runtime.until(run, 'waiting');
    for (const item of ['soap', 'salt', 'checkout']) await runtime.resumeHook('basket:b1', item);
    expect(await run.result()).toEqual(['soap', 'salt']);
  });

  it('is told of a payment by a signed request', async () => {
    const store = memoryStore();
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const support = new DurableAgent({ model: scriptedModel(() => 'Hello') });
    const runtime = createRuntime({
      store,
      workflows: [order],
      agents: { support },
      publicUrl: 'https://shop.example/api',
    });
    const app = createApp(runtime, { verifiers: { shop: standardWebhooks(secret) } });
    onTestFinished(() => runtime.close());
    const run = await runtime.start(order, { input: 'o1' });
    await expect.poll(() => asked).toHaveLength(1);
    const url = /^o1 (https:\/\/shop\.example\/api\/webhooks\/[0-9a-f]{64})$/.exec(asked[0] ?? '')?.[1] ?? '';
    const body = '{"status":"paid"}';
    const now = new Date();
    const headers = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
      'webhook-signature': new Webhook(secret).sign('msg_1', now, body),
    };
    const response = await app.fetch(new Request(url, { method: 'POST', body, headers }));
    expect(response.status).toBe(202);
    expect(await run.result()).toBe('paid');
  });

  it('answers from a step', async () => {
    const runtime = opened();
    const run = await runtime.start(quote);
    await runtime.until(run, 'waiting');
    const request = new Request('https://shop.example/', { method: 'POST', body: '{"pieces":6}' });
    expect(await (await runtime.resumeWebhook('quotes', request)).json()).toEqual({ price: 42 });
  });

  it('asks a verifier of its own', async () => {
    const runtime: Runtime = opened();
    const run = await runtime.start(order, { input: 'o2' });
    await (runtime as TestRuntime).until(run, 'waiting');
    const token = asked.at(-1)?.split('/').at(-1) ?? '';
    const body = '{"status":"failed"}';
    const now = (runtime as TestRuntime).clock.now();
    const send = (signature: string, time: number): Promise<Response> =>
      runtime.resumeWebhook(
        token,
        new Request('https://shop.example/', {
          method: 'POST',
          body,
          headers: { 'x-shop-signature': signature, 'x-shop-time': String(time), 'x-shop-delivery': 'd1' },
        }),
        { verifiers: { shop } },
      );
    await expect(send('forged', now)).rejects.toMatchObject({ code: 'signature_invalid' });
    await expect(send(`signed ${body}`, now - 300_001)).rejects.toMatchObject({ code: 'signature_invalid' });
    expect((await send(`signed ${body}`, now)).status).toBe(202);
    expect(await run.result()).toBe('failed');
  });
});
