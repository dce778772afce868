import type { ApprovalLinks, ApprovalNotice, LinkOptions } from 'everturn';
import { createApp } from 'everturn/server';
import type { Authorize } from 'everturn/server';
import { describe, expect, it, vi } from 'vitest';
import { DAY, HOUR, openDesk } from './kit.ts';
import type { Desk, DeskOptions } from './kit.ts';

const URL_OF_APP = 'https://shop.example/api';

interface Office extends Desk {
  run: Awaited<ReturnType<Desk['runtime']['start']>>;
  id: string;
  linksOf: (to: string) => ApprovalLinks;
  open: (link: string, init?: RequestInit) => Promise<{ status: number; headers: Headers; text: string }>;
  use: (link: string, fields?: Record<string, string>) => ReturnType<Office['open']>;
}

/** A run that waits for an approval, whose links were handed out, and the app that they lead to. */
async function openOffice(
  options: DeskOptions & { people?: string[]; link?: Omit<LinkOptions, 'to' | 'url'>; authorize?: Authorize } = {},
): Promise<Office> {
  const { people = ['ada'], link = {}, authorize, ...deskOptions } = options;
  const handed = new Map<string, ApprovalLinks>();
  const told = Promise.withResolvers<void>();
  const onApprovalRequested = async ({ approval }: ApprovalNotice): Promise<void> => {
    for (const to of people) handed.set(to, await approval.links({ to, url: URL_OF_APP, ...link }));
    told.resolve();
  };
  const desk = openDesk({ onApprovalRequested, ...deskOptions });
  const app = createApp(desk.runtime, { authorize: authorize ?? (() => new Response('login', { status: 401 })) });
  const run = await desk.runtime.start(desk.agent, { prompt: 'Refund order 7', by: 'carl' });
  const { id } = await desk.runtime.pendingApproval(run);
  if (options.onApprovalRequested === undefined) await told.promise;
  await desk.runtime.clock.settleAll();
  const open: Office['open'] = async (url, init) => {
    const response = await app.request(url, init);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const linksOf = (to: string): ApprovalLinks => {
    const links = handed.get(to);
    if (links === undefined) throw new Error(`${to} has no links`);
    return links;
  };
  const use: Office['use'] = (url, fields = {}) =>
    open(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: 'null' },
      body: new URLSearchParams(fields).toString(),
    });
  return { ...desk, run, id, linksOf, open, use };
}

describe('a link to an approval', () => {
  it('shows what is asked on a page without scripts that nobody frames, keeps or hears of', async () => {
    const { open, linksOf } = await openOffice({
      approval: {
        prompt: ({ order, euros }) => `Pay <b>${euros}</b> EUR back for order ${order}?`,
        expiresIn: '1 day',
      },
    });
    const { status, headers, text } = await open(linksOf('ada').approve);
    expect(status).toBe(200);
    expect(text).toContain('Pay &lt;b&gt;40&lt;/b&gt; EUR back for order 7?');
    expect(text).toContain('<form method="post"');
    expect(text).not.toMatch(/<script|onclick|javascript:|https?:\/\//);
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
  });

  it('shows the input as it is, whatever is in it', async () => {
    const { open, linksOf } = await openOffice({
      approval: { prompt: () => 'Pay \u202eRUE 001\u202c to <img src=x onerror=alert(1)>?' },
    });
    const { text } = await open(linksOf('ada').approve);
    expect(text).toContain('Pay \\u202eRUE 001\\u202c to &lt;img src=x onerror=alert(1)&gt;?');
    expect(text).toContain('&quot;order&quot;: 7');
  });

  it('decides nothing when twenty scanners open it, and decides when its form is sent', async () => {
    const { runtime, run, id, open, use, linksOf, refunds } = await openOffice();
    const before = await runtime.approvals.get(id);
    const links = linksOf('ada');
    const opened = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        open(links[n % 2 === 0 ? 'approve' : 'deny'], { method: n % 4 === 3 ? 'HEAD' : 'GET' }),
      ),
    );
    expect(new Set(opened.map(({ status }) => status))).toEqual(new Set([200]));
    const after = await runtime.approvals.get(id);
    expect({ ...after, audit: [] }).toEqual({ ...before, audit: [] });
    expect(refunds).toEqual([]);
    expect((await use(links.approve)).text).toContain('This was approved');
    await run.result();
    expect(refunds).toHaveLength(1);
    expect((await runtime.approvals.get(id)).audit).toContainEqual(
      expect.objectContaining({ type: 'answered', by: 'ada', from: 'link', approved: true }),
    );
  });

  it('denies with a reason that the model is told', async () => {
    const { run, use, linksOf, prompts, refunds } = await openOffice();
    expect((await use(linksOf('ada').deny, { reason: 'too much money' })).status).toBe(200);
    await run.result();
    expect(refunds).toEqual([]);
    expect(prompts[1]).toContain('too much money');
  });

  it('that was used, or overtaken by another one, says who decided and when', async () => {
    const { runtime, id, run, open, use, linksOf, refunds } = await openOffice({ people: ['ada', 'ben'] });
    await use(linksOf('ada').approve);
    await run.result();
    const { answers } = await runtime.approvals.get(id);
    const when = new Date(answers[0]?.at ?? 0).toISOString().slice(0, 10);
    for (const link of [linksOf('ada').approve, linksOf('ada').deny, linksOf('ben').deny, linksOf('ben').view]) {
      const { status, text } = await open(link);
      expect(status).toBe(200);
      expect(text).toContain('This was approved');
      expect(text).toContain(`ada (approved ${when}`);
      expect(text).not.toContain('<form');
    }
    for (const link of [linksOf('ada').approve, linksOf('ben').deny]) {
      const { status, text } = await use(link);
      expect(status).toBe(409);
      expect(text).toContain('ada (approved');
    }
    expect(refunds).toHaveLength(1);
  });

  it('counts for one of several who must approve', async () => {
    const { run, use, open, linksOf, refunds, runtime, id } = await openOffice({
      people: ['ada', 'ben'],
      approval: { needed: 2 },
    });
    expect((await use(linksOf('ada').approve)).text).toContain('1 of 2 people have approved');
    const again = await use(linksOf('ada').approve);
    expect([again.status, again.text]).toEqual([409, expect.stringContaining('1 of 2 people have')]);
    expect((await open(linksOf('ada').approve)).text).not.toContain('<form');
    expect(await runtime.approvals.get(id)).toMatchObject({ status: 'pending' });
    await use(linksOf('ben').approve);
    await run.result();
    expect(refunds).toHaveLength(1);
  });

  it('to look at the approval answers nothing', async () => {
    const { open, use, linksOf, runtime, id } = await openOffice();
    expect((await open(linksOf('ada').view)).text).not.toContain('<form');
    expect((await use(linksOf('ada').view)).status).toBe(403);
    expect(await runtime.approvals.get(id)).toMatchObject({ status: 'pending', answers: [] });
  });

  it('expires before its approval does, where that is asked', async () => {
    const { runtime, open, use, linksOf, id, refunds } = await openOffice({ link: { expiresIn: '1h' } });
    await runtime.clock.advance(HOUR + 2_000);
    expect((await open(linksOf('ada').approve)).status).toBe(410);
    expect((await use(linksOf('ada').approve)).status).toBe(410);
    const { status, audit } = await runtime.approvals.get(id);
    expect(status).toBe('pending');
    expect(audit).toContainEqual(
      expect.objectContaining({ type: 'refused', by: 'ada', from: 'link', why: 'the link has expired' }),
    );
    expect(refunds).toEqual([]);
  });

  it('tells that the approval has expired', async () => {
    const { run, runtime, use, linksOf, refunds } = await openOffice({ approval: { expiresIn: '1 day' } });
    await runtime.clock.advance(DAY + 2_000);
    await run.result();
    expect(await use(linksOf('ada').approve)).toMatchObject({
      status: 200,
      text: expect.stringContaining('This has expired'),
    });
    expect(refunds).toEqual([]);
  });

  it('answers as nobody else: the requester has none that counts', async () => {
    const { use, linksOf, runtime, id } = await openOffice({
      people: ['carl'],
      approval: { approvers: ['ada', 'carl'] },
    });
    expect((await use(linksOf('carl').approve)).status).toBe(403);
    expect(await runtime.approvals.get(id)).toMatchObject({ status: 'pending', answers: [] });
  });
});

describe('a link that is not what was handed out', () => {
  it('is not valid: forged, cut, of another approval, with another action, without a signature', async () => {
    const { open, use, linksOf, runtime, id, refunds } = await openOffice();
    const link = linksOf('ada').approve;
    const [header = '', payload = '', signature = ''] = link.slice(link.lastIndexOf('/') + 1).split('.');
    const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const forged = [
      `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
      `${header}.${payload}.`,
      `${header}.${encode({ ...claims, sub: 'boss' })}.${signature}`,
      `${header}.${encode({ ...claims, approval: 'apr_other' })}.${signature}`,
      `${header}.${encode({ ...claims, action: 'deny' })}.${signature}`,
      `${encode({ alg: 'none' })}.${payload}.`,
      `${encode({ alg: 'HS256', kid: 'ffffffff' })}.${payload}.${signature}`,
      id,
      'x',
    ];
    for (const token of forged) {
      const url = `${URL_OF_APP}/approvals/links/${token}`;
      expect([(await open(url)).status, (await use(url)).status], token).toEqual([404, 404]);
    }
    expect(await runtime.approvals.get(id)).toMatchObject({ status: 'pending', answers: [] });
    expect(refunds).toEqual([]);
    expect(runtime.logs.filter(({ message }) => message.includes('no secret of this runtime'))).toHaveLength(18);
  });

  it('is not valid any more when it was taken back, for one person or for all; a new one is', async () => {
    const { open, use, linksOf, runtime, id, refunds } = await openOffice({
      people: ['ada', 'ben'],
      approval: { remindAt: '1h' },
    });
    await runtime.approvals.revokeLinks(id, { by: 'boss', to: 'ada' });
    expect((await open(linksOf('ada').approve)).text).toContain('This link was taken back');
    expect((await use(linksOf('ada').approve)).status).toBe(410);
    expect((await open(linksOf('ben').approve)).text).toContain('<form');
    await runtime.approvals.revokeLinks(id, { by: 'boss' });
    const token = linksOf('ben').deny.slice(linksOf('ben').deny.lastIndexOf('/') + 1);
    await expect(runtime.approvals.useLink(token)).rejects.toMatchObject({ code: 'forbidden' });
    const { status, audit } = await runtime.approvals.get(id);
    expect(status).toBe('pending');
    expect(audit.filter(({ type }) => type === 'revoked')).toMatchObject([{ by: 'boss', to: 'ada' }, { by: 'boss' }]);
    expect(audit.filter(({ type }) => type === 'refused').map(({ by, why }) => [by, why])).toEqual([
      ['ada', 'the link was taken back'],
      ['ben', 'the link was taken back'],
    ]);
    expect(refunds).toEqual([]);
    await runtime.clock.advance(HOUR + 1);
    // Links are signed off the event loop.
    await vi.waitFor(async () => expect((await open(linksOf('ada').approve)).text).toContain('<form'));
  });

  it('holds under a new secret as long as the former one is known, and not without it', async () => {
    const { runtime, linksOf, id } = await openOffice({ secret: 'first' });
    const link = linksOf('ada').approve;
    const token = link.slice(link.lastIndexOf('/') + 1);
    const options = { store: runtime.store, clock: runtime.clock, worker: false as const };
    const rotated = openDesk({ ...options, secret: ['second', 'first'] }).runtime;
    expect(await rotated.approvals.openLink(token)).toMatchObject({ to: 'ada', action: 'approve', approval: { id } });
    const without = openDesk({ ...options, secret: 'second' }).runtime;
    await expect(without.approvals.openLink(token)).rejects.toMatchObject({ code: 'approval_not_found' });
  });
});

describe('a link that requires a login', () => {
  const byHeader: Authorize = (request) => {
    const id = request.headers.get('x-user');
    return id === null ? new Response(null, { status: 302, headers: { location: '/login' } }) : { id };
  };

  it('sends whoever is not logged in to where the application says, and refuses others', async () => {
    const { open, linksOf, run, refunds } = await openOffice({ link: { requireLogin: true }, authorize: byHeader });
    const { approve } = linksOf('ada');
    expect((await open(approve)).status).toBe(302);
    expect((await open(approve, { method: 'POST' })).status).toBe(302);
    expect((await open(approve, { headers: { 'x-user': 'eve' } })).status).toBe(403);
    expect((await open(approve, { method: 'POST', headers: { 'x-user': 'eve' } })).status).toBe(403);
    expect(refunds).toEqual([]);
    expect((await open(approve, { headers: { 'x-user': 'ada' } })).text).toContain('<form');
    expect((await open(approve, { method: 'POST', headers: { 'x-user': 'ada' } })).status).toBe(200);
    await run.result();
    expect(refunds).toHaveLength(1);
  });
});

describe('whoever is told of an approval', () => {
  it('is told again under the same key after a failure, and the approval waits all the same', async () => {
    const told: Array<[number, string]> = [];
    const { runtime, run, id, refunds } = await openOffice({
      onApprovalRequested: ({ attempt, idempotencyKey }) => {
        told.push([attempt, idempotencyKey]);
        throw new Error('Slack is down');
      },
    });
    await runtime.clock.advance(5 * 60_000);
    expect(told.map(([attempt]) => attempt)).toEqual([1, 2, 3, 4]);
    expect(new Set(told.map(([, key]) => key)).size).toBe(1);
    const { audit } = await runtime.approvals.get(id);
    expect(audit).toContainEqual(expect.objectContaining({ type: 'notification_failed', why: 'Slack is down' }));
    await runtime.approvals.approve(id, { by: 'ada' });
    await run.result();
    expect(refunds).toHaveLength(1);
  });

  it('holds up nobody who answers meanwhile', async () => {
    const { runtime, run, id, refunds } = await openOffice({ onApprovalRequested: () => new Promise(() => {}) });
    await runtime.approvals.approve(id, { by: 'ada' });
    await run.result();
    expect(refunds).toHaveLength(1);
    expect((await runtime.approvals.get(id)).audit.map(({ type }) => type)).toEqual(['requested', 'answered']);
  });
});
