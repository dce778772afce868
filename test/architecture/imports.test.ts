import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, root, sources, withoutComments } from './sources.ts';

/** From the outside to the inside: a folder imports itself and what stands to its right. */
const LAYERS = ['app', 'agent', 'tools', 'hooks', 'streams', 'runtime'];
const EDGES = ['server', 'client', 'react', 'cli', 'testing'];
const EDGE_TO_EDGE = ['cli -> server', 'react -> client'];
const STORE_NEEDS = ['store', 'event', 'errors', 'clock', 'ids'].map((name) => `runtime/${name}.ts`);
const WHO_IMPORTS_A_STORE = [
  'sqlite.ts -> stores/sqlite',
  'memory.ts -> stores/memory',
  'postgres.ts -> stores/postgres',
  'redis.ts -> stores/redis',
  'upstash.ts -> stores/redis',
  'testing/ -> stores/memory',
];
/** Loaded when a URL of their scheme is given. */
const STORES_OF_THE_CLI = ['sqlite.ts', 'postgres.ts', 'redis.ts', 'upstash.ts'];
/** The core runs wherever async context does; these folders meet the machine. */
const MAY_USE_NODE = ['stores', 'testing', 'cli'];

/** Whether `from` may import `to`, both paths below src. */
function mayImport(from: string, to: string): boolean {
  const [source, target] = [folderOf(from), folderOf(to)];
  if (source !== undefined && source === target) return true;
  if (target === undefined) return source === 'cli' && STORES_OF_THE_CLI.includes(to);
  if (target === 'stores') return WHO_IMPORTS_A_STORE.some((arrow) => isArrow(arrow, from, to));
  if (source === undefined) return true;
  if (source === 'stores') return STORE_NEEDS.includes(to);
  if (EDGES.includes(source)) return LAYERS.includes(target) || EDGE_TO_EDGE.includes(`${source} -> ${target}`);
  return LAYERS.includes(source) && LAYERS.indexOf(target) > LAYERS.indexOf(source);
}

function isArrow(arrow: string, from: string, to: string): boolean {
  const [left = '', right = ''] = arrow.split(' -> ');
  return from.startsWith(left) && to.startsWith(right);
}

/** The folder directly below src; undefined for an entry, `src/*.ts`. */
function folderOf(path: string): string | undefined {
  return path.includes('/') ? path.split('/')[0] : undefined;
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

const files = sources();
const arrows = files.flatMap((file) => importsOf(file).map((to) => ({ from: file.path, to })));
const internal = arrows.filter(({ to }) => to.endsWith('.ts'));
const external = arrows.filter(({ to }) => !to.endsWith('.ts'));
const list = (found: typeof arrows): string[] => found.map(({ from, to }) => `${from} -> ${to}`);

describe('the table of arrows', () => {
  it.each([
    ['index.ts', 'app/create-runtime.ts'],
    ['sqlite.ts', 'stores/sqlite/store.ts'],
    ['agent/durable-agent.ts', 'streams/writer.ts'],
    ['app/create-runtime.ts', 'runtime/store.ts'],
    ['stores/memory.ts', 'runtime/store.ts'],
    ['stores/sqlite/store.ts', 'stores/sqlite/migrations.ts'],
    ['testing/test-runtime.ts', 'stores/memory.ts'],
    ['testing/test-runtime.ts', 'app/create-runtime.ts'],
    ['cli/main.ts', 'server/app.ts'],
    ['cli/store-url.ts', 'sqlite.ts'],
  ])('allows %s -> %s', (from, to) => {
    expect(mayImport(from, to)).toBe(true);
  });

  it.each([
    ['runtime/engine.ts', 'streams/writer.ts'],
    ['streams/writer.ts', 'hooks/hook.ts'],
    ['tools/tool.ts', 'agent/durable-agent.ts'],
    ['stores/memory.ts', 'runtime/codec.ts'],
    ['app/create-runtime.ts', 'stores/sqlite.ts'],
    ['index.ts', 'stores/memory.ts'],
    ['index.ts', 'sqlite.ts'],
    ['agent/durable-agent.ts', 'index.ts'],
    ['testing/test-runtime.ts', 'stores/sqlite/store.ts'],
    ['server/app.ts', 'client/transport.ts'],
    ['somewhere/new.ts', 'runtime/store.ts'],
    ['cli/main.ts', 'index.ts'],
    ['cli/store-url.ts', 'stores/sqlite/sqlite-store.ts'],
  ])('refuses %s -> %s', (from, to) => {
    expect(mayImport(from, to)).toBe(false);
  });
});

describe('the imports of src', () => {
  it('are seen', () => {
    expect(internal.length).toBeGreaterThan(0);
    expect(external.length).toBeGreaterThan(0);
  });

  it('follow the table of arrows', () => {
    expect(list(internal.filter(({ from, to }) => !mayImport(from, to)))).toEqual([]);
  });

  it('name files that exist', () => {
    const paths = new Set(files.map((file) => file.path));
    expect(list(internal.filter(({ to }) => !paths.has(to)))).toEqual([]);
  });

  it('use no node: module but node:async_hooks outside the folders that meet the machine', () => {
    const used = external.filter(({ to }) => to.startsWith('node:') && to !== 'node:async_hooks');
    expect(list(used.filter(({ from }) => !MAY_USE_NODE.includes(folderOf(from) ?? '')))).toEqual([]);
  });

  it('use only packages that are installed with this one', () => {
    const manifest: Record<string, Record<string, string>> = JSON.parse(
      readFileSync(join(root, 'package.json'), 'utf8'),
    );
    const installed = new Set(Object.keys({ ...manifest['dependencies'], ...manifest['peerDependencies'] }));
    const packages = external.filter(({ to }) => !to.startsWith('node:'));
    expect(list(packages.filter(({ to }) => !installed.has(packageOf(to))))).toEqual([]);
  });

  it('keep Hono in the server', () => {
    const hono = external.filter(({ to }) => /^(@?hono)(\/|$)/.test(to));
    expect(hono.length).toBeGreaterThan(0);
    expect(list(hono.filter(({ from }) => folderOf(from) !== 'server'))).toEqual([]);
  });

  it('keep the AI SDK out of the runtime and the stores', () => {
    const sdk = external.filter(({ to }) => to === 'ai' || to.startsWith('ai/') || to.startsWith('@ai-sdk/'));
    expect(list(sdk.filter(({ from }) => /^(runtime|stores)\//.test(from)))).toEqual([]);
  });
});

/** The folders of an agent, from the run to the turn; docs/architecture.md says what each owns. */
const AGENT_FOLDERS = ['run', 'call', 'history', 'budget', 'tool', 'turn'];
const TYPE_IMPORT = /^import type [^;]*;$/gm;

it('the folders of src/agent import code only from those after them', () => {
  const agent = files.filter(({ path }) => path.startsWith('agent/'));
  const code = agent.map((file) => ({ ...file, text: withoutComments(file.text).replace(TYPE_IMPORT, '') }));
  const placed = code.flatMap((file) => importsOf(file).map((to) => ({ from: file.path, to })));
  const place = (path: string): number => AGENT_FOLDERS.indexOf(path.split('/')[1] ?? '');
  const inner = placed.filter(({ from, to }) => place(from) >= 0 && to.startsWith('agent/') && place(to) >= 0);
  expect(inner.length).toBeGreaterThan(10);
  expect(list(inner.filter(({ from, to }) => place(to) < place(from)))).toEqual([]);
});

it('folders have no index.ts: a file is imported where it is', () => {
  const barrels = files.filter(({ path }) => basename(path) === 'index.ts' && path !== 'index.ts');
  expect(barrels.map(({ path }) => path)).toEqual([]);
});
