/** The store in Redis at Upstash, over REST: for places that cannot hold a connection. */

import { Redis } from '@upstash/redis';
import { systemClock } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import { DurableError } from '../../runtime/errors.ts';
import type { Capabilities, Store } from '../../runtime/store.ts';
import { createGate } from './gate.ts';
import { prepareOperations } from './operations.ts';
import { checkNamespace } from './namespace.ts';
import { restConnection } from './rest-connection.ts';
import { createTimeouts } from './rest-timeouts.ts';

export interface UpstashStoreOptions {
  /** `UPSTASH_REDIS_REST_URL`. It has to be given. */
  url: string | undefined;
  /** `UPSTASH_REDIS_REST_TOKEN`; it has to be given, and to be one that may write. */
  token: string | undefined;
  /** What all keys begin with, in braces. Default "everturn". */
  namespace?: string;
  /** Least time between two flushes of a run's streams. More costs fewer commands and shows text later. Default 50. */
  flushMs?: number;
  /** The clock that due times, leases and ages are compared on. Default: the server's. For tests. */
  clock?: Clock;
}

/** Of a request that nobody answers. */
const REQUEST_TIMEOUT_MS = 5_000;
/** Each look is billed. */
const IDLE_POLL_MS = 30_000;
/** Requests that failed in the network are sent again, at once and a little later; after that the runtime does. */
const RETRIES = 2;

/**
 * A store in Redis at Upstash. It uses the scripts of `redisStore`, and may share a namespace with it. Flushes of streams are gathered
 * for `flushMs`, since Upstash bills commands; see docs/redis.md for how many a turn of an agent takes.
 *
 * Nothing is asked before the first call, which throws a `DurableError` where it cannot: `store_unavailable`, `store_newer`, or
 * `invalid_argument` for a database that may drop keys.
 *
 * @example
 * const store = upstashStore({ url: process.env.UPSTASH_REDIS_REST_URL, token: process.env.UPSTASH_REDIS_REST_TOKEN });
 */
export function upstashStore(options: UpstashStoreOptions): Store {
  const { namespace = 'everturn', flushMs = 50 } = options;
  const url = given(options, 'url').replace(/\/+$/, '');
  const token = given(options, 'token');
  checkNamespace(namespace, 'upstashStore()');
  const clock = systemClock();
  const timeouts = createTimeouts(clock, REQUEST_TIMEOUT_MS);
  const client = new Redis({
    url,
    token,
    automaticDeserialization: false,
    enableAutoPipelining: false,
    enableTelemetry: false,
    retry: { retries: RETRIES, backoff: (count) => 20 * 4 ** count },
    signal: timeouts.signal,
  });
  const capabilities: Capabilities = {
    durability: 'async',
    push: true,
    flushMs,
    get idlePollMs() {
      return gate.hears() ? IDLE_POLL_MS : 0;
    },
    maxRequestBytes: 524_288,
  };
  const gate = createGate({
    connection: restConnection({ client, timeouts, access: { url, token, clock } }),
    namespace,
    where: url,
    clock,
    dueClock: options.clock,
    opened: ({ durability }) => void (capabilities.durability = durability),
  });
  return { name: 'upstash', capabilities, ...prepareOperations(gate), watch: gate.watch, close: gate.close };
}

/** Both come from the environment as a rule, and are undefined where it lacks them. */
function given(options: UpstashStoreOptions, name: 'url' | 'token'): string {
  const value = options[name];
  if (value !== undefined && value !== '') return value;
  throw new DurableError('invalid_argument', `Cannot make upstashStore(): \`${name}\` is missing.`);
}
