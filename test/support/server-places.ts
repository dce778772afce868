/** Each server that stores live on, for tests that kill it or stand between it and its clients. */
import { noPostgres, startPostgres } from './postgres.ts';
import { noRedis, startRedis } from './redis.ts';
import { describeUnless } from './describe-unless.ts';

export interface ServerPlace {
  port: number;
  /** As for `openStore`, over this port. */
  storeAt(port: number): string;
  /** SIGKILL; of Postgres `immediate`. Resolves when it is gone. */
  stop(): Promise<void>;
  /** On what it has. */
  start(): Promise<void>;
  /** Keeps a copy of what it has; Postgres is stopped and started for it. */
  save(): Promise<void>;
  /** Kills it and starts it on the copy. */
  restore(): Promise<void>;
  remove(): Promise<void>;
}

async function openPostgres(): Promise<ServerPlace> {
  const server = await startPostgres({ max_connections: 300 });
  return {
    port: server.port,
    storeAt: (port) => server.url.replace(`:${server.port}`, `:${port}`),
    stop: () => server.kill('immediate'),
    start: () => server.start(),
    save: () => server.save(),
    restore: () => server.restore(),
    remove: () => server.remove(),
  };
}

async function openRedis(): Promise<ServerPlace> {
  const server = await startRedis({ appendonly: 'yes', appendfsync: 'everysec' });
  return {
    port: server.port,
    storeAt: (port) => `redis://127.0.0.1:${port}`,
    stop: () => server.kill(),
    start: () => server.restart(),
    save: () => server.save(),
    restore: () => server.restore(),
    remove: () => server.remove(),
  };
}

const SERVERS = [
  { name: 'Postgres', missing: noPostgres, open: openPostgres },
  { name: 'Redis', missing: noRedis, open: openRedis },
] as const;

export type ServerName = (typeof SERVERS)[number]['name'];

/** The tests of `body` for each server; a skip with its reason where there is none. */
export function describeOnServers(
  title: string,
  body: (open: () => Promise<ServerPlace>, name: ServerName) => void,
): void {
  for (const { name, missing, open } of SERVERS) {
    describeUnless(missing, `${title}, with ${name}`, () => body(open, name));
  }
}
