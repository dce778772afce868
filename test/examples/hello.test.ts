import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';

const HELLO = fileURLToPath(new URL('../../examples/hello.ts', import.meta.url));

let model: ModelServer;
beforeAll(async () => {
  model = await startModelServer({ pacingMs: 8 });
});
afterAll(() => model.close());

interface Hello {
  child: ChildProcess;
  /** What it has printed so far. */
  output: () => string;
  /** Resolves when it has printed something that fits, rejects if it ends before. */
  printed: (pattern: RegExp) => Promise<void>;
  ended: Promise<number | null>;
}

function startHello(cwd: string): Hello {
  const child = spawn(process.execPath, ['--conditions=everturn-source', HELLO], {
    cwd,
    env: { ...process.env, OPENAI_BASE_URL: model.baseURL, OPENAI_API_KEY: 'local' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  const ended = once(child, 'close').then(([code]) => code as number | null);
  const printed = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      child.stdout.on('data', () => pattern.test(output) && resolve());
      child.once('close', () => reject(new Error(`hello ended without printing ${pattern}: ${output}`)));
    });
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  return { child, output: () => output, printed, ended };
}

async function runHello(cwd: string): Promise<string> {
  const hello = startHello(cwd);
  expect(await hello.ended).toBe(0);
  return hello.output();
}

function freshDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'everturn-hello-'));
}

/** One line per execution of the tool: what was ordered, and the call's idempotency key. */
function ordersIn(cwd: string): string[] {
  const file = join(cwd, 'orders.txt');
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const LAST_WORDS = /in the oven\.\s+tk_\w+/;

describe('examples/hello.ts', { timeout: 60_000 }, () => {
  it('has at most 25 lines', () => {
    expect(readFileSync(HELLO, 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(25);
  });

  it('run again, prints the same answer without asking the model or running the tool', async () => {
    const cwd = freshDirectory();
    const first = await runHello(cwd);
    expect(first).toMatch(LAST_WORDS);
    const requests = model.log.length;
    expect(await runHello(cwd)).toBe(first);
    expect(model.log.length).toBe(requests);
    expect(ordersIn(cwd)).toEqual([expect.stringMatching(/^Margherita \S+$/)]);
  });

  it.concurrent.each<{ moment: string; reached: (hello: Hello, cwd: string) => Promise<void>; executions: number[] }>([
    {
      moment: 'as its file appears',
      reached: (_, cwd) => until(() => existsSync(join(cwd, 'hello.db'))),
      executions: [1],
    },
    { moment: 'in the middle of its first turn', reached: (hello) => hello.printed(/tk_\w+ Let me/), executions: [1] },
    // The effect may be there and its record not: the one moment at which the body runs again, under the same key.
    {
      moment: 'as the tool has ordered',
      reached: (_, cwd) => until(() => ordersIn(cwd).length > 0),
      executions: [1, 2],
    },
    { moment: 'in the middle of its last turn', reached: (hello) => hello.printed(/The answer of/), executions: [1] },
    { moment: 'after its last word', reached: (hello) => hello.printed(LAST_WORDS), executions: [1] },
  ])('killed $moment, goes on and orders once', async ({ reached, executions }) => {
    const cwd = freshDirectory();
    const hello = startHello(cwd);
    await reached(hello, cwd);
    hello.child.kill('SIGKILL');
    await hello.ended;
    expect(await runHello(cwd)).toMatch(LAST_WORDS);
    const orders = ordersIn(cwd);
    expect(new Set(orders).size).toBe(1);
    expect(executions).toContain(orders.length);
  });

  it.concurrent('killed again and again at any time, orders under one key and ends', async () => {
    const cwd = freshDirectory();
    for (const lifeMs of [400, 600]) {
      const hello = startHello(cwd);
      const timer = setTimeout(() => hello.child.kill('SIGKILL'), lifeMs);
      await hello.ended;
      clearTimeout(timer);
    }
    expect(await runHello(cwd)).toMatch(LAST_WORDS);
    expect(new Set(ordersIn(cwd)).size).toBe(1);
  });
});
