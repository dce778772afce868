/** Processes that a test spawns: a TypeScript file on this Node, with messages to and fro. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Child<MESSAGE> {
  readonly process: ChildProcess;
  readonly pid: number;
  /** What it has sent so far. */
  readonly messages: MESSAGE[];
  /** The first message that fits, now or later; rejects if the process ends before. */
  message<T extends MESSAGE>(fits: (message: MESSAGE) => message is T): Promise<T>;
  message(fits: (message: MESSAGE) => boolean): Promise<MESSAGE>;
  send(message: unknown): void;
  kill(signal?: NodeJS.Signals): void;
  /** How it ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Compiling the SDK anew would be most of a short process's life. */
const COMPILE_CACHE = join(tmpdir(), 'everturn-compile-cache');

/** `file` is relative to the caller: pass `new URL('x-process.ts', import.meta.url)`. `argument` reaches it as JSON in argv[2]. */
export function startChild<MESSAGE>(
  file: URL,
  argument: unknown,
  { execArgv = [], ...options }: { uid?: number; execArgv?: string[] } = {},
): Child<MESSAGE> {
  const child = fork(file, [JSON.stringify(argument)], {
    ...options,
    execArgv: ['--conditions=everturn-source', ...execArgv],
    env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const messages: MESSAGE[] = [];
  child.on('message', (message) => messages.push(message as MESSAGE));
  const ended = Promise.all([once(child, 'exit'), once(child, 'close')]).then(([[code, signal]]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }));
  return {
    process: child,
    pid: child.pid ?? 0,
    messages,
    message: (fits: (message: MESSAGE) => boolean) => firstMessage({ child, messages, ended }, fits) as Promise<never>,
    send: (message) => void child.send(message as object),
    kill: (signal = 'SIGKILL') => void child.kill(signal),
    ended,
  };
}

interface Parts<MESSAGE> {
  child: ChildProcess;
  messages: MESSAGE[];
  ended: Promise<unknown>;
}

function firstMessage<MESSAGE>(
  { child, messages, ended }: Parts<MESSAGE>,
  fits: (message: MESSAGE) => boolean,
): Promise<MESSAGE> {
  const found = messages.find(fits);
  if (found !== undefined) return Promise.resolve(found);
  return new Promise((resolve, reject) => {
    const look = (message: unknown): void => {
      if (fits(message as MESSAGE)) resolve(message as MESSAGE);
    };
    child.on('message', look);
    void ended.then((how) =>
      reject(new Error(`The process ended (${JSON.stringify(how)}) without the awaited message.`)),
    );
  });
}
