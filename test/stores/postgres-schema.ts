/** Stores in schemas of their own on one real Postgres, on a clock that tests move. */

import { Pool } from 'pg';
import type { Clock } from '../../src/runtime/clock.ts';
import type { Store } from '../../src/runtime/store.ts';
import { migratePostgres, postgresStore } from '../../src/postgres.ts';
import type { PostgresStoreOptions } from '../../src/postgres.ts';
import type { MakeStore } from '../../src/testing/store-suite/kit.ts';

export interface PostgresSchema {
  name: string;
  store(options?: Partial<PostgresStoreOptions>): Store;
  /** Moves the store's clock on, once it has been stopped. */
  advance(ms: number): Promise<void>;
  /** A store whose clock stands where this one does. */
  onClock(clock: Pick<Clock, 'now'>): Store;
  query(sql: string, values?: unknown[]): Promise<Array<Record<string, unknown>>>;
  /** Empties it for the next test. */
  drop(): Promise<void>;
}

export interface PostgresSchemas {
  pool: Pool;
  /** An empty schema of this release; with `now` its clock stands there. */
  create(now?: number): Promise<PostgresSchema>;
  close(): Promise<void>;
}

const TABLES =
  'runs payloads events checkpoints messages hooks notes streams chunks ledger ledger_totals part_ids parts slots rates settings'.split(
    ' ',
  );

export function postgresSchemas(connectionString: string, setup: string = connectionString): PostgresSchemas {
  const pool = new Pool({ connectionString, max: 6 });
  const admin = new Pool({ connectionString: setup, max: 1 });
  for (const each of [pool, admin]) each.on('error', () => undefined);
  const empty: string[] = [];
  let made = 0;
  const query: PostgresSchema['query'] = async (sql, values) =>
    (await admin.query<Record<string, unknown>>(sql, values)).rows;
  const make = async (): Promise<string> => {
    made += 1;
    const name = `test_${made}`;
    await migratePostgres({ client: admin, schema: name });
    await admin.query(`CREATE TABLE ${name}.test_clock (ms bigint); INSERT INTO ${name}.test_clock VALUES (NULL);
      ALTER FUNCTION ${name}.now_ms() RENAME TO system_ms;
      CREATE FUNCTION ${name}.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
        'SELECT coalesce((SELECT ms FROM ${name}.test_clock), ${name}.system_ms())'`);
    return name;
  };
  return {
    pool,
    async create(now) {
      const name = empty.pop() ?? (await make());
      const setNow = (at: number | null): Promise<unknown> => query(`UPDATE ${name}.test_clock SET ms = $1`, [at]);
      const store: PostgresSchema['store'] = (options = {}) =>
        postgresStore({ client: pool, schema: name, migrate: false, listen: false, ...options });
      await setNow(now ?? null);
      return {
        name,
        store,
        onClock: (clock) => onClock(store(), async () => void (await setNow(clock.now()))),
        advance: async (ms) => void (await query(`UPDATE ${name}.test_clock SET ms = ms + $1`, [ms])),
        query,
        async drop() {
          await query(TABLES.map((table) => `DELETE FROM ${name}.${table};`).join(''));
          empty.push(name);
        },
      };
    },
    async close() {
      await pool.end();
      await admin.end();
    },
  };
}

/** Makes the stores of the store suite. */
export function suiteStores(schemas: () => PostgresSchemas, options: Partial<PostgresStoreOptions> = {}): MakeStore {
  return async () => {
    const schema = await schemas().create(1_700_000_000_000);
    let store = schema.store(options);
    return {
      store,
      advance: schema.advance,
      reopen: async () => {
        await store.close();
        return (store = schema.store(options));
      },
      close: async () => {
        await store.close();
        await schema.drop();
      },
    };
  };
}

/** Sets the time before each call, where it has changed. */
function onClock(inner: Store, setNow: () => Promise<void>): Store {
  return new Proxy(inner, {
    get(target, property: keyof Store) {
      const value = target[property];
      if (typeof value !== 'function' || property === 'watch') return value;
      return async (...args: never[]) => {
        await setNow();
        return (value as (...args: never[]) => Promise<unknown>).apply(target, args);
      };
    },
  });
}
