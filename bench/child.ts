/** Processes of a bench: a TypeScript file with one argument, and the one message that it answers. */

import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

export interface BenchProcess {
  process: ChildProcess;
  /** What the process sends next. Rejects if it ends before. */
  answer: () => Promise<unknown>;
  /** Sends a command, one at a time, and takes its answer. */
  ask: (command: unknown) => Promise<unknown>;
  ended: Promise<unknown>;
}

export interface BenchProcessOptions {
  execArgv?: string[];
  env?: Record<string, string>;
}

/** `argument` reaches the process as JSON in argv[2]. */
export function startProcess(file: URL, argument: unknown, options: BenchProcessOptions = {}): BenchProcess {
  const child = fork(file, [JSON.stringify(argument)], {
    execArgv: ['--conditions=everturn-source', ...(options.execArgv ?? [])],
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  const next = async (): Promise<unknown> => {
    const gone = ended.then(([code]) => Promise.reject(new Error(`${file.pathname} ended with ${String(code)}.`)));
    const [message] = (await Promise.race([once(child, 'message'), gone])) as [unknown];
    return message;
  };
  return {
    process: child,
    answer: next,
    ask(command) {
      const answered = next();
      child.send(command as object);
      return answered;
    },
    ended,
  };
}

/** Starts the process, takes its one answer and waits for its end. */
export async function runProcess<T>(file: URL, argument: unknown, options?: BenchProcessOptions): Promise<T> {
  const started = startProcess(file, argument, options);
  const answer = (await started.answer()) as T;
  await started.ended;
  return answer;
}

export function readArgument(): unknown {
  return JSON.parse(process.argv[2] ?? 'null');
}

/** Sends the answer; the process may end when it has left. */
export function answer(message: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });
}

/** Answers each command of the parent, until it disconnects. What `obey` throws ends the process. */
export function takeCommands(obey: (command: never) => Promise<unknown>): void {
  process.on('message', (command) => {
    void obey(command as never).then((done) => answer(done ?? null));
  });
}
