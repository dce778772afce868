/** The schema brought up to this release apart from any store, for a deployment's own step. */

import { withSession } from './client.ts';
import { toStoreError } from './failure.ts';
import { migrateSchema } from './migrations.ts';
import type { Migration } from './migrations.ts';
import { Pools } from './pools.ts';
import type { PoolsOptions } from './pools.ts';

export type { Migration } from './migrations.ts';

export interface MigratePostgresOptions extends Pick<PoolsOptions, 'connectionString' | 'client'> {
  /** Default `everturn`. */
  schema?: string;
}

/**
 * Brings a schema up to this release's, and makes it where there is none. Safe to call at once from several processes, and again.
 * Rejects as the calls of a store do; nothing is changed then.
 */
export async function migratePostgres(options: MigratePostgresOptions): Promise<Migration> {
  const pools = new Pools({ ...options, listen: false, connections: 1 });
  try {
    return await withSession(await pools.main(), (session) => migrateSchema(session, options.schema ?? 'everturn'));
  } catch (error) {
    throw toStoreError(error, { doing: 'migrate', where: pools.where });
  } finally {
    await pools.close();
  }
}
