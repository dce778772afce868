/** An agent of the packed package on `upstashStore`, over the proxy, in each runtime that npm has. */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { emptyProject, install, packEverturn, run, versions } from '../consumer/consumer.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';
import { startUpstashProxy } from '../support/upstash-proxy.ts';
import type { UpstashProxy } from '../support/upstash-proxy.ts';

const PACKAGES = [
  ...['ai', 'zod', '@upstash/redis'].map((name) => `${name}@${versions[name]}`),
  'deno@2.9.6',
  'bun@1.4.5',
  'miniflare@4.20260730.0',
];

/** Its own command is made by an install script. */
const BUN_ARCH = process.arch === 'arm64' ? 'aarch64' : process.arch;

const SCENARIO = `
  import { createRuntime, DurableAgent } from 'everturn';
  import { upstashStore } from 'everturn/upstash';
  import { tool } from 'ai';
  import { MockLanguageModelV4 } from 'ai/test';
  import { z } from 'zod';

  const usage = {
    inputTokens: { total: 5, noCache: 5, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 7, text: 7, reasoning: 0 },
  };
  const finish = (unified) => ({ type: 'finish', finishReason: { unified, raw: unified }, usage });
  const ask = [{ type: 'tool-call', toolCallId: 'c', toolName: 'look', input: '{}' }, finish('tool-calls')];
  const words = ['It ', 'is ', 'sunny.'].map((delta) => ({ type: 'text-delta', id: 't', delta }));
  const say = [{ type: 'text-start', id: 't' }, ...words, { type: 'text-end', id: 't' }, finish('stop')];
  const toStream = (parts) =>
    new ReadableStream({
      start(controller) {
        for (const part of [{ type: 'stream-start', warnings: [] }, ...parts]) controller.enqueue(part);
        controller.close();
      },
    });

  export async function scenario(url, token, namespace) {
    let turns = 0;
    let looks = 0;
    const model = new MockLanguageModelV4({
      doStream: async () => ({ stream: toStream((turns += 1) === 1 ? ask : say) }),
    });
    const look = tool({ description: 'Looks', inputSchema: z.object({}), execute: () => ((looks += 1), 'Sunny.') });
    const agent = new DurableAgent({ model, tools: { look } });
    const runtime = createRuntime({ store: upstashStore({ url, token, namespace }), agents: { agent } });
    const run = await runtime.start(agent, { prompt: 'What is the weather?' });
    let streamed = '';
    for await (const chunk of run.stream()) if (chunk.type === 'text-delta') streamed += chunk.delta;
    const { text } = await run.result();
    await runtime.close();
    return { text, streamed, turns, looks };
  }
`;
const PROGRAM = `
  import process from 'node:process';
  import { scenario } from './scenario.mjs';
  console.log(JSON.stringify(await scenario(...process.argv.slice(2))));
  process.exit(0);
`;
const WORKER = `
  import { scenario } from './scenario.mjs';
  export default { fetch: async (request) => Response.json(await scenario(...(await request.json()))) };
`;
const ANSWER = { text: 'It is sunny.', streamed: 'It is sunny.', turns: 2, looks: 1 };

describeUnless(noRedis, 'an agent on upstashStore', () => {
  let project = '';
  let server: RedisServer;
  let proxy: UpstashProxy;
  beforeAll(async () => {
    project = emptyProject();
    await install(project, [await packEverturn(), ...PACKAGES, '--ignore-scripts']);
    for (const [name, text] of Object.entries({ scenario: SCENARIO, program: PROGRAM, worker: WORKER }))
      writeFileSync(join(project, `${name}.mjs`), text);
    server = await startRedis();
    proxy = await startUpstashProxy(server.url);
  }, 300_000);
  afterAll(async () => {
    await proxy?.close();
    await server?.remove();
    rmSync(project, { recursive: true, force: true });
  });

  const programs: Array<[runtime: string, command: () => [string, ...string[]]]> = [
    ['Node', () => [process.execPath]],
    ['Deno', () => [join(project, 'node_modules/.bin/deno'), 'run', '--allow-all', '--node-modules-dir=manual']],
    ['Bun', () => [join(project, `node_modules/@oven/bun-${process.platform}-${BUN_ARCH}/bin/bun`)]],
  ];
  it.for(programs)('ends, and is read meanwhile, in %s', async ([name, command]) => {
    const [program, ...args] = command();
    const answer = await run(program, [...args, 'program.mjs', proxy.url, proxy.token, name], { cwd: project });
    expect(JSON.parse(answer)).toEqual(ANSWER);
  });

  it('ends, and is read meanwhile, in a Cloudflare worker that has nothing of Node but AsyncLocalStorage', async () => {
    const outfile = join(project, 'bundle.js');
    await build({
      entryPoints: [join(project, 'worker.mjs')],
      bundle: true,
      outfile,
      format: 'esm',
      platform: 'browser',
      conditions: ['workerd', 'worker', 'browser'],
      external: ['node:async_hooks'],
    });
    const { Miniflare } = (await import(
      pathToFileURL(join(project, 'node_modules/miniflare/dist/src/index.js')).href
    )) as {
      Miniflare: new (options: object) => {
        dispatchFetch(url: string, init: RequestInit): Promise<Response>;
        dispose(): Promise<void>;
      };
    };
    const worker = new Miniflare({
      modules: true,
      script: readFileSync(outfile, 'utf8'),
      compatibilityDate: '2026-07-01',
      compatibilityFlags: ['nodejs_als'],
    });
    try {
      const body = JSON.stringify([proxy.url, proxy.token, 'workerd']);
      const response = await worker.dispatchFetch('http://worker/', { method: 'POST', body });
      expect(JSON.parse(await response.text())).toEqual(ANSWER);
    } finally {
      await worker.dispose();
    }
  });
});
