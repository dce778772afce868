/** A real PgBouncer in transaction mode before a Postgres. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { noPostgres, NOBODY } from './postgres.ts';

const PLACES = [process.env['PGBOUNCER_PATH'] ?? '', '/usr/sbin/pgbouncer', '/usr/bin/pgbouncer'];
const program = PLACES.find((path) => path !== '' && existsSync(path));

/** Why the tests are skipped, if they are: a computer without it may run all others. CI has to have one. */
export const noPgBouncer: string | undefined =
  noPostgres ??
  (program === undefined && process.env['CI'] === undefined
    ? 'no PgBouncer here: install it, or set PGBOUNCER_PATH'
    : undefined);

export interface PgBouncer {
  url: string;
  close(): Promise<void>;
}

export async function startPgBouncer(postgres: { port: number }): Promise<PgBouncer> {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-pgbouncer-'));
  const port = await freePort();
  const isRoot = process.getuid?.() === 0;
  const file = join(folder, 'pgbouncer.ini');
  writeFileSync(
    file,
    `[databases]
postgres = host=127.0.0.1 port=${postgres.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 6
`,
  );
  chmodSync(folder, 0o755);
  if (isRoot) chownSync(folder, NOBODY, NOBODY);
  const child = spawn(program ?? 'pgbouncer', ['-q', file], {
    ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    stdio: 'ignore',
  });
  process.once('exit', () => child.kill('SIGKILL'));
  for (let tries = 0; !(await answers(port)); tries += 1) {
    if (tries === 100 || child.exitCode !== null) throw new Error(`PgBouncer does not listen on port ${port}.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    async close() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (isThere: boolean) => () => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', end(true)).once('error', end(false));
  });
}
