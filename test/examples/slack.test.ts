import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { freePort } from '../support/free-port.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/slack.ts', import.meta.url));

interface Post {
  path: string | undefined;
  authorization: string | undefined;
  body: { channel: string; text: string; blocks: Array<{ elements?: Array<{ text: { text: string }; url: string }> }> };
}

let model: ModelServer;
let slack: Server;
/** What Slack was told; the first of them it refuses for now. */
const posts: Post[] = [];
let env: NodeJS.ProcessEnv;
let cwd: string;

beforeAll(async () => {
  model = await startModelServer({ pacingMs: 0 });
  slack = createServer((request, response) => {
    void text(request).then((body) => {
      const { url: path, headers } = request;
      posts.push({ path, authorization: headers.authorization, body: JSON.parse(body) as Post['body'] });
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(posts.length === 1 ? { ok: false, error: 'ratelimited' } : { ok: true }));
    });
  }).listen(0, '127.0.0.1');
  await once(slack, 'listening');
  const { port } = slack.address() as AddressInfo;
  cwd = mkdtempSync(join(tmpdir(), 'everturn-slack-'));
  env = {
    ...process.env,
    OPENAI_BASE_URL: model.baseURL,
    OPENAI_API_KEY: 'local',
    SLACK_URL: `http://127.0.0.1:${port}/api`,
    SLACK_TOKEN: 'xoxb-1',
    SLACK_USER: 'U012AB3CD',
    PORT: String(await freePort()),
  };
});
afterAll(async () => {
  slack.close();
  await model.close();
});

function start(): ChildProcess {
  return spawn(process.execPath, ['--conditions=everturn-source', EXAMPLE], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

describe('examples/slack.ts', { timeout: 60_000 }, () => {
  it('tells Slack again until it takes it, and is answered by the link of a message from another life', async () => {
    const first = start();
    await expect.poll(() => posts.length, { timeout: 20_000 }).toBe(2);
    first.kill('SIGKILL');
    await once(first, 'exit');
    const [refused, told] = posts;
    expect(told?.body).toEqual(refused?.body);
    expect(told).toMatchObject({
      path: '/api/chat.postMessage',
      authorization: 'Bearer xoxb-1',
      body: { channel: 'U012AB3CD', text: 'Pay 89 euros to Ada?' },
    });
    const buttons = told?.body.blocks[1]?.elements ?? [];
    expect(buttons.map(({ text: label }) => label.text)).toEqual(['Approve', 'Deny', 'Look']);
    const link = buttons[0]?.url ?? '';
    const second = start();
    const output = text(second.stdout as NodeJS.ReadableStream);
    await expect
      .poll(() => fetch(link).then((page) => page.text(), String), { timeout: 20_000 })
      .toContain('Pay 89 euros to Ada?');
    const answered = await fetch(link, { method: 'POST' });
    expect(await answered.text()).toContain('This was approved');
    // The model server marks each of its answers with tokens of its own.
    expect((await output).replaceAll(/tk_\w+ /g, '')).toContain('Paid 89 euros to Ada.');
    expect(second.exitCode ?? (await once(second, 'exit'))[0]).toBe(0);
    expect(posts.length).toBeLessThanOrEqual(3);
  });
});
