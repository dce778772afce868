/** What the store uses of a client: the pool of `pg`, or one that is used like it. */

import type { DurableError } from '../../runtime/errors.ts';

export interface PostgresQuery {
  text: string;
  values: unknown[];
  /** A prepared statement of the connection. */
  name?: string;
  /** How values are read; the store reads them itself, as text. */
  types?: { getTypeParser(): (value: string) => unknown };
  /** Milliseconds after which it fails, and its connection is closed. */
  query_timeout?: number;
}

export interface PostgresConnection {
  query(query: PostgresQuery | string): Promise<{ rows: Array<Record<string, unknown>> }>;
}

/** A connection of a pool, until it is released. */
export interface PostgresSession extends PostgresConnection {
  /** An emitter's: `notification` with its channel and payload, `error`, `end`. */
  on(event: 'notification' | 'error' | 'end', listener: never): unknown;
  /** With `true` it is closed. */
  release(destroy?: boolean): void;
}

/** Does something on a connection of a pool. One that fails is closed: what it was at is not known. */
export async function withSession<T>(pool: PostgresPool, work: (session: PostgresSession) => Promise<T>): Promise<T> {
  const session = await pool.connect();
  let isLost = true;
  // What is under way on it is told too; without a listener the process would end.
  session.on('error', (() => undefined) as never);
  try {
    const result = await work(session);
    isLost = false;
    return result;
  } finally {
    session.release(isLost);
  }
}

/** Calls back for what a connection tells by itself. */
export function attend(
  session: PostgresSession,
  { notified, lost }: { notified: (payload: string) => void; lost: () => void },
): void {
  const onNotification = ({ payload }: { payload?: string }): void => notified(payload ?? '');
  session.on('notification', onNotification as never);
  session.on('error', lost as never);
  session.on('end', lost as never);
}

/** A pool of connections, as `pg.Pool` is one. */
export interface PostgresPool extends PostgresConnection {
  /** `max`: how many connections there may be. */
  readonly options?: { max?: number };
  connect(): Promise<PostgresSession>;
  end(): Promise<void>;
}

export interface PoolOptions {
  connectionString: string;
  /** Connections at most. */
  max: number;
  missing: () => DurableError;
}

/** Longer than the runtime waits for an answer: it has asked again by then. */
export const QUERY_TIMEOUT_MS = 5_000;
/** Of what is asked on a session: one that migrates waits for others that do. */
const SESSION_TIMEOUT_MS = 15_000;
/** For a free connection too; a little longer than a call may take, so that a slow server is no server that is away. */
const CONNECT_TIMEOUT_MS = 6_000;
/** So long a connection may be silent before the system asks whether the other end is there. */
const KEEP_ALIVE_MS = 10_000;

/** A pool of `pg`, which is loaded now. Throws what `missing` makes if it is not installed. */
export async function openPool({ connectionString, max, missing }: PoolOptions): Promise<PostgresPool> {
  const { default: pg } = await import('pg').catch((error: unknown) => {
    throw Object.assign(missing(), { cause: error });
  });
  const pool = new pg.Pool({
    connectionString,
    max,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: SESSION_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: 'everturn',
  });
  // Of connections that nobody uses: the pool has taken them out by then, and the next query says what is wrong.
  pool.on('error', () => undefined);
  return pool;
}
