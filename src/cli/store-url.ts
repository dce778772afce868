/** Stores by URL. Each store's code is loaded when one of its scheme is asked for. */

import { statSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { DurableError } from '../runtime/errors.ts';
import type { Runtime } from '../app/create-runtime.ts';
import type { Store } from '../runtime/store.ts';
import { usageError } from './usage.ts';

export const STORE_VARIABLE = 'EVERTURN_STORE';
const SUPPORTED =
  'Write a path (app.db), sqlite:<path>, postgres://<user>@<host>/<database>, redis://<host>:<port>, or upstash://<token>@<host>.';
const SCHEME = /^([a-z][a-z0-9+.-]+):(?:\/\/)?(.*)$/is;

export type StoreLocation =
  | { scheme: 'sqlite'; path: string }
  /** `?schema=` of the URL names the schema. */
  | { scheme: 'postgres'; connectionString: string; schema?: string }
  /** `?namespace=` of the URL names the namespace. */
  | { scheme: 'redis'; url: string; namespace?: string }
  | { scheme: 'upstash'; url: string; token: string; namespace?: string };

/** Throws a usage error that says which forms there are. URLs may hold passwords: it names the scheme only. */
export function parseStoreUrl(url: string | undefined): StoreLocation {
  if (url === undefined || url === '') {
    throw usageError(`no store is named: pass --store <url>, or set ${STORE_VARIABLE}. ${SUPPORTED}`);
  }
  const [, scheme, rest] = SCHEME.exec(url) ?? [undefined, 'sqlite', url];
  const parse = SERVERS[scheme?.toLowerCase() ?? ''];
  if (parse !== undefined) return parse(parseUrl(url));
  if (scheme?.toLowerCase() !== 'sqlite') {
    throw usageError(`stores of the scheme "${scheme}:" are not supported by this release. ${SUPPORTED}`);
  }
  if (rest === undefined || rest === '') throw usageError(`the store's URL has no path. ${SUPPORTED}`);
  if (rest === ':memory:') {
    throw usageError(`a store in memory is seen by its own process only. ${SUPPORTED}`);
  }
  return { scheme: 'sqlite', path: rest };
}

const SERVERS: Record<string, (url: URL) => StoreLocation> = {
  postgres: toPostgres,
  postgresql: toPostgres,
  redis: toRedis,
  rediss: toRedis,
  upstash: toUpstash,
};

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || url.host === '') throw usageError(`the store's URL cannot be read. ${SUPPORTED}`);
  return url;
}

function toPostgres(url: URL): StoreLocation {
  const schema = takeParameter(url, 'schema');
  return { scheme: 'postgres', connectionString: url.href, ...(schema === null ? {} : { schema }) };
}

function toRedis(url: URL): StoreLocation {
  const namespace = takeParameter(url, 'namespace');
  return { scheme: 'redis', url: url.href, ...(namespace === null ? {} : { namespace }) };
}

function toUpstash(url: URL): StoreLocation {
  const namespace = takeParameter(url, 'namespace');
  const token = decodeURIComponent(url.password === '' ? url.username : url.password);
  if (token === '') throw usageError(`the store's URL has no token: upstash://<token>@<host>.`);
  return { scheme: 'upstash', url: `https://${url.host}`, token, ...(namespace === null ? {} : { namespace }) };
}

/** What is ours is not the server's. */
function takeParameter(url: URL, name: string): string | null {
  const value = url.searchParams.get(name);
  url.searchParams.delete(name);
  return value;
}

/**
 * A runtime over the store that claims nothing. Throws `store_unavailable` where there is no file yet (none is made), and what the store
 * itself throws. Servers are reached with the first question.
 */
export async function openRuntime(location: StoreLocation): Promise<Runtime> {
  const { createRuntime } = await import('../app/create-runtime.ts');
  return createRuntime({
    store: await openStore(location),
    worker: false,
    // It signs nothing here, and without one the runtime would write its own into the store.
    secret: 'the command line starts no runs',
  });
}

async function openStore(location: StoreLocation): Promise<Store> {
  switch (location.scheme) {
    case 'sqlite': {
      const { path } = location;
      assertFile(path);
      assertSqlite(path);
      const { sqliteStore } = await import('../sqlite.ts');
      return sqliteStore(path);
    }
    case 'postgres': {
      const { scheme: _, ...options } = location;
      const { postgresStore } = await import('../postgres.ts');
      // Whoever looks changes nothing.
      return postgresStore({ ...options, migrate: false, connections: 2 });
    }
    case 'redis': {
      const { scheme: _, ...options } = location;
      const { redisStore } = await import('../redis.ts');
      return redisStore(options);
    }
    case 'upstash': {
      const { scheme: _, ...options } = location;
      const { upstashStore } = await import('../upstash.ts');
      return upstashStore(options);
    }
  }
}

/** A shell may find an older Node than the application does. */
function assertSqlite(path: string): void {
  if (isBuiltin('node:sqlite')) return;
  throw new DurableError(
    'store_unavailable',
    `Cannot open the store "${path}": this is Node ${process.versions.node}, and SQLite needs Node 22.13 or newer.`,
    { details: { path, node: process.versions.node } },
  );
}

/** SQLite would make one. */
function assertFile(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found !== undefined && found.size > 0) return;
  const why = found === undefined ? 'there is no such file' : 'the file is empty';
  throw new DurableError(
    'store_unavailable',
    `Cannot open the store "${path}": ${why}. Check the path; the application makes the file when it first runs.`,
    { details: { path } },
  );
}
