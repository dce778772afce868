/** Each kind of store on a server, or a file, of a test's own: for tests whose processes share nothing but a store. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stopApartFrom } from '../crash/fleet.ts';
import type { Child } from './child.ts';
import { noPgBouncer, startPgBouncer } from './pgbouncer.ts';
import { noPostgres, startPostgres } from './postgres.ts';
import { noRedis, startRedis } from './redis.ts';
import { startUpstashProxy } from './upstash-proxy.ts';
import { describeUnless } from './describe-unless.ts';

export interface StorePlace {
  /** As for `openStore`. */
  store: string;
  /** Stops a process (SIGSTOP), where needed with regard to what it holds in the store. */
  stop(child: Pick<Child<unknown>, 'kill'>): Promise<void>;
  /** Of all clients to the server; undefined where there is none. */
  connections?: () => Promise<number>;
  remove(): Promise<void>;
}

const stopAtOnce = async (child: Pick<Child<unknown>, 'kill'>): Promise<void> => child.kill('SIGSTOP');

async function openSqlite(): Promise<StorePlace> {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-place-'));
  const file = join(folder, 'runs.db');
  return {
    store: `sqlite:${file}`,
    stop: (child) => stopApartFrom(file, child),
    remove: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function openPostgres(): Promise<StorePlace> {
  const server = await startPostgres();
  return {
    store: server.url,
    stop: stopAtOnce,
    connections: async () => {
      const [row] = await server.query(
        'SELECT count(*)::int AS count FROM pg_stat_activity WHERE client_port IS NOT NULL',
      );
      return Number(row?.['count']);
    },
    remove: () => server.remove(),
  };
}

async function openPgBouncer(): Promise<StorePlace> {
  const server = await startPostgres();
  const bouncer = await startPgBouncer(server);
  return {
    store: `${bouncer.url}?prepare=false`,
    stop: stopAtOnce,
    remove: async () => {
      await bouncer.close();
      await server.remove();
    },
  };
}

async function openRedis(): Promise<StorePlace> {
  const server = await startRedis({ appendonly: 'yes' });
  return {
    store: server.url,
    stop: stopAtOnce,
    connections: () => server.connections(),
    remove: () => server.remove(),
  };
}

async function openUpstash(): Promise<StorePlace> {
  const server = await startRedis({ appendonly: 'yes' });
  const proxy = await startUpstashProxy(server.url);
  const { protocol, host } = new URL(proxy.url);
  return {
    store: `upstash:${protocol}//${proxy.token}@${host}`,
    stop: stopAtOnce,
    remove: async () => {
      await proxy.close();
      await server.remove();
    },
  };
}

const PLACES: ReadonlyArray<{ name: string; missing: string | undefined; open: () => Promise<StorePlace> }> = [
  { name: 'a SQLite file', missing: undefined, open: openSqlite },
  { name: 'Postgres', missing: noPostgres, open: openPostgres },
  { name: 'Postgres behind PgBouncer', missing: noPgBouncer, open: openPgBouncer },
  { name: 'Redis', missing: noRedis, open: openRedis },
  { name: 'Upstash, over a proxy', missing: noRedis, open: openUpstash },
];

/** The tests of `body` for each kind of store; a skip with its reason where there is no server for it. */
export function describeOnStores(title: string, body: (open: () => Promise<StorePlace>) => void): void {
  for (const { name, missing, open } of PLACES) {
    describeUnless(missing, `${title}, on ${name}`, () => body(open));
  }
}
