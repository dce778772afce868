/** Where a store's connections come from. */

import { DurableError } from '../../runtime/errors.ts';
import { openPool } from './client.ts';
import type { PostgresPool, PostgresSession } from './client.ts';

export interface PoolsOptions {
  connectionString?: string | undefined;
  client?: PostgresPool | undefined;
  listen?: { connectionString: string } | false | undefined;
  connections?: number | undefined;
}

/** The connections of a store: the pool of all calls, and one that listens. */
export class Pools {
  readonly #options: PoolsOptions;
  readonly where: string;
  #main: PostgresPool | null = null;
  #listening: PostgresPool | null = null;

  constructor(options: PoolsOptions) {
    const { client, connectionString } = options;
    if ((client === undefined) === (connectionString === undefined)) {
      throw new DurableError(
        'invalid_argument',
        'Cannot make a Postgres store: give it either `connectionString` or `client`.',
      );
    }
    if (client?.options?.max === 1 && options.listen === undefined) {
      throw new DurableError(
        'invalid_argument',
        'Cannot make a Postgres store: its `client` has one connection, and listening takes one. Allow more, or set `listen`.',
      );
    }
    this.#options = options;
    this.where = connectionString === undefined ? 'the given client' : withoutCredentials(connectionString);
  }

  async main(): Promise<PostgresPool> {
    const { client, connectionString = '', connections = 10 } = this.#options;
    return (this.#main ??= client ?? (await openPool({ connectionString, max: connections, missing })));
  }

  /** A connection that stays with its caller. */
  async session(): Promise<PostgresSession> {
    const { listen, connectionString } = this.#options;
    const where = typeof listen === 'object' ? listen.connectionString : connectionString;
    if (where === undefined) return (await this.main()).connect();
    this.#listening ??= await openPool({ connectionString: where, max: 1, missing });
    return this.#listening.connect();
  }

  /** A client that was given stays open. */
  async close(): Promise<void> {
    if (this.#options.client === undefined) await this.#main?.end();
    await this.#listening?.end();
  }
}

const SCHEMES = ['postgres:', 'postgresql:', 'socket:'];

/** For messages: host, port and database. */
function withoutCredentials(connectionString: string): string {
  const url = URL.parse(connectionString);
  if (url !== null && SCHEMES.includes(url.protocol)) return `${url.host}${url.pathname}`;
  // Nothing of the string: there may be a password anywhere in it.
  throw new DurableError(
    'invalid_argument',
    'Cannot make a Postgres store: its `connectionString` is no URL of Postgres. Write postgres://user:password@host:5432/database.',
  );
}

function missing(): DurableError {
  return new DurableError(
    'store_unavailable',
    'Cannot open the Postgres store: its client is not installed. Run `npm install pg`, or give the store a `client`.',
  );
}
