/** `everturn/postgres`: the store in a Postgres database. */

// Store
export { postgresStore } from './stores/postgres/postgres-store.ts';
export type { PostgresStoreOptions } from './stores/postgres/postgres-store.ts';
export type { PostgresConnection, PostgresPool, PostgresQuery, PostgresSession } from './stores/postgres/client.ts';

// Schema
export { migratePostgres } from './stores/postgres/migrate.ts';
export type { Migration, MigratePostgresOptions } from './stores/postgres/migrate.ts';
