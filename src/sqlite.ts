/** `everturn/sqlite`: a store in a SQLite file, inside the process. */

export { sqliteStore } from './stores/sqlite/sqlite-store.ts';
export type { SqliteStoreOptions } from './stores/sqlite/sqlite-store.ts';
