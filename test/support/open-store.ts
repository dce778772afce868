/** A store by URL, so that a test can name it to a process that it spawns. */
import type { Store } from '../../src/runtime/store.ts';
import { sqliteStore } from '../../src/sqlite.ts';

/** `sqlite:<path>`. */
export function openStore(url: string): Store {
  const [, scheme, rest = ''] = /^(\w+):(.*)$/.exec(url) ?? [];
  if (scheme === 'sqlite') return sqliteStore(rest);
  throw new Error(`No store is known for "${url}".`);
}
