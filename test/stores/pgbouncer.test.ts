import { afterAll, beforeAll, describe, it } from 'vitest';
import { describeStore } from '../../src/testing/store-suite/store-suite.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noPgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import type { PgBouncer } from '../support/pgbouncer.ts';
import { startPostgres } from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { postgresSchemas, suiteStores } from './postgres-schema.ts';
import type { PostgresSchemas } from './postgres-schema.ts';

let server: PostgresServer;
let bouncer: PgBouncer;
let schemas: PostgresSchemas;

describeUnless(noPgBouncer, 'on Postgres behind PgBouncer in transaction mode', () => {
  beforeAll(async () => {
    server = await startPostgres();
    bouncer = await startPgBouncer(server);
    schemas = postgresSchemas(bouncer.url, server.url);
  }, 60_000);
  afterAll(async () => {
    await schemas.close();
    await bouncer.close();
    await server.remove();
  });
  describeStore(
    { describe, it },
    suiteStores(() => schemas, { prepare: false }),
  );
});
