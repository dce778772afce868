import { DurableAgent } from 'everturn';
import type { Runtime } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createApp } from 'everturn/server';
import { getRequestListener } from '@hono/node-server';
import express from 'express';
import { Hono } from 'hono';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { scriptedModel, startRuntime } from '../agent/run-kit.ts';
import { chunksOf, refusalOf, textOf, userMessage } from './kit.ts';

const closing: Array<() => unknown> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function runtimeOf(text: string): Runtime {
  const runtime = startRuntime({
    store: memoryStore(),
    agents: { support: new DurableAgent({ model: scriptedModel([{ text }]).model }) },
  });
  closing.push(() => runtime.close({ graceMs: 0 }));
  return runtime;
}

const authorize = (): { id: string } => ({ id: 'ann' });

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const message = (): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ id: 't1', messages: [userMessage('m1', 'Hello')] }),
});

it('in Express, beside other routes', async () => {
  const site = express();
  site.get('/', (_request, response) => void response.send('the page'));
  site.use(
    getRequestListener(createApp(runtimeOf('From Express'), { authorize }).fetch, { overrideGlobalObjects: false }),
  );
  const url = await listen(createServer(site));
  expect(await (await fetch(url)).text()).toBe('the page');
  expect(textOf(await chunksOf(await fetch(`${url}/api/chat`, message())))).toBe('From Express');
});

it('in Express, under a path', async () => {
  const site = express();
  const app = createApp(runtimeOf('Deeper'), { authorize, basePath: '' });
  site.use('/assistant', getRequestListener(app.fetch, { overrideGlobalObjects: false }));
  const url = await listen(createServer(site));
  expect(textOf(await chunksOf(await fetch(`${url}/assistant/chat`, message())))).toBe('Deeper');
});

it('in another Hono app', async () => {
  const site = new Hono().get('/', (context) => context.text('the page'));
  site.route('/', createApp(runtimeOf('From Hono'), { authorize }));
  expect(await (await site.request('http://localhost/')).text()).toBe('the page');
  expect(textOf(await chunksOf(await site.request('http://localhost/api/chat', message())))).toBe('From Hono');
});

it('behind one catch-all route of a fetch-style server', async () => {
  const app = createApp(runtimeOf('From a route'), { authorize });
  const route = { GET: (request: Request) => app.fetch(request), POST: (request: Request) => app.fetch(request) };
  const sent = await route.POST(new Request('http://localhost:3000/api/chat', message()));
  expect(textOf(await chunksOf(sent))).toBe('From a route');
  const history = await route.GET(new Request('http://localhost:3000/api/chat/t1'));
  expect(((await history.json()) as { messages: unknown[] }).messages).toHaveLength(2);
});

it('none of them is served without authorize: who is at the other end is not known there', async () => {
  const app = createApp(runtimeOf('Never'));
  const site = express().use(getRequestListener(app.fetch, { overrideGlobalObjects: false }));
  const url = await listen(createServer(site));
  expect(await refusalOf(await fetch(`${url}/api/chat`, message()))).toMatchObject({ status: 403, code: 'forbidden' });
});
