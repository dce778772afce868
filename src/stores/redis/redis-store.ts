/** The store in Redis 7 or later, over TCP. */

import { systemClock } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import { DurableError } from '../../runtime/errors.ts';
import type { Capabilities, Store } from '../../runtime/store.ts';
import { createGate } from './gate.ts';
import { checkNamespace } from './namespace.ts';
import { prepareOperations } from './operations.ts';
import { tcpConnection } from './tcp-connection.ts';
import type { RedisClient } from './tcp-connection.ts';

export interface RedisStoreOptions {
  /** Where it is: `redis://user:password@host:6379/0`, `rediss://` for TLS. Needs `ioredis`. This or `client`. */
  url?: string;
  /** A client of your own: `Redis` or `Cluster` of `ioredis`. The store leaves it open when it is closed. */
  client?: RedisClient;
  /** What all keys begin with, in braces, so that they stand in one slot of a cluster. Default "everturn". */
  namespace?: string;
  /** The clock that due times, leases and ages are compared on. Default: the server's. For tests. */
  clock?: Clock;
}

/**
 * A store in Redis. Nothing is connected before the first call, which throws a `DurableError` where it cannot: `store_unavailable`,
 * `store_newer`, or `invalid_argument` for a server that may drop keys (its maxmemory-policy is not "noeviction").
 *
 * What was acknowledged survives as the server is set up: with `appendonly yes` and `appendfsync always` it is on disk; else the last
 * second or more may be lost when the server dies. What is lost is done again by the runs that had it.
 *
 * @example
 * const runtime = createRuntime({ store: redisStore({ url: process.env.REDIS_URL }), agents: { support } });
 */
export function redisStore(options: RedisStoreOptions): Store {
  const { url, client, namespace = 'everturn' } = options;
  checkNamespace(namespace, 'redisStore()');
  if ((url === undefined) === (client === undefined))
    throw new DurableError('invalid_argument', 'Cannot make redisStore(): pass either `url` or `client`.');
  const open = async (): Promise<RedisClient> => client ?? connect(url ?? '');
  const capabilities: Capabilities = { durability: 'async', push: true, flushMs: 2, maxRequestBytes: 1_048_576 };
  const clock = systemClock();
  const gate = createGate({
    connection: tcpConnection(open, { isOwn: client === undefined, clock }),
    namespace,
    where: url === undefined ? 'the given client' : withoutCredentials(url),
    clock,
    dueClock: options.clock,
    opened: ({ durability }) => void (capabilities.durability = durability),
  });
  return { name: 'redis', capabilities, ...prepareOperations(gate), watch: gate.watch, close: gate.close };
}

/** An answer that does not come within this time comes from a connection that is dead. */
const SOCKET_TIMEOUT_MS = 5_000;

async function connect(url: string): Promise<RedisClient> {
  const { Redis } = await import('ioredis').catch((cause: unknown) => {
    throw new DurableError(
      'invalid_argument',
      'Cannot connect to Redis: the package "ioredis" is missing. Run npm install ioredis.',
      { cause },
    );
  });
  return new Redis(url, {
    // A call that finds no server fails soon, so that its caller can say so; the runtime asks again.
    maxRetriesPerRequest: 1,
    retryStrategy: (times) => Math.min(500, 50 * times),
    socketTimeout: SOCKET_TIMEOUT_MS,
    // Behind an address that follows the master there is another server after a failover.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
}

function withoutCredentials(url: string): string {
  const parsed = URL.parse(url);
  return parsed === null ? 'the given url' : `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}
