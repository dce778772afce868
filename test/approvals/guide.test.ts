/** The code of docs/human-in-the-loop.md, run: each block of TypeScript there stands in this file word for word, or in the example that it speaks of. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tool } from 'ai';
import { DurableAgent, getToolMetadata } from 'everturn';
import type { OnApprovalRequested } from 'everturn';
import { createApp } from 'everturn/server';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { afterEach, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { DAY, HOUR } from './kit.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/human-in-the-loop.md'), 'utf8');
const blocks = [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map((match) => match[1] ?? '');
const unindented = (text: string): string => text.replaceAll(/^ +/gm, '');
const example = join(import.meta.dirname, '../../examples/slack.ts');
const source = unindented(readFileSync(import.meta.filename, 'utf8') + readFileSync(example, 'utf8'));

it.each(blocks)('docs/human-in-the-loop.md shows code that is run: %j', (block) => {
  expect(blocks.length).toBeGreaterThan(4);
  expect(source).toContain(unindented(block).trim());
});

const model = scriptedModel(({ prompt }) =>
  prompt.at(-1)?.role === 'user' ? { toolCalls: [{ toolName: 'refund', input: { order: 7, euros: 80 } }] } : 'Done.',
);
const paid: unknown[] = [];
const payBack = (order: number, euros: number, { idempotencyKey }: { idempotencyKey: string }): string => {
  paid.push({ order, euros, idempotencyKey });
  return 'paid';
};
const people = new Map([['ada@shop.example', 'finance']]);
const directory = async (): Promise<Map<string, string>> => people;
const slackToken = 'xoxb-1';
const slackChannelOf = async (to: string): Promise<string> => `D-${to}`;
const uuidOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32);

const isOf = async (group: string, id: string): Promise<boolean> => (await directory()).get(id) === group;

const tellSlack: OnApprovalRequested = async ({ reason, approval, idempotencyKey, signal }) => {
  const to = reason === 'escalated' ? 'boss@shop.example' : 'ada@shop.example';
  const { approve, deny, view } = await approval.links({ to });
  const lead = reason === 'reminder' ? 'Still open: ' : '';
  const button = (text: string, url: string) => ({ type: 'button', text: { type: 'plain_text', text }, url });
  const response = await fetch('https://slack.com/api/chat.postMessage', {
    method: 'POST',
    headers: { authorization: `Bearer ${slackToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      channel: await slackChannelOf(to),
      client_msg_id: uuidOf(idempotencyKey),
      text: `${lead}${approval.prompt}`,
      blocks: [
        { type: 'section', text: { type: 'plain_text', text: `${lead}${approval.prompt}` } },
        { type: 'actions', elements: [button('Approve', approve), button('Deny', deny), button('Look', view)] },
      ],
    }),
    signal,
  });
  if (!response.ok) throw new Error(`Slack answered ${response.status}`);
};

const refund = tool({
  description: 'Pay money back',
  inputSchema: z.object({ order: z.number(), euros: z.number().positive() }),
  execute: ({ order, euros }) => payBack(order, euros, { idempotencyKey: getToolMetadata().idempotencyKey }),
});

const support = new DurableAgent({
  model,
  instructions: 'You help the customers of a small shop.',
  tools: { refund },
  toolApproval: { refund: ({ euros }) => (euros > 50 ? 'user-approval' : undefined) },
  durable: {
    approvals: {
      refund: {
        prompt: ({ order, euros }) => `Pay ${euros} EUR back for order ${order}?`,
        approvers: ({ by }) => isOf('finance', by.id),
        remindAt: '4 hours',
        expiresIn: '1 day',
        onExpire: { escalateTo: ['boss@shop.example'], expiresIn: '2 days' },
      },
    },
    onApprovalRequested: tellSlack,
  },
});

interface Posted {
  channel: string;
  text: string;
  blocks: Array<{ elements?: Array<{ url: string }> }>;
}

/** A Slack that keeps what is posted, and says when. */
function openShop() {
  const posts: Posted[] = [];
  let heard = Promise.withResolvers<Posted>();
  vi.stubGlobal('fetch', async (_: string, init: { body: string }) => {
    const post = JSON.parse(init.body) as Posted;
    posts.push(post);
    heard.resolve(post);
    heard = Promise.withResolvers<Posted>();
    return Response.json({ ok: true });
  });
  const runtime = createTestRuntime({ agents: { support }, publicUrl: 'https://shop.example/api' });
  const app = createApp(runtime, { authorize: () => new Response(null, { status: 401 }) });
  return { runtime, app, posts, next: () => heard.promise };
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  paid.length = 0;
});

it('an approval is answered from Slack', async () => {
  const { runtime, app, next } = openShop();
  const told = next();
  const run = await runtime.start(support, { prompt: 'Order 7 arrived broken.', by: 'carl' });
  const { channel, text, blocks: parts } = await told;
  expect([channel, text]).toEqual(['D-ada@shop.example', 'Pay 80 EUR back for order 7?']);
  const [approve = ''] = (parts[1]?.elements ?? []).map(({ url }) => url);
  expect(await (await app.request(approve)).text()).toContain('Pay 80 EUR back for order 7?');
  expect(paid).toEqual([]);
  expect((await app.request(approve, { method: 'POST' })).status).toBe(200);
  await run.result();
  expect(paid).toEqual([expect.objectContaining({ order: 7, euros: 80 })]);
  const lines = vi.spyOn(console, 'log').mockReturnValue();
  const id = (await runtime.approvals.list({ status: 'all' })).items[0]?.id ?? '';
  const { status, audit } = await runtime.approvals.get(id);
  for (const { type, by, from, at, why } of audit) console.log(new Date(at), type, by, from, why);
  expect(status).toBe('approved');
  expect(lines.mock.calls.map(([, type]) => String(type))).toEqual(
    expect.arrayContaining(['requested', 'notified', 'viewed', 'answered']),
  );
  await runtime.close();
});

it('reminds, and escalates to somebody who is no approver otherwise', async () => {
  const { runtime, app, posts, next } = openShop();
  let told = next();
  const run = await runtime.start(support, { prompt: 'Order 7 arrived broken.', by: 'carl' });
  await told;
  for (const wait of [4 * HOUR + 1, DAY]) {
    await runtime.until(run, 'waiting');
    told = next();
    await runtime.clock.advance(wait);
    await told;
  }
  expect(posts.map(({ channel, text }) => [channel, text])).toEqual([
    ['D-ada@shop.example', 'Pay 80 EUR back for order 7?'],
    ['D-ada@shop.example', 'Still open: Pay 80 EUR back for order 7?'],
    ['D-boss@shop.example', 'Pay 80 EUR back for order 7?'],
  ]);
  const [approve = ''] = (posts[2]?.blocks[1]?.elements ?? []).map(({ url }) => url);
  expect((await app.request(approve, { method: 'POST' })).status).toBe(200);
  await run.result();
  expect(paid).toHaveLength(1);
  await runtime.close();
});

it('is answered by code', async () => {
  const { runtime } = openShop();
  const lines = vi.spyOn(console, 'log').mockReturnValue();
  const run = await runtime.start(support, { prompt: 'Order 7 arrived broken.', by: 'carl' });
  await runtime.pendingApproval(run);
  const { items } = await runtime.approvals.list({ tool: 'refund' });
  for (const { id, prompt, requestedBy } of items) {
    console.log(`${prompt} (asked by ${requestedBy})`);
    await runtime.approvals.approve(id, { by: { id: 'ada@shop.example', roles: ['finance'] } });
  }
  await run.result();
  expect(lines.mock.calls).toEqual([['Pay 80 EUR back for order 7? (asked by carl)']]);
  expect(paid).toHaveLength(1);
  await runtime.close();
});
