/**
 * The store in a SQLite file, through `node:sqlite`: WAL, one sync to disk for all that gathered in a macrotask. Several
 * processes may use one file on one machine; a network file system does not keep SQLite's locks.
 */

import type { DatabaseSync } from 'node:sqlite';
import { systemClock } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Store } from '../../runtime/store.ts';
import { FreshPages } from '../fresh-pages.ts';
import { openDatabase } from './connection.ts';
import { createGate } from './gate.ts';
import { noLock, processLock } from './lock.ts';
import { prepareOperations } from './operations.ts';
import type { OpenFile } from './open-file.ts';

export interface SqliteStoreOptions {
  /** The file; it is made if there is none. `:memory:` for one that lives as long as the store. */
  path: string;
  /** `full` (default): what was acknowledged survives a loss of power. `normal`: it survives the death of the process. */
  synchronous?: 'full' | 'normal';
  /** The clock that due times, leases and ages are compared on. Default: the platform's. */
  clock?: Clock;
  /** How long a call waits, the event loop with it, while another process writes. Default 2000. */
  busyTimeoutMs?: number;
  /** How often to look for what other processes wrote while somebody watches; 0: never. Default 20. */
  watchMs?: number;
  /** Further pragmas of the connection, such as `cache_size`, set as they stand when it is opened. */
  pragmas?: Record<string, string | number>;
}

/**
 * A store in a SQLite file. Opens it at once; throws a `DurableError` if it cannot: `store_unavailable`, `store_read_only`,
 * `store_corrupt`, `store_full`, `store_newer`, or `invalid_argument` for another application's database.
 *
 * @example
 * const runtime = createRuntime({ store: sqliteStore('runs.db'), agents: { support } });
 */
export function sqliteStore(where: string | SqliteStoreOptions): Store {
  const options: SqliteStoreOptions = typeof where === 'string' ? { path: where } : where;
  const { path, clock = systemClock(), synchronous = 'full' } = options;
  const db = openDatabase({
    path,
    synchronous,
    busyTimeoutMs: options.busyTimeoutMs ?? 2_000,
    pragmas: options.pragmas ?? {},
  });
  const file: OpenFile = { db, clock, hints: [], fresh: new FreshPages(dataVersion(db)) };
  const isShared = path !== ':memory:' && path !== '';
  const gate = createGate(file, {
    path,
    lock: isShared ? processLock(`${path}.lock`) : noLock(),
    watchMs: isShared ? (options.watchMs ?? 20) : 0,
  });
  return {
    name: 'sqlite',
    capabilities: {
      durability: isShared ? (synchronous === 'full' ? 'fsync' : 'async') : 'none',
      push: true,
      flushMs: 2,
      maxRequestBytes: 262_144,
    },
    ...prepareOperations(file, gate),
    watch: gate.watch,
    close: gate.close,
  };
}

/** Changes when another connection has committed. */
function dataVersion(db: DatabaseSync): () => number {
  const statement = db.prepare('PRAGMA data_version');
  return () => Number(statement.get()?.['data_version']);
}
