/**
 * The code of pages that no guide test runs, given to the compiler in one go. A page tells of one application, so its blocks share names:
 * what it takes as known stands in KNOWN, and what a block uses of everturn without importing it is imported here.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { root } from '../architecture/sources.ts';
import { codeBlocks, page } from './pages.ts';

const PAGES = [
  'README.md',
  'docs/client.md',
  'docs/operations.md',
  'docs/postgres.md',
  'docs/redis.md',
  'docs/workers.md',
  'docs/write-a-store.md',
];

/** What the pages take as known. */
const KNOWN = `
import type { LanguageModel, ToolSet, UIMessage } from 'ai';
import type { createRuntime as create, DurableAgent as Agent, Store as AnyStore, Workflow } from 'everturn';
import type { Authorize } from 'everturn/server';
import type { manualClock } from 'everturn/testing';
import type { ComponentType } from 'react';
declare global {
  type Store = AnyStore;
  const store: AnyStore;
  const runtime: ReturnType<typeof create>;
  const model: LanguageModel;
  const support: Agent<never, ToolSet>;
  const agents: { support: Agent<never, ToolSet> };
  const workflows: Array<Workflow<never>>;
  const authorize: Authorize;
  const order: Workflow<{ customer: string }>;
  const charge: (input: { customer: string }) => Promise<void>;
  const createUser: (email: string) => { id: string };
  const remind: (user: string) => void;
  const myStore: (options: { clock: ReturnType<typeof manualClock> }) => Promise<AnyStore>;
  const currentSigningKey: string, nextSigningKey: string, qstashToken: string, newSecret: string, formerSecret: string;
  const input: { customer: string };
  const id: string;
  const Message: ComponentType<{ message: UIMessage }>;
  const sendAutomaticallyWhen: () => boolean;
}
`;

const ENTRIES = { everturn: 'index', 'everturn/server': 'server', 'everturn/postgres': 'postgres' };

async function namesOf(): Promise<Array<{ entry: string; names: string[] }>> {
  return Promise.all(
    Object.entries(ENTRIES).map(async ([entry, file]) => ({
      entry,
      names: Object.keys((await import(`../../src/${file}.ts`)) as object),
    })),
  );
}

/** A block with imports of what it uses of everturn and declares nowhere. On its first line, so that lines stay those of the page. */
function toModule(code: string, exported: Awaited<ReturnType<typeof namesOf>>): string {
  const has = (name: string): boolean => new RegExp(`(?<![.\\w'"])${name}\\s*[(<]|new ${name}\\b`).test(code);
  const declares = (name: string): boolean => new RegExp(`(?:import [^;]*|const |function )\\b${name}\\b`).test(code);
  const imports = exported.flatMap(({ entry, names }) => {
    const missing = names.filter((name) => has(name) && !declares(name));
    return missing.length === 0 ? [] : [`import { ${missing.join(', ')} } from '${entry}';`];
  });
  return `${imports.join(' ')}\n${code}\nexport {};\n`;
}

const folder = mkdtempSync(join(tmpdir(), 'everturn-docs-'));
afterAll(() => rmSync(folder, { recursive: true }));

function compile(): string {
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      // As in most applications: \`process.env.X\` is taken where an option may be left out.
      exactOptionalPropertyTypes: false,
      typeRoots: [join(root, 'node_modules/@types')],
      paths: { everturn: [join(root, 'src/index.ts')], 'everturn/*': [join(root, 'src/*.ts')] },
    },
    include: ['**/*.ts', '**/*.tsx'],
    exclude: [],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  try {
    execFileSync(join(root, 'node_modules/.bin/tsc'), ['--noEmit', '--pretty', 'false', '-p', folder], {
      cwd: folder,
      encoding: 'utf8',
      stdio: 'pipe',
    });
    return '';
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

it('compiles the code of the pages', { timeout: 120_000 }, async () => {
  const exported = await namesOf();
  const blocks = PAGES.flatMap((path) => codeBlocks(page(path).text).map((block) => ({ path, ...block }))).filter(
    ({ language }) => /^tsx?$/.test(language),
  );
  expect(new Set(blocks.map(({ path }) => path)).size).toBe(PAGES.length);
  writeFileSync(join(folder, 'known.ts'), KNOWN);
  writeFileSync(join(folder, 'wrong.ts'), toModule("const right: number = createRuntime('wrong');", exported));
  for (const { path, language, code, line } of blocks) {
    const at = join(folder, path.replace(/\.md$/, ''));
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, `line-${line}.${language}`), toModule(code, exported));
  }
  const faults = compile()
    .split('\n')
    .filter((text) => /^\w.*error TS/.test(text));
  expect(faults.filter((text) => text.startsWith('wrong.ts'))).toHaveLength(2);
  expect(faults.filter((text) => !text.startsWith('wrong.ts'))).toEqual([]);
});
