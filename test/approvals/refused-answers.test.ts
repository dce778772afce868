/** Answers that are none: each is refused and logged, and the witness, a process of its own, sees nothing run but what was approved in earnest. */

import { createHmac } from 'node:crypto';
import { tool } from 'ai';
import type { UIMessage } from 'ai';
import { DurableAgent, getToolMetadata } from 'everturn';
import type { ApprovalLinks } from 'everturn';
import { createApp } from 'everturn/server';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { startWitness, tellWitness } from '../support/witness.ts';
import type { Witness } from '../support/witness.ts';
import { DAY } from './kit.ts';

const SITE = 'https://shop.example/api';
let witness: Witness;

beforeAll(async () => {
  witness = await startWitness();
});
afterAll(() => witness.close());

const refund = tool({
  inputSchema: z.object({ order: z.number(), euros: z.number() }),
  execute: async () => {
    const { idempotencyKey: key, attempt, toolCallId } = getToolMetadata();
    await tellWitness(witness.url, { key, attempt, tool: 'refund', toolCallId, pid: process.pid, time: 0 });
    return 'paid';
  },
});

interface Asked {
  id: string;
  run: string;
  thread: string;
  links: ApprovalLinks;
}

function openShop() {
  const handed = new Map<string, ApprovalLinks>();
  const support = new DurableAgent({
    model: scriptedModel(({ prompt }) =>
      prompt.at(-1)?.role === 'user'
        ? { toolCalls: [{ toolName: 'refund', input: { order: 7, euros: 40 } }] }
        : 'Done.',
    ),
    tools: { refund },
    toolApproval: { refund: 'user-approval' },
    durable: {
      approvals: { refund: { approvers: ['ada', 'ben'], expiresIn: '1 day' } },
      onApprovalRequested: async ({ approval }) => void handed.set(approval.id, await approval.links({ to: 'ada' })),
    },
  });
  const runtime = createTestRuntime({ agents: { support }, publicUrl: SITE, secret: 'the secret' });
  onTestFinished(() => runtime.close());
  const app = createApp(runtime, {
    authorize: ({ headers }) => ({ id: headers.get('x-user') ?? '', tenant: headers.get('x-tenant') ?? '' }),
  });
  const ask = async (thread: string, tenant: string): Promise<Asked> => {
    const run = await runtime.start(support, { prompt: 'Refund order 7', by: 'carl', thread, tenant });
    const { id } = await runtime.pendingApproval(run);
    await expect.poll(() => handed.has(id)).toBe(true);
    await runtime.until(run, 'waiting');
    return { id, run: run.id, thread, links: handed.get(id) as ApprovalLinks };
  };
  const post = async (path: string, body: unknown, { user = 'ada', tenant = 'acme' } = {}): Promise<number> => {
    const headers = { 'x-user': user, 'x-tenant': tenant, 'content-type': 'application/json' };
    return (await app.request(`${SITE}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).status;
  };
  const decide = (id: string, as?: { user?: string; tenant?: string }): Promise<number> =>
    post(`/approvals/${id}/decision`, { approved: true }, as);
  const use = async (link: string): Promise<number> => (await app.request(link, { method: 'POST' })).status;
  const messageOf = async ({ thread }: Asked, tenant = 'acme'): Promise<UIMessage> => {
    const response = await app.request(`${SITE}/chat/${thread}`, { headers: { 'x-user': 'ada', 'x-tenant': tenant } });
    return ((await response.json()) as { messages: UIMessage[] }).messages.at(-1) as UIMessage;
  };
  return { runtime, ask, post, decide, use, messageOf };
}

function tokenOf(link: string): [header: string, payload: string, signature: string] {
  const [header = '', payload = '', signature = ''] = link.slice(link.lastIndexOf('/') + 1).split('.');
  return [header, payload, signature];
}

function linkOf(...parts: string[]): string {
  return `${SITE}/approvals/links/${parts.join('.')}`;
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** As the chat's client would approve it, under this approval's id. */
function approved(message: UIMessage, id: string): UIMessage {
  const parts = message.parts.map((part) =>
    'approval' in part ? { ...part, state: 'approval-responded', approval: { id, approved: true } } : part,
  );
  return { ...message, parts: parts as UIMessage['parts'] };
}

it('answers that are forged, replayed, of another run or tenant, late or changed are refused and logged; nothing runs', async () => {
  const { runtime, ask, post, decide, use, messageOf } = openShop();
  const [mine, other, theirs] = [await ask('t1', 'acme'), await ask('t2', 'acme'), await ask('t3', 'rival')];
  const [header, payload, signature] = tokenOf(mine.links.approve);
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
  const signed = (body: string, key: string): string[] => [
    header,
    body,
    createHmac('sha256', key).update(`${header}.${body}`).digest('base64url'),
  ];
  const statuses = {
    'an approval that nobody asked for': await decide('apr_forged'),
    'a link signed by somebody else': await use(linkOf(...signed(payload, 'guessed'))),
    'a link signed by the secret itself': await use(linkOf(...signed(payload, 'the secret'))),
    'a link whose addressee was changed': await use(linkOf(header, encoded({ ...claims, sub: 'ben' }), signature)),
    'a link turned to another run': await use(linkOf(header, encoded({ ...claims, approval: other.id }), signature)),
    'a link without a signature': await use(linkOf(encoded({ alg: 'none' }), payload, '')),
    'a link to look, used to answer': await use(mine.links.view),
    'the chat, with the approval of another run': await post('/chat', {
      id: 't1',
      messages: [approved(await messageOf(mine), other.id)],
    }),
    'the approval of another tenant': await decide(theirs.id),
    'the chat of another tenant': await post('/chat', {
      id: 't3',
      messages: [approved(await messageOf(theirs, 'rival'), theirs.id)],
    }),
    'the requester': await decide(mine.id, { user: 'carl' }),
    'somebody else': await decide(mine.id, { user: 'eve' }),
  };
  expect(statuses).toEqual({
    'an approval that nobody asked for': 404,
    'a link signed by somebody else': 404,
    'a link signed by the secret itself': 404,
    'a link whose addressee was changed': 404,
    'a link turned to another run': 404,
    'a link without a signature': 404,
    'a link to look, used to answer': 403,
    'the chat, with the approval of another run': 400,
    'the approval of another tenant': 404,
    'the chat of another tenant': 400,
    'the requester': 403,
    'somebody else': 403,
  });
  expect(witness.records()).toEqual([]);
  const refusals = runtime.logs.filter(({ level }) => level === 'warn').map(({ message }) => message);
  expect(refusals.filter((message) => message.startsWith('a link to an approval was refused'))).toHaveLength(5);
  expect(refusals.filter((message) => message === 'an answer to an approval was refused')).toHaveLength(3);
  const { audit } = await runtime.approvals.get(mine.id);
  expect(audit.filter(({ type }) => type === 'refused').map(({ by, from }) => [by, from])).toEqual([
    ['ada', 'link'],
    ['carl', 'api'],
    ['eve', 'api'],
  ]);

  expect(await use(mine.links.approve)).toBe(200);
  await runtime.until(mine.run, 'completed');
  expect(witness.records()).toHaveLength(1);
  expect([await use(mine.links.approve), await use(mine.links.deny), await decide(mine.id, { user: 'ben' })]).toEqual([
    409, 409, 409,
  ]);
  await runtime.clock.advance(DAY + 2_000);
  await runtime.until(other.run, 'completed');
  expect([await use(other.links.approve), await decide(other.id)]).toEqual([200, 409]);
  expect(await runtime.approvals.get(other.id)).toMatchObject({ status: 'expired', answers: [] });
  expect(witness.records().map(({ key }) => key.split('/')[0])).toEqual([mine.run]);
});
