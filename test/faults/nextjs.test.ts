/** The Next.js example as a user has it: the package from its tarball, TypeScript 5.9, `next dev` and `next start`. */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { appendFileSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { UIMessage } from 'ai';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { freshFolder, packEverturn, root, run } from '../consumer/consumer.ts';
import { framesOf, messageOf, textOf, toChunks, userMessage } from '../server/kit.ts';
import { freePort } from '../support/free-port.ts';

const CITIES = ['Rome', 'Oslo', 'Bern', 'Cork', 'Lima', 'Kyiv'];
const SAVES = 10;

let project: string;
let model: ModelServer;
let next: ChildProcess | undefined;
let url = '';
let output = '';

beforeAll(async () => {
  const tarball = await packEverturn();
  project = join(freshFolder(), 'nextjs');
  const isSource = (path: string): boolean => !/node_modules|\.next|everturn\.db/.test(path.slice(root.length));
  cpSync(join(root, 'examples/nextjs'), project, { recursive: true, filter: isSource });
  rmSync(join(project, '.npmrc'));
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error', tarball], {
    cwd: project,
  });
  model = await startModelServer({
    pacingMs: 3,
    scenarios: [
      {
        name: 'tour',
        matches: /tour/i,
        replies: [
          ...CITIES.map((city) => ({
            text: `Let me look at ${city} first, because the weather there decides a lot.`,
            toolCalls: [{ name: 'readWeather', arguments: { city } }],
          })),
          { text: 'That was the tour.' },
        ],
      },
      {
        name: 'book',
        matches: /book/i,
        replies: [{ toolCalls: [{ name: 'bookTrip', arguments: { city: 'Rome' } }] }, { text: 'It is booked.' }],
      },
    ],
  });
}, 300_000);
afterAll(() => model?.close());
afterEach(() => stop());

async function start(command: 'dev' | 'start'): Promise<void> {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  output = '';
  next = spawn(process.execPath, ['node_modules/next/dist/bin/next', command, '-p', String(port), '-H', '127.0.0.1'], {
    cwd: project,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  next.stdout?.on('data', (part: Buffer) => (output += part.toString()));
  next.stderr?.on('data', (part: Buffer) => (output += part.toString()));
  await eventually(async () => (await fetch(`${url}/api/health`)).ok);
}

function environment(): NodeJS.ProcessEnv {
  // NODE_ENV is the test's: the command decides on its own.
  const own = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|VITEST|CI$)/i.test(name));
  return {
    ...Object.fromEntries(own),
    NEXT_TELEMETRY_DISABLED: '1',
    OPENAI_BASE_URL: model.baseURL,
    OPENAI_API_KEY: 'local',
    TOOL_LOG: join(project, 'tools.log'),
  };
}

/** Next.js has processes of its own: the group ends with it. */
async function stop(): Promise<void> {
  const { pid } = next ?? {};
  if (next === undefined || pid === undefined || next.exitCode !== null) return;
  const ended = new Promise((resolve) => next?.once('exit', resolve));
  process.kill(-pid, 'SIGKILL');
  await ended;
  next = undefined;
}

async function eventually<T>(look: () => Promise<T | false>): Promise<T> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    const found = await look().catch(() => false as const);
    if (found !== false) return found;
    if (performance.now() > deadline) throw new Error(`It did not happen in two minutes.\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

interface History {
  messages: UIMessage[];
  run: { status: string; waits: Array<{ approvalId?: string }> } | null;
}

async function historyOf(thread: string): Promise<History> {
  const response = await fetch(`${url}/api/chat/${thread}`);
  return (await response.json()) as History;
}

function post(path: string, body: unknown): Promise<Response> {
  return fetch(`${url}/api${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(body),
  });
}

interface Trace {
  what: 'start' | 'end';
  city: string;
  idempotencyKey: string;
  at: number;
}

function traces(): Trace[] {
  const file = join(project, 'tools.log');
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Trace);
}

function shown(message: UIMessage | undefined): string {
  return (message?.parts ?? []).map((part) => (part.type === 'text' ? part.text : '')).join('\n');
}

/** The model server marks the beginning, the middle and the end of each response with a token of that response. */
function expectNothingTwice(text: string): void {
  const tokens = text.match(/tk_[0-9a-f]{8}/g) ?? [];
  expect(new Set(tokens).size).toBe(CITIES.length + 1);
  expect(tokens).toHaveLength(3 * (CITIES.length + 1));
}

it('saving a tool ten times during a run leaves one holder at each moment, and no text twice', async () => {
  writeFileSync(join(project, 'tools.log'), '');
  await start('dev');
  expect((await fetch(url)).status).toBe(200);
  expect((await post('/chat', { id: 'dev', messages: [userMessage('m1', 'A tour, please')] })).status).toBe(202);
  for (let save = 1; save <= SAVES; save += 1) {
    appendFileSync(join(project, 'lib/tools.ts'), `\n// saved ${save}\n`);
    // A request makes Next.js load the new code.
    await new Promise((resolve) => setTimeout(resolve, 250));
    await eventually(async () => (await fetch(`${url}/api/health`)).ok);
  }
  const history = await eventually(async () => {
    const found = await historyOf('dev');
    return found.run === null && found;
  });
  const answer = shown(history.messages.at(-1));
  expect(answer).toContain('That was the tour.'.split(' ').at(-1));
  expectNothingTwice(answer);
  const stream = await fetch(`${url}/api/chat/dev/stream?startIndex=0`);
  const frames = [];
  for await (const frame of framesOf(stream)) frames.push(frame);
  const replayed = await messageOf(toChunks(frames));
  expect(shown(replayed)).toBe(answer);
  expectOneAtATime(traces());
}, 300_000);

/** A call that was interrupted runs again under its key; two at once would be two holders. */
function expectOneAtATime(all: Trace[]): void {
  const ended = all.filter(({ what }) => what === 'end');
  expect(new Set(ended.map(({ city }) => city))).toEqual(new Set(CITIES));
  expect(ended).toHaveLength(new Set(ended.map(({ idempotencyKey }) => idempotencyKey)).size);
  for (const [index, { what, idempotencyKey, city }] of all.entries()) {
    const following = all[index + 1];
    if (what === 'start' && following?.what === 'end')
      expect([following.idempotencyKey, following.city]).toEqual([idempotencyKey, city]);
  }
}

it('builds, starts, waits for an approval through a SIGKILL, and goes on before anybody asks', async () => {
  await run(process.execPath, ['node_modules/next/dist/bin/next', 'build'], { cwd: project, env: environment() });
  rmSync(join(project, 'tools.log'), { force: true });
  await start('start');
  expect(await (await fetch(url)).text()).toContain('Trips');
  await post('/chat', { id: 'live', messages: [userMessage('m1', 'Book a trip')] });
  const waiting = await eventually(async () => {
    const found = await historyOf('live');
    return found.run?.status === 'waiting' && found;
  });
  await stop();
  await start('start');
  const id = waiting.run?.waits[0]?.approvalId;
  expect((await post(`/approvals/${id}/decision`, { approved: true })).status).toBe(200);
  const done = await eventually(async () => {
    const found = await historyOf('live');
    return found.run === null && found;
  });
  expect(shown(done.messages.at(-1))).toContain('booked.');
  expect(traces().filter(({ what }) => what === 'end')).toHaveLength(1);

  await post('/chat', { id: 'tour', messages: [userMessage('m1', 'A tour, please')] });
  await eventually(async () => traces().some(({ what, city }) => what === 'start' && city === CITIES[1]));
  await stop();
  await start('start');
  const toured = await eventually(async () => {
    const found = await historyOf('tour');
    return found.run === null && found;
  });
  expectNothingTwice(shown(toured.messages.at(-1)));
}, 300_000);

it('streams tokens as they come', async () => {
  await start('start');
  const response = await fetch(`${url}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'accept-encoding': 'gzip, br' },
    body: JSON.stringify({ id: 'stream', messages: [userMessage('m1', 'A tour, please')] }),
  });
  expect(response.headers.get('content-encoding')).toBeNull();
  const arrivals: number[] = [];
  const seen = [];
  for await (const frame of framesOf(response)) {
    seen.push(frame);
    arrivals.push(performance.now());
  }
  expect(textOf(toChunks(seen))).toContain('tour.');
  // Six tools of 400 ms each lie between the first token and the last.
  expect((arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0)).toBeGreaterThan(2_000);
}, 300_000);
