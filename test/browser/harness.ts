/** A real browser, a real server process, and a page between them. */

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { BrowserContext, Page } from 'playwright-core';
import { describe } from 'vitest';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import { noChromium } from './chromium.ts';
import type { ServerTask } from './server-process.ts';

/** Skipped, visibly, where there is no Chromium; in CI that is a failure. */
export function inBrowser(name: string, tests: () => void): void {
  const title = noChromium === undefined ? name : `${name} (skipped: ${noChromium})`;
  describe.skipIf(noChromium !== undefined)(title, { timeout: 60_000 }, tests);
}

export interface Stage {
  url: string;
  /** SIGKILL; the next process listens on the same port when `start` resolves. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** What the tools did. */
  witnessed(): Promise<string[]>;
  /** What the server would tell a new page. */
  stored(thread: string): Promise<{ texts: string[]; run: { status: string } | null }>;
  open(context: BrowserContext, options?: { id?: string; client?: string }): Promise<Screen>;
  close(): Promise<void>;
}

type ServerMessage = { kind: 'listening'; url: string; port: number };

export async function openStage(): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'everturn-browser-'));
  const script = join(folder, 'page.js');
  await build({
    entryPoints: [join(import.meta.dirname, 'app/page.tsx')],
    bundle: true,
    platform: 'browser',
    jsx: 'automatic',
    conditions: ['everturn-source'],
    define: { 'process.env.NODE_ENV': '"development"' },
    outfile: script,
  });
  const task: ServerTask = { port: 0, database: join(folder, 'runs.db'), witness: join(folder, 'witness'), script };
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
  return {
    url,
    kill,
    async start() {
      await start();
    },
    async witnessed() {
      return existsSync(task.witness) ? (await readFile(task.witness, 'utf8')).trim().split('\n') : [];
    },
    async stored(thread) {
      const response = await fetch(`${url}/api/chat/${thread}`);
      const { messages, run } = (await response.json()) as {
        messages: Array<{ parts: Array<{ type: string; text?: string }> }>;
        run: { status: string } | null;
      };
      const texts = messages.map(({ parts }) => parts.map(({ type, text }) => (type === 'text' ? text : '')).join(''));
      return { texts, run };
    },
    async open(context, { id = 't1', client = 'durable' } = {}) {
      const page = await context.newPage();
      // A busy machine is slow; a page that is wrong waits for ever.
      page.setDefaultTimeout(50_000);
      await page.goto(`${url}/?id=${id}&client=${client}`);
      return screenOf(page);
    },
    async close() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface Screen {
  page: Page;
  send(text: string): Promise<void>;
  press(name: string): Promise<void>;
  /** Of each message. */
  texts(): Promise<string[]>;
  status(): Promise<string | null>;
  /** Resolves when the page has this status. */
  is(status: string): Promise<void>;
  /** Resolves when the message at this place has words. */
  answers(index: number): Promise<void>;
  /** Resolves when the page shows it somewhere in a message. */
  shows(text: string): Promise<void>;
}

function screenOf(page: Page): Screen {
  const main = page.locator('main');
  return {
    page,
    async send(text) {
      await page.getByLabel('Message').fill(text);
      await page.getByRole('button', { name: 'Send' }).click();
    },
    press: (name) => page.getByRole('button', { name, exact: true }).click(),
    texts: () =>
      page
        .locator('li')
        .evaluateAll((items) =>
          items.map((item) => [...item.querySelectorAll('span')].map((span) => span.textContent).join('')),
        ),
    status: () => main.getAttribute('data-status'),
    is: (status) => page.locator(`main[data-status="${status}"]`).waitFor(),
    answers: (index) => page.locator('li').nth(index).locator('span', { hasText: /./ }).first().waitFor(),
    shows: (text) => page.locator('li', { hasText: text }).first().waitFor(),
  };
}
