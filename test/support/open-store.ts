/** A store by URL, so that a test can name it to a process that it spawns. */
import { postgresStore } from '../../src/postgres.ts';
import { redisStore } from '../../src/redis.ts';
import type { Store } from '../../src/runtime/store.ts';
import { sqliteStore } from '../../src/sqlite.ts';
import { upstashStore } from '../../src/upstash.ts';

/** `sqlite:<path>`, `postgres://...` (with `?prepare=false` for PgBouncer) with a schema and `redis://...` with a namespace as its fragment, or `upstash:` and an HTTP address with its token as the user name. */
export function openStore(url: string): Store {
  const [, scheme, rest = ''] = /^(\w+):(.*)$/.exec(url) ?? [];
  switch (scheme) {
    case 'sqlite':
      return sqliteStore(rest);
    case 'postgres': {
      const [address = '', schema = 'everturn'] = url.split('#');
      const [connectionString = '', options = ''] = address.split('?');
      return postgresStore({ connectionString, schema, prepare: options !== 'prepare=false' });
    }
    case 'redis': {
      const [address = '', namespace = 'everturn'] = url.split('#');
      return redisStore({ url: address, namespace });
    }
    case 'upstash': {
      const { username: token, origin } = new URL(rest);
      return upstashStore({ url: origin, token });
    }
    default:
      throw new Error(`No store is known for "${url}".`);
  }
}
