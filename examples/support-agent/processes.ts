/** The processes of the demo: the local model server, and the workers that the supervisor starts and kills. */
import { fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { on, once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { LogEntry } from '../model-server/request-log.ts';
import type { Decision, FromWorker } from './messages.ts';

export interface ModelProcess {
  readonly baseURL: string;
  /** Every request that the server got. */
  requests(): Promise<LogEntry[]>;
  stop(): void;
}

export async function startModelProcess(options: { logFile: string; pacingMs: number }): Promise<ModelProcess> {
  const main = fileURLToPath(new URL(`../model-server/main${extensionOf(import.meta.url)}`, import.meta.url));
  const child = spawn(process.execPath, [main, '--log', options.logFile, '--pacing', String(options.pacingMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endWithThisProcess(child);
  const [baseURL] = (await once(createInterface(child.stdout), 'line')) as [string];
  return {
    baseURL,
    requests: async () => (await (await fetch(new URL('/log', baseURL))).json()) as LogEntry[],
    stop: () => void child.kill(),
  };
}

export interface WorkerOptions {
  directory: string;
  prompt: string;
  /** Chunks of the stream that the person has seen. */
  from: number;
  env: NodeJS.ProcessEnv;
}

export interface WorkerProcess {
  readonly pid: number;
  /** What it tells, until it has exited. Throws if it failed. */
  messages(): AsyncGenerator<FromWorker>;
  decide(decision: Decision): void;
  /** SIGKILL: no handler runs, nothing is flushed. */
  kill(): void;
}

export function startWorkerProcess({ directory, prompt, from, env }: WorkerOptions): WorkerProcess {
  const file = fileURLToPath(new URL(`worker-process${extensionOf(import.meta.url)}`, import.meta.url));
  const child = fork(file, [directory, prompt, String(from)], { env, stdio: 'inherit' });
  endWithThisProcess(child);
  // The channel closes after its last message, also when the process was killed.
  const queue = on(child, 'message', { close: ['disconnect'] });
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  return {
    pid: child.pid ?? 0,
    messages: async function* () {
      for await (const [message] of queue) yield message as FromWorker;
      const [code, signal] = await exited;
      if (code !== 0 && signal !== 'SIGKILL') throw new Error(`The worker ended with ${code ?? signal}.`);
    },
    decide: (decision) => void child.send(decision),
    kill: () => void child.kill('SIGKILL'),
  };
}

// The examples run as .ts, and compiled.
function extensionOf(url: string): string {
  return url.slice(url.lastIndexOf('.'));
}

function endWithThisProcess(child: ChildProcess): void {
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
}
