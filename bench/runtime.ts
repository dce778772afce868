/** Runtimes under measurement, on stores whose durability was looked at and not taken on trust. */

import { DatabaseSync } from 'node:sqlite';
import { createRuntime } from 'everturn';
import type { Runtime, RuntimeOptions } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { sqliteStore } from 'everturn/sqlite';
import { assertDurable } from './floors.ts';
import type { Durability } from './floors.ts';
import type { BenchContext, StoreName } from './report.ts';

type Store = RuntimeOptions['store'];

export interface DurableStore {
  store: Store;
  durability: Durability;
  /** The store's own. */
  connection: DatabaseSync;
}

/** The store in a file, and what its own connection says about durability. Throws unless that is WAL and FULL. */
export function durableStore(path: string): DurableStore {
  const opened: DatabaseSync[] = [];
  const { exec } = DatabaseSync.prototype;
  // `synchronous` belongs to a connection: only the store's own one can tell, and the store keeps it to itself.
  DatabaseSync.prototype.exec = function execAndNote(sql) {
    if (!opened.includes(this)) opened.push(this);
    return exec.call(this, sql);
  };
  try {
    const store = sqliteStore(path);
    const connection = opened.find((db) => db.location() === path);
    if (connection === undefined) throw new Error(`The store's connection to "${path}" was not seen.`);
    const durability = assertDurable(connection);
    if (store.capabilities.durability !== 'fsync')
      throw new Error(`The store promises "${store.capabilities.durability}".`);
    return { store, durability, connection };
  } finally {
    DatabaseSync.prototype.exec = exec;
  }
}

export function openStore(context: BenchContext, name: StoreName): Store {
  return name === 'memory' ? memoryStore() : durableStore(context.file('ours')).store;
}

/** A runtime with its worker, open and warm, closed after `use`. */
export async function withRuntime<T>(
  options: Omit<RuntimeOptions, 'store'> & { store: Store },
  use: (runtime: Runtime) => Promise<T>,
): Promise<T> {
  const runtime = createRuntime(options);
  try {
    return await use(runtime);
  } finally {
    await runtime.close({ graceMs: 100 });
  }
}
