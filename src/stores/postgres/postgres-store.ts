/** The store in a Postgres database, for any number of processes. */

import { systemClock } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import type { Capabilities, Store } from '../../runtime/store.ts';
import { closedError } from '../rules.ts';
import { prepareClaim } from './claim.ts';
import type { PostgresPool, PostgresSession } from './client.ts';
import { prepareCommit } from './commit.ts';
import { prepareControl } from './control.ts';
import { PostgresDatabase } from './database.ts';
import { prepareDeliver } from './deliver.ts';
import { createDoorbell } from './doorbell.ts';
import type { Doorbell } from './doorbell.ts';
import { prepareLedger } from './ledger.ts';
import { prepareLimits } from './limits.ts';
import { prepareParts } from './parts.ts';
import { Pools } from './pools.ts';
import { prepareReads } from './read.ts';
import { prepareRetention } from './retention.ts';
import { prepareStart } from './start.ts';
import { prepareRead } from './streams.ts';
import { prepareUpkeep } from './upkeep.ts';

export interface PostgresStoreOptions {
  /** Where the database is: `postgres://user:password@host:port/database`. This, or `client`. */
  connectionString?: string;
  /** A pool of `pg`, or one that is used like it. It stays open when the store is closed. */
  client?: PostgresPool;
  /** The schema of the tables: lower-case letters, digits and `_`. Default `everturn`. */
  schema?: string;
  /** Whether to make the schema, or to bring it up to this release, before the first call. Default true. */
  migrate?: boolean;
  /** Whether to prepare statements. `false` behind PgBouncer in transaction mode before its release 1.21. Default true. */
  prepare?: boolean;
  /**
   * How to hear of what other processes write. Default: by LISTEN, on a connection of its own to the same database. `connectionString`:
   * on one that leads past a pooler. `false`: by a poll alone.
   */
  listen?: { connectionString: string } | false;
  /** How often to look for changes of other processes while nothing is heard of them. Default 1000. */
  pollMs?: number;
  /** Connections at most, beside the one that listens; a `client` has its own limit. Default 10. */
  connections?: number;
}

/**
 * A store in a Postgres database (13 or newer). It connects with the first call; calls reject with a `DurableError` while the database cannot be
 * used: `store_unavailable`, `store_full`, `store_read_only`, `store_corrupt`, `store_newer`, or `invalid_argument` for another
 * application's schema. Throws `invalid_argument` for options that make no sense.
 *
 * @example
 * const store = postgresStore({ connectionString: process.env.DATABASE_URL });
 * const runtime = createRuntime({ store, agents: { support } });
 */
export function postgresStore(options: PostgresStoreOptions): Store {
  const pools = new Pools(options);
  const { db, bell, clock } = openParts(options, pools);
  let isClosed = false;
  const running = new Set<Promise<unknown>>();
  const guard =
    <A extends unknown[], T>(call: (...values: A) => Promise<T>) =>
    (...values: A): Promise<T> => {
      if (isClosed) return Promise.reject(closedError('Postgres'));
      const answer = call(...values);
      running.add(answer);
      const forget = (): void => void running.delete(answer);
      answer.then(forget, forget);
      return answer;
    };
  return {
    name: 'postgres',
    capabilities: {
      // Until the server was asked, no more than is sure.
      get durability(): Capabilities['durability'] {
        return db.settings?.isDurable === true ? 'fsync' : 'async';
      },
      push: options.listen !== false,
      flushMs: 2,
      maxRequestBytes: 1_048_576,
    },
    ...guardAll(prepareReads(db, clock), guard),
    ...guardAll(prepareLedger(db), guard),
    ...guardAll(prepareParts(db), guard),
    ...guardAll(prepareRetention(db), guard),
    ...guardAll(prepareUpkeep(db), guard),
    limits: guard(prepareLimits(db)),
    start: guard(prepareStart(db, clock)),
    claim: guard(prepareClaim(db)),
    commit: guard(prepareCommit(db)),
    deliver: guard(prepareDeliver(db)),
    control: guard(prepareControl(db)),
    read: guard(prepareRead(db)),
    watch: bell.watch,
    async close() {
      if (isClosed) return;
      isClosed = true;
      await Promise.allSettled(running);
      await bell.settled();
      bell.close();
      await db.close();
      await pools.close();
    },
  };
}

/** The database and the doorbell, which call each other. */
function openParts(
  options: PostgresStoreOptions,
  pools: Pools,
): { db: PostgresDatabase; bell: Doorbell; clock: Clock } {
  const { schema = 'everturn', listen, pollMs = 1_000 } = options;
  const clock = systemClock();
  const db: PostgresDatabase = new PostgresDatabase({
    pool: () => pools.main(),
    schema,
    where: pools.where,
    prepare: options.prepare ?? true,
    migrate: options.migrate ?? true,
    tell: (hints) => bell.tell(hints),
    clock,
  });
  const connect = async (): Promise<PostgresSession> => {
    await db.open();
    return pools.session();
  };
  const bell = createDoorbell({
    clock,
    channel: `everturn ${schema}`,
    origin: systemIds().nonce(),
    connect: listen === false ? null : connect,
    ask: async (name, sql, values) => Object.values((await db.query(name, sql, values))[0] ?? {})[0] ?? null,
    pollMs,
    warn: (message) => process.emitWarning(message, { code: 'EVERTURN_NO_LISTEN' }),
  });
  return { db, bell, clock };
}

type Guard = <A extends unknown[], T>(call: (...values: A) => Promise<T>) => (...values: A) => Promise<T>;

function guardAll<O extends object>(calls: O, guard: Guard): O {
  const entries = Object.entries(calls).map(([name, call]) => [name, guard(call as Parameters<Guard>[0])]);
  return Object.fromEntries(entries) as O;
}
