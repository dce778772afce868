/** The local model server as a process of its own, which outlives the server that asks it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { LogEntry } from '../model-server/request-log.ts';

export interface ModelProcessOptions {
  logFile: string;
  /** Milliseconds per token. */
  pacingMs: number;
  /** Texts without random marks. */
  plain?: boolean;
}

export interface ModelProcess {
  readonly baseURL: string;
  /** Every request that the server got. */
  requests(): Promise<LogEntry[]>;
  stop(): void;
}

export async function startModelProcess(options: ModelProcessOptions): Promise<ModelProcess> {
  const main = fileURLToPath(new URL(`../model-server/main${extensionOf(import.meta.url)}`, import.meta.url));
  const plain = options.plain === true ? ['--plain'] : [];
  const args = ['--log', options.logFile, '--pacing', String(options.pacingMs), ...plain];
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  endWithThisProcess(child);
  const [baseURL] = (await once(createInterface(child.stdout), 'line')) as [string];
  return {
    baseURL,
    requests: async () => (await (await fetch(new URL('/log', baseURL))).json()) as LogEntry[],
    stop: () => void child.kill(),
  };
}

/** The examples run as .ts, and compiled. */
export function extensionOf(url: string): string {
  return url.slice(url.lastIndexOf('.'));
}

export function endWithThisProcess(child: ChildProcess): void {
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
}
