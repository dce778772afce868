import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { emptyProject, install, installed, oldestNode, packEverturn, root, run, versions } from './consumer.ts';

/** `ai` and `zod` with all that they need are 10. */
const MOST_PACKAGES = 30;
const tsc = join(root, 'node_modules/.bin/tsc');
/** Those that need nothing else to be installed. */
const entries = [
  'everturn',
  'everturn/memory',
  'everturn/sqlite',
  'everturn/testing',
  'everturn/server',
  'everturn/client',
];
/** What `everturn/react` and `serve` need besides, as their pages say. */
const peers = ['react', '@ai-sdk/react', '@hono/node-server'];

let project: string;
let packages: string[];
let model: ModelServer;

beforeAll(async () => {
  const tarball = await packEverturn();
  project = emptyProject();
  await install(project, [tarball, `ai@${versions['ai']}`, `zod@${versions['zod']}`]);
  packages = installed(project);
  // What the programs below need beyond the README's three: a provider; the optional peers; for tsc the types of node, and those that the SDK's own need.
  const more = ['@ai-sdk/openai', '@types/node', '@types/react', ...peers].map((name) => `${name}@${versions[name]}`);
  await install(project, [...more, '@types/json-schema@7.0.15']);
  copyFileSync(join(root, 'examples/hello.ts'), join(project, 'hello.ts'));
  model = await startModelServer({ pacingMs: 0 });
}, 120_000);
afterAll(() => model?.close());

describe('npm install everturn ai zod', () => {
  it(`installs at most ${MOST_PACKAGES} packages, one copy of each`, () => {
    expect(packages.length).toBeLessThanOrEqual(MOST_PACKAGES);
    expect(packages.filter((path) => path.lastIndexOf('node_modules') > 0)).toEqual([]);
  });

  it('needs no install scripts', () => {
    const lock = JSON.parse(readFileSync(join(project, 'node_modules/.package-lock.json'), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: boolean }>;
    };
    expect(Object.entries(lock.packages).filter(([, { hasInstallScript }]) => hasInstallScript === true)).toEqual([]);
  });
});

describe('importing the package', () => {
  /** URLs of all modules that an import loads, those of node included. */
  async function graph(entry: string): Promise<string[]> {
    const script = `
      import { registerHooks } from 'node:module';
      const urls = new Set();
      registerHooks({ load: (url, context, next) => (urls.add(url), next(url, context)) });
      await import(${JSON.stringify(entry)});
      console.log(JSON.stringify([...urls]));
    `;
    return JSON.parse(
      await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: project }),
    ) as string[];
  }
  const own = (urls: string[]): string[] => urls.flatMap((url) => /node_modules\/everturn\/(.*)$/.exec(url)?.[1] ?? []);
  const packagesOf = (urls: string[]): string[] => [
    ...new Set(urls.flatMap((url) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? [])),
  ];

  it('loads built code, and of the core neither stores nor tests nor SQLite', async () => {
    const urls = await graph('everturn');
    expect(own(urls)).toContain('dist/index.js');
    expect(
      own(urls).filter((path) => !/^dist\/(index\.js|(runtime|streams|hooks|tools|agent|app)\/.*\.js)$/.test(path)),
    ).toEqual([]);
    expect(urls).not.toContain('node:sqlite');
    expect(packagesOf(urls).filter((name) => /^@ai-sdk\/mcp$|hono|openapi/.test(name))).toEqual([]);
  });

  it.each([
    ['everturn/memory', 'dist/stores/memory/memory-store.js', 'dist/stores/sqlite/'],
    ['everturn/sqlite', 'dist/stores/sqlite/sqlite-store.js', 'dist/stores/memory/'],
  ])('%s loads its store, no other one, and not the AI SDK', async (entry, store, other) => {
    const urls = await graph(entry);
    expect(own(urls)).toContain(store);
    expect(own(urls).filter((path) => path.startsWith(other))).toEqual([]);
    expect(packagesOf(urls)).not.toContain('ai');
  });

  it('loads everturn/client and nothing that runs agents or serves them', async () => {
    const urls = await graph('everturn/client');
    expect(own(urls)).toContain('dist/client/durable-chat-transport.js');
    expect(
      own(urls).filter((path) => /^dist\/(server|stores|app|agent|hooks|tools|react|cli|testing)\//.test(path)),
    ).toEqual([]);
  });

  it('loads everturn/react with react and the SDK, and nothing of a server', async () => {
    const urls = await graph('everturn/react');
    expect(own(urls)).toContain('dist/react/use-durable-agent.js');
    expect(own(urls).filter((path) => /^dist\/(server|stores|app|agent|hooks|tools|cli|testing)\//.test(path))).toEqual(
      [],
    );
    expect(packagesOf(urls)).toContain('react');
    expect(packagesOf(urls).filter((name) => /^@hono|^hono$|openapi/.test(name))).toEqual([]);
  });

  it('loads everturn/server without a store and without a server of Node', async () => {
    const urls = await graph('everturn/server');
    expect(own(urls)).toContain('dist/server/create-app.js');
    expect(own(urls).filter((path) => /^dist\/(stores|client|react|cli|testing)\//.test(path))).toEqual([]);
    expect(packagesOf(urls)).not.toContain('@hono/node-server');
    expect(urls).not.toContain('node:sqlite');
  });

  it('loads only packages that a consumer has', async () => {
    const urls = (await Promise.all(entries.map(graph))).flat();
    const names = packages.map((path) => path.slice('node_modules/'.length));
    expect(packagesOf(urls).filter((name) => !names.includes(name))).toEqual([]);
  });
});

describe('tsc', () => {
  const options = {
    target: 'es2023',
    lib: ['es2024', 'esnext.disposable', 'dom', 'dom.asynciterable'],
    strict: true,
    types: ['node'],
    noEmit: true,
  };
  const use = `
    import { createRuntime, DurableAgent, step, workflow } from 'everturn';
    import type { RunHandle, Workflow } from 'everturn';
    import { memoryStore } from 'everturn/memory';
    import { sqliteStore } from 'everturn/sqlite';
    import { createTestRuntime, scriptedModel } from 'everturn/testing';
    import { createApp, serve } from 'everturn/server';
    import type { RunningServer } from 'everturn/server';
    import { durableChatTransport, readStream } from 'everturn/client';
    import { useDurableAgent } from 'everturn/react';
    import type { DurableAgentHelpers } from 'everturn/react';

    const greet: Workflow<string, string> = workflow('greet', async (name: string) => step('greet', () => name.toUpperCase()));
    const agent = new DurableAgent({ model: scriptedModel(['Hello.']) });
    const runtime = createRuntime({ store: Math.random() > 2 ? sqliteStore('x.db') : memoryStore(), agents: { agent }, workflows: { greet } });
    const run: RunHandle<string> = await runtime.start(greet, { input: 'ada' });
    const upper: string = await run.result();
    // @ts-expect-error the result is a text, so the types have arrived and are no any
    const wrong: number = await run.result();
    console.log(upper, wrong, createTestRuntime({ workflows: [greet] }).clock.now());
    const server: RunningServer = await serve(createApp(runtime), { port: 0 });
    const transport = durableChatTransport({ api: server.url + '/api' });
    // @ts-expect-error a port is a number
    console.log(server.port.toUpperCase(), transport.sendMessages, readStream);
    export function useThread(): DurableAgentHelpers['messages'] {
      const { messages, approvals } = useDurableAgent({ id: 't' });
      // @ts-expect-error there is no such decision
      approvals[0]?.perhaps();
      return messages;
    }
  `;

  it.each([
    ['nodenext', { module: 'nodenext' }],
    ['bundler', { module: 'esnext', moduleResolution: 'bundler' }],
  ])(
    'accepts the package and its types with %s',
    async (name, resolution) => {
      writeFileSync(join(project, `use-${name}.ts`), use);
      // Declarations of packages are checked as well (no skipLibCheck).
      const config = {
        compilerOptions: { ...options, ...resolution },
        files: [`use-${name}.ts`, 'hello.ts'],
      };
      writeFileSync(join(project, `tsconfig.${name}.json`), JSON.stringify(config));
      expect(await run(tsc, ['-p', `tsconfig.${name}.json`], { cwd: project })).toBe('');
    },
    60_000,
  );
});

describe('the program everturn', () => {
  const bin = (): string => join(project, 'node_modules/.bin/everturn');
  const runs = async (program: string, args: string[]): Promise<unknown> => {
    const output = await run(program, [...args, 'inspect', 'runs', '--json', '--store', 'cli.db'], { cwd: project });
    return (JSON.parse(output) as { items: Array<{ id: string }> }).items.map(({ id }) => id);
  };
  beforeAll(async () => {
    const script = `
      import { createRuntime, workflow } from 'everturn';
      import { sqliteStore } from 'everturn/sqlite';
      const runtime = createRuntime({ store: sqliteStore('cli.db'), workflows: [workflow('greet', async () => 'hi')] });
      await (await runtime.start('greet', { id: 'greeting' })).result();
      await runtime.close();
    `;
    await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: project });
  });

  it('is installed with the package and runs', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(await run(bin(), ['--version'], { cwd: project })).toBe(`${version}\n`);
    expect(await runs(bin(), [])).toEqual(['greeting']);
  });

  it('runs on Node 22.13', async ({ skip }) => {
    const node = await oldestNode();
    if (node === undefined) return skip('npm has no Node 22.13 for this machine');
    expect(await runs(node, [bin()])).toEqual(['greeting']);
    const page = await run(node, [bin(), 'inspect', 'run', 'greeting', '--store', 'cli.db'], { cwd: project });
    expect(page).toMatch(/^greeting {2}completed\n[^]*result +"hi"\n/);
  });
});

describe('serve', () => {
  it.for(['24', '22.13'])('answers on Node %s', { timeout: 60_000 }, async (version, { skip }) => {
    const node = version === '24' ? process.execPath : await oldestNode();
    if (node === undefined) return skip('npm has no Node 22.13 for this machine');
    const script = `
      import { createRuntime, DurableAgent } from 'everturn';
      import { sqliteStore } from 'everturn/sqlite';
      import { createApp, serve } from 'everturn/server';
      import { scriptedModel } from 'everturn/testing';
      const agent = new DurableAgent({ model: scriptedModel(['Hello there.']) });
      const runtime = createRuntime({ store: sqliteStore('serve-${version}.db'), agents: { agent } });
      const server = await serve(createApp(runtime), { port: 0 });
      const message = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hi' }] };
      const body = JSON.stringify({ id: 't1', messages: [message], trigger: 'submit-message' });
      const answer = await fetch(server.url + '/api/chat', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
      console.log(process.version, answer.status, await answer.text());
      await server.close();
      await runtime.close();
    `;
    const output = await run(node, ['--input-type=module', '--eval', script], { cwd: project });
    expect(output.startsWith(`v${version}.`)).toBe(true);
    expect(output).toContain(' 200 ');
    expect(output).toContain('"type":"text-delta"');
    expect(output).toContain('[DONE]');
  });
});

describe('examples/hello.ts', () => {
  const environment = () => ({ OPENAI_BASE_URL: model.baseURL, OPENAI_API_KEY: 'local' });
  const orders = (folder: string): string[] => readFileSync(join(folder, 'orders.txt'), 'utf8').trim().split('\n');
  /** hello.ts keeps its database where it is started; modules are found from where it stands. */
  const startedIn = (name: string): string => {
    const folder = join(project, name);
    mkdirSync(folder);
    return folder;
  };

  it('runs as it is on Node 24', async () => {
    const cwd = startedIn('on-24');
    const output = await run(process.execPath, [join(project, 'hello.ts')], { cwd, env: environment() });
    expect(process.versions.node).toMatch(/^24\./);
    expect(output).toContain('in the oven');
    expect(orders(cwd)).toEqual([expect.stringMatching(/^Margherita \S+$/)]);
  });

  it('runs compiled on Node 22.13', async ({ skip }) => {
    const node = await oldestNode();
    if (node === undefined) return skip('npm has no Node 22.13 for this machine');
    expect(await run(node, ['--version'], { cwd: project })).toMatch(/^v22\.13\./);
    const config = {
      compilerOptions: {
        module: 'nodenext',
        target: 'es2023',
        types: ['node'],
        skipLibCheck: true,
        outDir: 'compiled',
      },
      files: ['hello.ts'],
    };
    writeFileSync(join(project, 'tsconfig.hello.json'), JSON.stringify(config));
    await run(tsc, ['-p', 'tsconfig.hello.json'], { cwd: project });
    const cwd = startedIn('on-22');
    const output = await run(node, [join(project, 'compiled/hello.js')], { cwd, env: environment() });
    expect(output).toContain('in the oven');
    expect(await run(node, [join(project, 'compiled/hello.js')], { cwd, env: environment() })).toBe(output);
    expect(orders(cwd)).toEqual([expect.stringMatching(/^Margherita \S+$/)]);
  }, 60_000);
});
