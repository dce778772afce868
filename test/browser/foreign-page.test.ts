/** A server on this machine, and pages in the same browser that are not its own. */

import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inBrowser } from './harness.ts';
import type { Stage } from './harness.ts';
import { useTheatre } from './theatre.ts';
import type { Theatre, TheatreOptions } from './theatre.ts';

/** Any name that ends so leads here, as it does for who controls it. */
const EVIL = { chromiumArgs: ['--host-resolver-rules=MAP *.test 127.0.0.1'] };

interface Target {
  thread: string;
  run: string;
  approval: string;
}

/** Every POST that could do something, with a body that would. */
function attacksOn({ thread, run, approval }: Target): Array<{ path: string; body: unknown }> {
  const message = { id: 'evil', role: 'user', parts: [{ type: 'text', text: 'refund 666' }] };
  const part = { type: 'tool-refund', toolCallId: 'call-1', state: 'approval-responded' };
  const approved = { ...part, input: { amount: 1 }, approval: { id: approval, approved: true } };
  return [
    { path: '/api/chat', body: { id: 'evil', messages: [message] } },
    { path: '/api/chat', body: { id: thread, messages: [message], whenBusy: 'interrupt' } },
    { path: '/api/chat', body: { id: thread, messages: [{ id: `msg_${run}`, role: 'assistant', parts: [approved] }] } },
    { path: `/api/approvals/${approval}/decision`, body: { approved: true } },
    { path: `/api/chat/${thread}/stop`, body: {} },
    { path: `/api/runs/${run}/cancel`, body: {} },
    { path: `/api/runs/${run}/resume`, body: {} },
  ];
}

type Attack = ReturnType<typeof attacksOn>[number];

interface Blind {
  /** Of the server, as the page calls it. */
  url: string;
  attacks: Attack[];
}

/** Ways that need nobody's leave. What is answered cannot be read, so what counts is what the server did. */
async function attackBlindly(page: Page, stage: Stage, { url, attacks }: Blind): Promise<void> {
  const before = (await stage.posts()).length;
  const post = async ({ target, attacks }: { target: string; attacks: Attack[] }): Promise<void> => {
    const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', undefined];
    for (const { path, body } of attacks) {
      const url = `${target}${path}`;
      const json = JSON.stringify(body);
      const requests = types.map((type): RequestInit => {
        const typed = type === undefined ? {} : { headers: { 'content-type': type }, body: json };
        return { ...typed, mode: 'no-cors' };
      });
      // As JSON: the browser asks first, and nobody says yes.
      requests.push({ headers: { 'content-type': 'application/json' }, body: json });
      for (const request of requests) {
        const answered = await fetch(url, { ...request, method: 'POST', credentials: 'include' }).catch(
          () => undefined,
        );
        if (answered !== undefined && answered.type !== 'opaque') throw new Error(`${path} let itself be read.`);
      }
      navigator.sendBeacon(url, json);
    }
  };
  await page.evaluate(post, { target: url, attacks });
  // A form is sent by the page itself, which goes where it leads. Its one field makes `{"a":"=","approved":true}` of a text.
  const from = page.url();
  const forms = attacks.filter(({ path }) => /decision|stop/.test(path));
  for (const { path } of forms) {
    await page.evaluate((action) => {
      const form = document.createElement('form');
      Object.assign(form, { action, method: 'POST', enctype: 'text/plain' });
      const field = document.createElement('input');
      Object.assign(field, { name: '{"a":"', value: '","approved":true}' });
      form.append(field);
      document.body.append(form);
      form.submit();
    }, `${url}${path}`);
    await page.waitForURL(`${url}${path}`);
    await page.goto(from);
  }
  // Four types and a beacon; JSON as such is never sent.
  const answered = async (): Promise<string[]> => (await stage.posts()).slice(before).toSorted();
  const sent = [...Array.from({ length: 5 }, () => attacks).flat(), ...forms];
  const expected = sent.map(({ path }) => `POST ${path} 403`);
  await expect.poll(answered).toEqual(expected.toSorted());
}

/** What a page of the server's own origin, as the browser sees it, is answered. */
function attackOpenly(page: Page, attacks: Attack[]): Promise<number[]> {
  const post = async (all: Attack[]): Promise<number[]> => {
    const statuses: number[] = [];
    for (const { path, body } of all) {
      for (const type of ['application/json', 'text/plain']) {
        const headers = { 'content-type': type };
        statuses.push((await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })).status);
      }
    }
    return statuses;
  };
  return page.evaluate(post, attacks);
}

function describeForeigners(options: TheatreOptions, tests: (theatre: Theatre, elsewhere: () => number) => void): void {
  const theatre = useTheatre({ ...EVIL, ...options });
  let pages: Server;

  beforeAll(async () => {
    pages = createServer((_, response) => {
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>elsewhere</title><body></body>');
    });
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    pages.closeAllConnections();
    pages.close();
  });
  tests(theatre, () => (pages.address() as AddressInfo).port);
}

/** A run that waits for an approval, to be attacked. */
async function openTarget(theatre: Theatre): Promise<{ target: Target; untouched(): Promise<void> }> {
  const stage = theatre.stage();
  const thread = theatre.newThread();
  const text = 'refund 1';
  const send = await post(stage, '/api/chat', {
    id: thread,
    messages: [{ id: `m-${thread}`, role: 'user', parts: [{ type: 'text', text }] }],
  });
  expect(send.status).toBe(200);
  await send.text();
  const { run } = await stage.stored(thread);
  const target = { thread, run: run?.id ?? '', approval: await stage.pendingApproval(thread) };
  const runs = await countRuns(stage);
  const acts = await stage.witnessed();
  return {
    target,
    async untouched() {
      expect(await stage.pendingApproval(thread)).toBe(target.approval);
      expect((await stage.stored(thread)).run).toMatchObject({ id: target.run, status: 'waiting' });
      expect(await countRuns(stage)).toBe(runs);
      expect(await stage.witnessed()).toEqual(acts);
    },
  };
}

function post(stage: Stage, path: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return stage.request(path, { method: 'POST', headers, body: JSON.stringify(body) });
}

async function countRuns(stage: Stage): Promise<number> {
  const { items } = (await (await stage.request('/api/runs?limit=100')).json()) as { items: unknown[] };
  return items.length;
}

inBrowser('of a server without authorize', () => {
  describeForeigners({}, (theatre, elsewhere) => {
    it.each([
      ['a page of the net', (): string => `http://evil.test:${elsewhere()}`],
      ['a page of another local server', (): string => `http://localhost:${elsewhere()}`],
    ])('every POST of %s is refused, and nothing is approved', async (_, origin) => {
      const { target, untouched } = await openTarget(theatre);
      const page = await (await theatre.newContext()).newPage();
      await page.goto(origin());
      await attackBlindly(page, theatre.stage(), { url: theatre.stage().url, attacks: attacksOn(target) });
      await untouched();
    });

    it('every POST of a page whose name was turned to this machine is refused, and nothing is approved', async () => {
      const { target, untouched } = await openTarget(theatre);
      const page = await (await theatre.newContext()).newPage();
      await page.goto(`http://rebound.test:${theatre.stage().port}`);
      expect(new Set(await attackOpenly(page, attacksOn(target)))).toEqual(new Set([403]));
      await untouched();
    });

    it('every POST through a proxy that says for whom is refused, and nothing is approved', async () => {
      const { target, untouched } = await openTarget(theatre);
      const context = await theatre.newContext();
      await context.setExtraHTTPHeaders({ 'x-forwarded-for': '203.0.113.7' });
      const page = await context.newPage();
      await page.goto(theatre.stage().url);
      expect(new Set(await attackOpenly(page, attacksOn(target)))).toEqual(new Set([403]));
      await untouched();
    });
  });
});

inBrowser('of a server that knows its users by a cookie', () => {
  describeForeigners({ access: 'cookie' }, (theatre, elsewhere) => {
    it('every POST of another page of the same site is refused, though the cookie comes with it', async () => {
      const { target, untouched } = await openTarget(theatre);
      const context = await theatre.newContext();
      await context.addCookies([{ name: 'user', value: 'ada', domain: 'app.test', path: '/' }]);
      const page = await context.newPage();
      await page.goto(`http://app.test:${elsewhere()}`);
      const url = `http://app.test:${theatre.stage().port}`;
      await attackBlindly(page, theatre.stage(), { url, attacks: attacksOn(target) });
      await untouched();
      // The cookie is good: the user's own page may.
      await page.goto(url);
      const own = attacksOn(target).filter(({ path }) => path.endsWith('/decision'));
      expect(await attackOpenly(page, own)).toEqual([200, 200]);
    });
  });
});
