/** The workers that the supervisor starts and kills. */
import { fork } from 'node:child_process';
import { on, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { endWithThisProcess, extensionOf } from '../support-agent/model-process.ts';
import type { Decision, FromWorker } from './messages.ts';

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
