/** A real browser, a real server process, and a page between them. */

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { UIMessage } from 'ai';
import { build } from 'esbuild';
import type { BrowserContext } from 'playwright-core';
import { everturn } from '../cli/everturn.ts';
import type { Outcome } from '../cli/everturn.ts';
import { chunksOf, messageOf } from '../server/kit.ts';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import { noChromium } from './chromium.ts';
import { screenOf, shownParts } from './screen.ts';
import type { Screen } from './screen.ts';
import type { ApproveInCode, ServerOptions } from './server-process.ts';
import { describeUnless } from '../support/describe-unless.ts';

/** Skipped, visibly, where there is no Chromium; in CI that is a failure. */
export function inBrowser(name: string, tests: () => void): void {
  describeUnless(noChromium, name, tests, { timeout: 60_000 });
}

/** What the server has of a thread; the parts of each message as `shownParts` writes them. */
export interface StoredThread {
  messages: string[][];
  /** The same, each answer folded from the stream of its run. */
  folded: string[][];
  run: { id: string; status: string } | null;
}

export interface Stage {
  url: string;
  port: number;
  /** SIGKILL; the next process listens on the same port when `start` resolves. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** What the tools did. */
  witnessed(): Promise<string[]>;
  /** Each POST that was answered, as `POST /api/chat 200`. */
  posts(): Promise<string[]>;
  stored(thread: string): Promise<StoredThread>;
  /** Of the approval that a thread waits for. */
  pendingApproval(thread: string): Promise<string>;
  approveInCode(approval: string): void;
  /** The command line, as a process of its own on the same store. */
  cli(...args: string[]): Promise<Outcome>;
  request(path: string, init?: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> }): Promise<Response>;
  open(context: BrowserContext, options?: { id?: string; client?: string; url?: string }): Promise<Screen>;
  close(): Promise<void>;
}

export interface StageOptions {
  access?: ServerOptions['access'];
}

type ServerMessage = { kind: 'listening'; url: string; port: number };

export async function openStage({ access = 'local' }: StageOptions = {}): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'everturn-browser-'));
  const script = join(folder, 'page.js');
  await bundlePage(script);
  const database = join(folder, 'runs.db');
  const [witness, posts] = [join(folder, 'witness'), join(folder, 'posts')];
  const task: ServerOptions = { port: 0, database, witness, posts, script, access };
  let child: Child<ServerMessage>;
  const start = async (): Promise<ServerMessage> => {
    child = startChild<ServerMessage>(new URL('server-process.ts', import.meta.url), task);
    return child.message((message): message is ServerMessage => message.kind === 'listening');
  };
  const { url, port } = await start();
  task.port = port;
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await child.ended;
  };
  const request: Stage['request'] = (path, { headers = {}, ...init } = {}) =>
    fetch(`${url}${path}`, { ...init, headers: { cookie: 'user=test', ...headers } });
  return {
    url,
    port,
    kill,
    request,
    async start() {
      await start();
    },
    witnessed: () => linesOf(witness),
    posts: () => linesOf(posts),
    stored: (thread) => readThread(request, thread),
    async pendingApproval(thread) {
      // A stock client shows the card with the model's chunk; the approval is stored with the end of the turn, just after.
      for (let tries = 0; tries < 100; tries += 1) {
        const response = await request(`/api/approvals?status=pending&thread=${thread}`);
        const { items } = (await response.json()) as { items: Array<{ id: string }> };
        if (items[0] !== undefined) return items[0].id;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(`Nobody is asked in the thread "${thread}".`);
    },
    approveInCode: (id) => child.send({ kind: 'approve', id } satisfies ApproveInCode),
    cli: (...args) => everturn(database, args),
    async open(context, { id = 't1', client = 'durable', url: base = url } = {}) {
      const page = await context.newPage();
      // A busy machine is slow; a page that is wrong waits for ever.
      page.setDefaultTimeout(50_000);
      await page.goto(`${base}/?id=${id}&client=${client}`);
      return screenOf(page);
    },
    async close() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function linesOf(file: string): Promise<string[]> {
  return existsSync(file) ? (await readFile(file, 'utf8')).trim().split('\n') : [];
}

/** React in development: StrictMode mounts twice. */
async function bundlePage(outfile: string): Promise<void> {
  await build({
    entryPoints: [join(import.meta.dirname, 'app/page.tsx')],
    bundle: true,
    minify: true,
    platform: 'browser',
    jsx: 'automatic',
    conditions: ['everturn-source'],
    define: { 'process.env.NODE_ENV': '"development"' },
    outfile,
  });
}

async function readThread(request: Stage['request'], thread: string): Promise<StoredThread> {
  const response = await request(`/api/chat/${thread}`);
  if (response.status === 404) return { messages: [], folded: [], run: null };
  const { messages, run } = (await response.json()) as { messages: UIMessage[]; run: StoredThread['run'] };
  const fold = async (message: UIMessage): Promise<string[]> => {
    if (message.role !== 'assistant') return shownParts(message);
    const stream = await request(`/api/chat/${message.id.replace('msg_', '')}/stream?startIndex=0`);
    const folded = await messageOf(await chunksOf(stream));
    return folded === undefined ? [] : shownParts(folded);
  };
  return { messages: messages.map(shownParts), folded: await Promise.all(messages.map(fold)), run };
}
