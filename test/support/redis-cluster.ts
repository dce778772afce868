/** A Redis Cluster of three masters with a replica each, on free ports of the loopback interface. */

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './free-port.ts';

export interface RedisCluster {
  readonly ports: readonly number[];
  /** The port of the master that holds the slot of this key. */
  masterOf(key: string): Promise<number>;
  /** SIGKILL. */
  kill(port: number): Promise<void>;
  remove(): Promise<void>;
}

const NODES = 6;
/** A master that is silent for so long is replaced. */
const NODE_TIMEOUT_MS = 1_500;

export async function startRedisCluster(): Promise<RedisCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-cluster-'));
  const nodes = new Map<number, ChildProcess>();
  while (nodes.size < NODES) {
    const port = await freePort();
    if (!nodes.has(port)) nodes.set(port, launch(folder, port));
  }
  const ports = [...nodes.keys()];
  const kill = async (port: number): Promise<void> => {
    const child = nodes.get(port);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };
  await Promise.all(ports.map((port) => untilSaying(port, { command: ['PING'], words: /PONG/ })));
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  const made = spawnSync('redis-cli', [
    '--cluster',
    'create',
    ...addresses,
    '--cluster-replicas',
    '1',
    '--cluster-yes',
  ]);
  if (made.status !== 0) throw new Error(`There is no cluster: ${String(made.error ?? made.stdout)}`);
  await Promise.all(
    ports.map((port) => untilSaying(port, { command: ['CLUSTER', 'INFO'], words: /cluster_state:ok/ })),
  );
  await untilSaying(ports[0] ?? 0, { command: ['CLUSTER', 'NODES'], words: /(slave [^\n]*connected[^]*){3}/ });
  // A replica that has no copy yet is not made a master.
  const hasCopy = { command: ['INFO', 'replication'], words: /role:master|master_link_status:up/ };
  await Promise.all(ports.map((port) => untilSaying(port, hasCopy)));
  return {
    ports,
    async masterOf(key) {
      const alive = ports.find((port) => nodes.get(port)?.exitCode === null && nodes.get(port)?.signalCode === null);
      const slot = Number(await ask(alive ?? 0, ['CLUSTER', 'KEYSLOT', key]));
      const slots = (await ask(alive ?? 0, ['CLUSTER', 'SLOTS'])) as Array<[number, number, [string, number]]>;
      const range = slots.find(([first, last]) => first <= slot && slot <= last);
      if (range === undefined) throw new Error(`Nobody has the slot ${slot}.`);
      return range[2][1];
    },
    kill,
    async remove() {
      await Promise.all(ports.map(kill));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function launch(folder: string, port: number): ChildProcess {
  const dir = join(folder, String(port));
  mkdirSync(dir);
  const settings: Record<string, string> = {
    port: String(port),
    bind: '127.0.0.1',
    dir,
    save: '',
    appendonly: 'yes',
    'cluster-enabled': 'yes',
    'cluster-node-timeout': String(NODE_TIMEOUT_MS),
    'repl-diskless-sync-delay': '0',
    // A port of its own may be beyond the last one.
    'cluster-port': String(port > 50_000 ? port - 10_000 : port + 10_000),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  return spawn('redis-server', args, { stdio: 'ignore' });
}

async function ask(port: number, [name = '', ...args]: string[]): Promise<unknown> {
  const redis = new Redis({ port, host: '127.0.0.1', lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => {});
  try {
    await redis.connect();
    return await redis.call(name, ...args);
  } finally {
    redis.disconnect();
  }
}

async function untilSaying(port: number, { command, words }: { command: string[]; words: RegExp }): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const said = await ask(port, command).catch((error: unknown) => error);
    if (words.test(String(said))) return;
    if (tries === 300) throw new Error(`The node at ${port} answers ${String(said)} to ${command.join(' ')}.`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
