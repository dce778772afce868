/** A worker apart from the process that serves: real processes and real HTTP, with nothing in common but a file. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { storeFolder } from '../stores/sqlite-file.ts';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import type { ApartMessage, ApartTask } from './apart-process.ts';

let folder: ReturnType<typeof storeFolder>;
let living: Array<Child<ApartMessage>>;

beforeEach(() => {
  folder = storeFolder();
  living = [];
});

afterEach(async () => {
  for (const child of living) child.kill('SIGKILL');
  await Promise.all(living.map((child) => child.ended));
  folder.remove();
});

function live(role: ApartTask['role']): Child<ApartMessage> {
  const task: ApartTask = { store: `sqlite:${folder.path}`, role };
  const child = startChild<ApartMessage>(new URL('apart-process.ts', import.meta.url), task);
  living.push(child);
  return child;
}

async function serving(): Promise<{ web: Child<ApartMessage>; api: string }> {
  const web = live('web');
  const { url } = await web.message((message) => message.kind === 'listening');
  return { web, api: `${url}/api` };
}

function say(api: string, { thread, text }: { thread: string; text: string }): Promise<Response> {
  const messages = [{ id: `${thread}-${text}`, role: 'user', parts: [{ type: 'text', text }] }];
  return fetch(`${api}/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: thread, messages }),
  });
}

/** The text that a response stream shows. */
async function shown(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  const chunks = (await response.text())
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)) as { type: string; delta?: string });
  return chunks.map(({ type, delta }) => (type === 'text-delta' ? delta : '')).join('');
}

it('a chat that one process serves is executed by another, and its stream is read from the first', async () => {
  const { web, api } = await serving();
  const waiting = await say(api, { thread: 't', text: 'before there is a worker' });
  const worker = live('worker');
  await worker.message(({ kind }) => kind === 'ready');
  expect(await shown(waiting)).toBe(`Answered in process ${worker.pid}.`);
  expect(await shown(await say(api, { thread: 't', text: 'with a worker' }))).toBe(
    `Answered in process ${worker.pid}.`,
  );
  const errors = [...web.messages, ...worker.messages].filter((each) => each.kind === 'log' && each.level === 'error');
  expect(errors).toEqual([]);
}, 120_000);

it('a worker that dies leaves its chats to the next one, and a second server serves them too', async () => {
  const { api } = await serving();
  const first = live('worker');
  await first.message(({ kind }) => kind === 'ready');
  expect(await shown(await say(api, { thread: 't', text: 'one' }))).toContain(String(first.pid));
  first.kill('SIGKILL');
  await first.ended;
  const other = await serving();
  const waiting = await say(other.api, { thread: 't', text: 'two' });
  const second = live('worker');
  expect(await shown(waiting)).toBe(`Answered in process ${second.pid}.`);
}, 120_000);
