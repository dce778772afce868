import { createHmac } from 'node:crypto';
import { sign as signAsGithub } from '@octokit/webhooks-methods';
import { createWebhook, DurableAgent, workflow } from 'everturn';
import type { Verifier } from 'everturn';
import { github, slack, standardWebhooks, stripe } from 'everturn/server';
import { Webhook } from 'standardwebhooks';
import { Stripe } from 'stripe';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { recordingLogger, scriptedModel, until } from '../agent/run-kit.ts';
import type { LogLine } from '../agent/run-kit.ts';
import { overBothWays, refusalOf } from './kit.ts';
import type { OpenSite } from './kit.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const OTHER = 'whsec_b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5';
const MINUTE = 60_000;

interface Sent {
  body: string;
  headers: Record<string, string>;
}

interface Sender {
  name: string;
  verifier: Verifier;
  /** A delivery, signed at a time under a secret. */
  sign(delivery: { id: string; at: number; secret: string }): Sent | Promise<Sent>;
  /** When requests are refused for their time, where it is signed. */
  refusesFrom: Array<'the past' | 'the future'>;
}

const hmac = (secret: string, text: string): string => createHmac('sha256', secret).update(text).digest('hex');

const client = new Stripe('sk_test_none');

const seconds = (at: number): string => String(Math.floor(at / 1_000));

const senders: Sender[] = [
  {
    name: 'standardWebhooks',
    verifier: standardWebhooks(SECRET),
    refusesFrom: ['the past', 'the future'],
    sign({ id, at, secret }) {
      const body = '{"type":"user.created"}';
      const signature = new Webhook(secret).sign(id, new Date(at), body);
      return {
        body,
        headers: {
          'webhook-id': id,
          'webhook-timestamp': seconds(at),
          'webhook-signature': `v1,bm9wZQ== ${signature}`,
        },
      };
    },
  },
  {
    name: 'github',
    verifier: github(SECRET),
    refusesFrom: [],
    async sign({ id, secret }) {
      const body = '{"action":"opened"}';
      return { body, headers: { 'x-github-delivery': id, 'x-hub-signature-256': await signAsGithub(secret, body) } };
    },
  },
  {
    name: 'slack',
    verifier: slack(SECRET),
    refusesFrom: ['the past', 'the future'],
    sign({ id, at, secret }) {
      const body = JSON.stringify({ type: 'event_callback', event_id: id });
      const signature = `v0=${hmac(secret, `v0:${seconds(at)}:${body}`)}`;
      return { body, headers: { 'x-slack-request-timestamp': seconds(at), 'x-slack-signature': signature } };
    },
  },
  {
    name: 'stripe',
    verifier: stripe(client, SECRET),
    refusesFrom: ['the past'],
    sign({ id, at, secret }) {
      const body = JSON.stringify({ id, object: 'event', type: 'charge.succeeded' });
      const timestamp = Number(seconds(at));
      const header = client.webhooks.generateTestHeaderString({ payload: body, secret, timestamp });
      return { body, headers: { 'stripe-signature': header } };
    },
  },
];

/** Says what it has taken, at the second request. */
const two = workflow('two', async (verify: string) => {
  const taken: string[] = [];
  for await (const request of createWebhook({ token: 'bell', verify, many: true })) {
    taken.push(request.id);
    if (taken.length === 2) return taken;
  }
});

interface Bell {
  ring(sent: Sent): Promise<Response>;
  /** How often something was delivered to the run. */
  delivered(): Promise<number>;
  result(): Promise<unknown>;
  logs: LogLine[];
}

async function openBell(open: OpenSite, verify: string, verifiers: Record<string, Verifier>): Promise<Bell> {
  const support = new DurableAgent({ model: scriptedModel([]).model });
  const { logger, lines: logs } = recordingLogger();
  const { runtime, fetch, api } = await open({ agents: { support }, workflows: [two], logger }, { verifiers });
  const run = await runtime.start(two, { input: verify });
  await until(async () => (await run.status) === 'waiting');
  return {
    ring: (sent) => fetch(`${api}/webhooks/bell`, { method: 'POST', ...sent }),
    delivered: async () => (await run.events()).filter(({ type }) => type === 'message_received').length,
    result: () => run.result(),
    logs,
  };
}

overBothWays('a verified webhook', (open) => {
  describe.each(senders)('of $name', ({ name, verifier, sign, refusesFrom }) => {
    const openIt = (): Promise<Bell> => openBell(open, name, { [name]: verifier });

    it('takes what is signed, and the same delivery once', async () => {
      const bell = await openIt();
      const now = Date.now();
      for (const [id, at] of [
        ['d1', now],
        ['d1', now - MINUTE],
        ['d2', now],
      ] as const)
        expect((await bell.ring(await sign({ id, at, secret: SECRET }))).status).toBe(202);
      expect(await bell.result()).toEqual(['d1', 'd2']);
      expect(await bell.delivered()).toBe(2);
    });

    it('refuses all else, says so in the log, and delivers nothing', async () => {
      const bell = await openIt();
      const good = await sign({ id: 'd1', at: Date.now(), secret: SECRET });
      const forged: Sent[] = [
        await sign({ id: 'd1', at: Date.now(), secret: OTHER }),
        { ...good, body: good.body.replace('"', ' "') },
        { ...good, body: '' },
        ...Object.keys(good.headers).map((header) => ({ ...good, headers: { ...good.headers, [header]: '' } })),
        { ...good, headers: {} },
      ];
      for (const sent of forged) {
        expect(await refusalOf(await bell.ring(sent))).toMatchObject({
          status: 401,
          code: 'signature_invalid',
          message: expect.stringContaining(name),
          details: { verifier: name },
        });
      }
      const refused = bell.logs.filter(({ fields }) => fields['code'] === 'signature_invalid');
      expect(refused).toHaveLength(forged.length);
      expect(refused.every(({ level, fields }) => level === 'warn' && fields['err'] instanceof Error)).toBe(true);
      expect(await bell.delivered()).toBe(0);
    });

    it.each(refusesFrom)('refuses what was signed 6 minutes away, in %s', async (when) => {
      const bell = await openIt();
      const far = when === 'the past' ? -6 * MINUTE : 6 * MINUTE;
      expect((await bell.ring(await sign({ id: 'd1', at: Date.now() + far, secret: SECRET }))).status).toBe(401);
      const near = (far / 6) * 4;
      expect((await bell.ring(await sign({ id: 'd1', at: Date.now() + near, secret: SECRET }))).status).toBe(202);
    });
  });

  it('takes both secrets while one is changed for the other', async () => {
    const verifiers = {
      standardWebhooks: standardWebhooks([OTHER, SECRET]),
      github: github([OTHER, SECRET]),
      slack: slack([OTHER, SECRET]),
      stripe: stripe(client, [OTHER, SECRET]),
    };
    for (const { name, sign } of senders) {
      const bell = await openBell(open, name, verifiers);
      await bell.ring(await sign({ id: 'd1', at: Date.now(), secret: SECRET }));
      await bell.ring(await sign({ id: 'd2', at: Date.now(), secret: OTHER }));
      expect(await bell.result()).toEqual(['d1', 'd2']);
    }
  });

  it('answers whether this is the app that Slack looks for', async () => {
    const bell = await openBell(open, 'slack', { slack: slack(SECRET) });
    const at = seconds(Date.now());
    const body = '{"type":"url_verification","challenge":"3eZbrw1aB"}';
    const headers = { 'x-slack-request-timestamp': at, 'x-slack-signature': `v0=${hmac(SECRET, `v0:${at}:${body}`)}` };
    const response = await bell.ring({ body, headers });
    expect([response.status, await response.text()]).toEqual([200, '3eZbrw1aB']);
    expect(await bell.delivered()).toBe(0);
  });

  it('takes a form of Slack once, however often its very request comes', async () => {
    const bell = await openBell(open, 'slack', { slack: slack(SECRET) });
    const at = seconds(Date.now());
    for (const body of ['command=%2Frefund', 'command=%2Frefund', 'command=%2Fhelp']) {
      const headers = {
        'x-slack-request-timestamp': at,
        'x-slack-signature': `v0=${hmac(SECRET, `v0:${at}:${body}`)}`,
      };
      expect((await bell.ring({ body, headers })).status).toBe(202);
    }
    expect(await bell.result()).toHaveLength(2);
  });

  it('asks a verifier of the application, which is given the request to the byte', async () => {
    const shop: Verifier = ({ headers, text, body, method, now }) => {
      if (method !== 'POST' || Math.abs(now - Date.now()) > MINUTE || body[0] !== 0xef) return false;
      if (headers.get('x-hmac') !== hmac('shop', text)) throw new Error('forged');
      return text.includes('named') ? { id: 'shop-1' } : true;
    };
    const bell = await openBell(open, 'shop', { shop });
    // A byte order mark is part of what is signed.
    for (const body of ['\uFEFFnamed', '\uFEFFnamed again', '\uFEFFother'])
      expect((await bell.ring({ body, headers: { 'x-hmac': hmac('shop', body) } })).status).toBe(202);
    expect((await bell.ring({ body: 'plain', headers: { 'x-hmac': hmac('shop', 'plain') } })).status).toBe(401);
    expect((await bell.ring({ body: '\uFEFFx', headers: { 'x-hmac': 'guess' } })).status).toBe(401);
    const [first, second] = (await bell.result()) as string[];
    expect(first).toBe('shop-1');
    expect(second).toMatch(/^[0-9a-f]{32}$/);
  });

  it('refuses for the time being where its verifier is missing', async () => {
    const bell = await openBell(open, 'github', { slack: slack(SECRET) });
    const response = await bell.ring({ body: '{}', headers: {} });
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await refusalOf(response)).toMatchObject({
      status: 503,
      code: 'verifier_missing',
      details: { verifier: 'github', known: ['slack'] },
    });
    expect(await bell.delivered()).toBe(0);
    const inherited = await openBell(open, 'toString', {});
    expect((await inherited.ring({ body: '{}', headers: {} })).status).toBe(503);
  });
});

it.each<[package_: string, verifierOf: (secret: string) => Verifier]>([
  ['standardwebhooks', (secret) => standardWebhooks(secret)],
  ['@octokit/webhooks-methods', (secret) => github(secret)],
])('without the package %s a verifier says what to install, and lets nothing pass', async (name, verifierOf) => {
  vi.doMock(name, () => {
    throw new Error(`Cannot find package '${name}'`);
  });
  onTestFinished(() => vi.doUnmock(name));
  const request = { method: 'POST', headers: new Headers(), text: '{}', body: new TextEncoder().encode('{}') };
  await expect(verifierOf(SECRET)({ ...request, url: 'https://shop.example/', now: 0 })).rejects.toMatchObject({
    code: 'verifier_missing',
    message: expect.stringContaining(`npm install ${name}`),
  });
});

it.each([
  ['standardWebhooks', (secret: string) => standardWebhooks(secret)],
  ['github', (secret: string) => github(secret)],
  ['slack', (secret: string) => slack(secret)],
  ['stripe', (secret: string) => stripe(client, secret)],
] as const)('%s without a secret is refused when it is made', (name, make) => {
  for (const missing of [undefined, '', [], ['good', '']] as never[])
    expect(() => make(missing)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  expect(() => make('')).toThrow(`Cannot create ${name}(): its secret is empty`);
});

it('stripe without a client of Stripe is refused when it is made', () => {
  expect(() => stripe('sk_live' as never, SECRET)).toThrow('its first argument is no client of Stripe');
});
