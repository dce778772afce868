/** A real `redis-server` of a test's own, on a free loopback port, that can be killed and started again on its data. */

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';

const isInstalled = spawnSync('redis-server', ['--version']).status === 0;
const isRequired = process.env['CI'] !== undefined;

/** Why tests with Redis are skipped; undefined where they run. CI has to have it. */
export const noRedis: string | undefined = isInstalled || isRequired ? undefined : 'no redis-server here: install it';

export interface RedisServer {
  url: string;
  port: number;
  /** How many clients are connected. */
  connections(): Promise<number>;
  /** SIGKILL. As with the power cut, the newest bytes of its append-only file are lost with it. */
  kill(options?: { lostBytes?: number }): Promise<void>;
  /** Starts it again on its port and its data. */
  restart(): Promise<void>;
  /** Keeps a copy of its append-only file as it is now. */
  save(): Promise<void>;
  /** Kills it and starts it on the copy. */
  restore(): Promise<void>;
  /** Kills it and removes its data. */
  remove(): Promise<void>;
}

/** Starts a server; `settings` go to its command line: `{ appendonly: 'yes' }`. */
export async function startRedis(settings: Record<string, string> = {}): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-redis-'));
  const port = await freePort();
  let child = launch({ folder, port, settings });
  await untilAnswering(port, child);
  const kill = async ({ lostBytes = 0 } = {}): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
    if (lostBytes > 0) cutAppendFile(folder, lostBytes);
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    connections: async () => Number(/connected_clients:(\d+)/.exec(await ask(port, 'INFO clients'))?.[1]) - 1,
    kill,
    async restart() {
      child = launch({ folder, port, settings });
      await untilAnswering(port, child);
    },
    async save() {
      cpSync(join(folder, 'appendonlydir'), join(folder, 'saved'), { recursive: true, force: true });
    },
    async restore() {
      await kill();
      rmSync(join(folder, 'appendonlydir'), { recursive: true });
      cpSync(join(folder, 'saved'), join(folder, 'appendonlydir'), { recursive: true });
      child = launch({ folder, port, settings });
      await untilAnswering(port, child);
    },
    async remove() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function launch({
  folder,
  port,
  settings,
}: {
  folder: string;
  port: number;
  settings: Record<string, string>;
}): ChildProcess {
  const all: Record<string, string> = { port: String(port), bind: '127.0.0.1', save: '', dir: folder, ...settings };
  const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]);
  return spawn('redis-server', args, { stdio: 'ignore' });
}

async function untilAnswering(port: number, child: ChildProcess): Promise<void> {
  while (!(await answersPing(port))) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode} before it answered.`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Whether the server is there and has read its data. It may ask for a password: then it is there, too. */
function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const end = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.setTimeout(1_000, () => end(false));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
    socket.once('data', (data) => end(/^(\+PONG|-NOAUTH)/.test(data.toString())));
  });
}

/** The first piece of the answer to a command without arguments that hold spaces. */
function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
  });
}

function cutAppendFile(folder: string, bytes: number): void {
  const files = join(folder, 'appendonlydir');
  for (const name of readdirSync(files).filter((file) => file.endsWith('.incr.aof'))) {
    const file = join(files, name);
    truncateSync(file, Math.max(0, statSync(file).size - bytes));
    truncateSync(file, endOfWhole(readFileSync(file)));
  }
}

/**
 * Where the last whole command or transaction ends. Servers of 2026 cut a torn file there; older ones leave the beginning of the transaction, and
 * apply it at the next start but one (docs/redis.md).
 */
function endOfWhole(file: Buffer): number {
  let [at, end, isInTransaction] = [0, 0, false];
  const line = (): string => {
    const until = file.indexOf('\r\n', at);
    if (until < 0) throw new RangeError('torn');
    const text = file.toString('latin1', at, until);
    at = until + 2;
    return text;
  };
  const word = (): string => {
    const length = Number(line().slice(1));
    const text = file.toString('latin1', at, at + Math.min(length, 5));
    at += length + 2;
    if (at > file.length) throw new RangeError('torn');
    return text;
  };
  try {
    while (at < file.length) {
      const [command] = Array.from({ length: Number(line().slice(1)) }, word);
      if (command === 'MULTI') isInTransaction = true;
      if (command === 'EXEC') isInTransaction = false;
      if (!isInTransaction) end = at;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return end;
}
