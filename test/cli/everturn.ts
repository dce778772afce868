/** Runs the command line: as a process of its own, or, where that adds nothing, in this one. */
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCli } from '../../src/cli/run-cli.ts';
import type { Terminal } from '../../src/cli/report.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const COMPILE_CACHE = join(tmpdir(), 'everturn-compile-cache');

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
  /** What stdout holds, as one document. */
  json: () => never;
}

export interface Running {
  process: ChildProcessWithoutNullStreams;
  /** What it has printed so far. */
  stdout: () => string;
  ended: Promise<Outcome>;
}

export type Env = Record<string, string>;

export function startEverturn(args: readonly string[], env: Env = {}): Running {
  const child = spawn(process.execPath, ['--conditions=everturn-source', MAIN, ...args], {
    env: { ...cleanEnv(), NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(child, 'close').then(([code]) => ({
    code: code as number | null,
    stdout,
    stderr,
    json: () => JSON.parse(stdout) as never,
  }));
  return { process: child, stdout: () => stdout, ended };
}

/** Runs it to its end over a store. */
export function everturn(store: string, args: readonly string[], env: Env = {}): Promise<Outcome> {
  return startEverturn([...args, '--store', store], env).ended;
}

/** The same without a process: for what only depends on arguments and store. */
export async function callEverturn(args: readonly string[]): Promise<Outcome> {
  let [stdout, stderr] = ['', ''];
  const terminal: Terminal = {
    out: (text) => void (stdout += text),
    err: (text) => void (stderr += text),
    layout: () => ({ width: 100, now: Date.now(), paint: (_, text) => text }),
    env: {},
    user: () => 'tester',
  };
  const code = await runCli(args, terminal, '0.0.0');
  return { code, stdout, stderr, json: () => JSON.parse(stdout) as never };
}

/** What a test runner sets would colour the output, or name a store. */
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(FORCE_COLOR|NO_COLOR|NODE_OPTIONS|EVERTURN_|VITEST)/.test(name)),
  );
}

/** The lines of a table below its head, each cut at its columns' gaps. */
export function rowsOf(text: string): string[][] {
  const [, ...rows] = text.trimEnd().split('\n');
  return rows.map((row) => row.split(/ {2,}/));
}
