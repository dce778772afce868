/** `readStream` of the packed package in each runtime that npm or the machine has, over connections that are cut. */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DurableAgent, getWritable, step, workflow } from 'everturn';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scriptedModel } from '../agent/run-kit.ts';
import { launchChromium, noChromium } from '../browser/chromium.ts';
import { openProxy } from '../client/proxy.ts';
import type { Proxy } from '../client/proxy.ts';
import { emptyProject, install, oldestNode, packEverturn, run } from '../consumer/consumer.ts';
import { openSocket } from '../server/kit.ts';
import type { Site } from '../server/kit.ts';
import { collect } from '../support/collect.ts';
import { describeUnless } from '../support/describe-unless.ts';

const CHUNKS = 600;
const RUNTIMES = ['deno@2.9.6', 'bun@1.4.5', 'miniflare@4.20260730.0'];

/** Its own command is made by an install script. */
const BUN_ARCH = process.arch === 'arm64' ? 'aarch64' : process.arch;

const COLLECT = `
  import { readStream } from 'everturn/client';
  export async function collect(url) {
    const read = [];
    const environment = { random: () => 0.02 };
    for await (const { id, data } of readStream(url, { environment })) {
      read.push([id, data instanceof Uint8Array ? [...data] : data]);
    }
    return read;
  }
`;
const PROGRAM = `
  import process from 'node:process';
  import { collect } from './collect.mjs';
  console.log(JSON.stringify(await collect(process.argv[2])));
  process.exit(0);
`;
const WORKER = `
  import { collect } from './collect.mjs';
  export default { fetch: async (request) => Response.json(await collect(new URL(request.url).searchParams.get('of'))) };
`;

const long = workflow('long', () =>
  step('write', async () => {
    const writer = getWritable().getWriter();
    for (let index = 0; index < CHUNKS; index += 1) {
      await writer.write(
        index % 50 === 7 ? new Uint8Array([index % 256, 10, 13, 0]) : { index, text: 'é\n\u2028 '.repeat(index % 9) },
      );
    }
    await writer.close();
  }),
);

let project = '';
let site: Site;
let proxy: Proxy;
let url = '';
let whole: unknown[] = [];

beforeAll(async () => {
  project = emptyProject();
  await install(project, [await packEverturn(), ...RUNTIMES, '--ignore-scripts']);
  for (const [name, text] of Object.entries({ collect: COLLECT, program: PROGRAM, worker: WORKER })) {
    writeFileSync(join(project, `${name}.mjs`), text);
  }
  const support = new DurableAgent({ model: scriptedModel([]).model });
  site = await openSocket({ agents: { support }, workflows: [long] });
  const started = await site.runtime.start(long, { id: 'run_long' });
  await started.result();
  const chunks = await collect(started.stream());
  whole = chunks.map((chunk, index) => [
    String(index + 1).padStart(16, '0'),
    chunk instanceof Uint8Array ? [...chunk] : chunk,
  ]);
  proxy = await openProxy(new URL(site.api).origin);
  url = `${proxy.url}/api/runs/run_long/streams/default`;
}, 300_000);
afterAll(async () => {
  await proxy?.close();
  await site?.close();
  rmSync(project, { recursive: true, force: true });
});

/** Each connection ends after some bytes: a reader makes dozens of them. */
function cutting(): { made(): number } {
  // One that is kept alive would not be cut.
  proxy.cut();
  const before = proxy.made();
  let seed = 1;
  proxy.cutAfter = () => 1_500 + ((seed = (seed * 48_271) % 2_147_483_647) % 4_000);
  return { made: () => proxy.made() - before };
}

async function expectWhole(read: () => Promise<unknown>): Promise<void> {
  const cuts = cutting();
  const answer = await read();
  proxy.cutAfter = undefined;
  expect(answer).toEqual(whole);
  expect(cuts.made()).toBeGreaterThan(5);
}

async function bundled(name: string, format: 'esm' | 'iife', globalName?: string): Promise<string> {
  const outfile = join(project, `${name}.${format}.js`);
  const entryPoints = [join(project, `${name}.mjs`)];
  const named = globalName === undefined ? {} : { globalName };
  await build({ entryPoints, bundle: true, outfile, format, platform: 'browser', ...named });
  return readFileSync(outfile, 'utf8');
}

describe('readStream reads all of a stream over cut connections', () => {
  const programs: Array<[runtime: string, command: () => Promise<[string, ...string[]] | undefined>]> = [
    ['Node', async () => [process.execPath]],
    ['the oldest Node', async () => toCommand(await oldestNode())],
    ['Deno', async () => [join(project, 'node_modules/.bin/deno'), 'run', '--allow-all', '--node-modules-dir=manual']],
    ['Bun', async () => [join(project, `node_modules/@oven/bun-${process.platform}-${BUN_ARCH}/bin/bun`)]],
  ];
  it.for(programs)('in %s', async ([, command], { skip }) => {
    const [program, ...args] = (await command()) ?? skip('npm has no Node 22.13 for this machine');
    await expectWhole(async () => JSON.parse(await run(program, [...args, 'program.mjs', url], { cwd: project })));
  });

  it('in a Cloudflare worker', async () => {
    const { Miniflare } = (await import(
      pathToFileURL(join(project, 'node_modules/miniflare/dist/src/index.js')).href
    )) as {
      Miniflare: new (options: object) => { dispatchFetch(url: string): Promise<Response>; dispose(): Promise<void> };
    };
    const worker = new Miniflare({
      modules: true,
      script: await bundled('worker', 'esm'),
      compatibilityDate: '2026-07-01',
    });
    try {
      await expectWhole(async () => {
        const response = await worker.dispatchFetch(`http://worker/?of=${encodeURIComponent(url)}`);
        return response.json();
      });
    } finally {
      await worker.dispose();
    }
  });

  describeUnless(noChromium, 'in Chromium', () => {
    it('on a page, and in a worker of it', async () => {
      const browser = await launchChromium();
      try {
        const page = await browser.newPage();
        await page.goto(`${proxy.url}/api/health`);
        const script = await bundled('collect', 'iife', 'reading');
        await expectWhole(() => page.evaluate(`${script}; reading.collect(${JSON.stringify(url)})`));
        const inWorker = `${script}; reading.collect(${JSON.stringify(url)}).then(postMessage)`;
        await expectWhole(() =>
          page.evaluate(
            (source) =>
              new Promise((resolve, reject) => {
                const worker = new Worker(URL.createObjectURL(new Blob([source])));
                worker.onmessage = ({ data }) => resolve(data);
                worker.onerror = ({ message }) => reject(new Error(message));
              }),
            inWorker,
          ),
        );
      } finally {
        await browser.close();
      }
    });
  });
});

function toCommand(path: string | undefined): [string] | undefined {
  return path === undefined ? undefined : [path];
}
