import { afterAll, beforeAll, describe, it } from 'vitest';
import { describeStore } from '../../src/testing/store-suite/store-suite.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noPostgres, startPostgres } from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { postgresSchemas, suiteStores } from './postgres-schema.ts';
import type { PostgresSchemas } from './postgres-schema.ts';

let server: PostgresServer;
let schemas: PostgresSchemas;

describeUnless(noPostgres, 'on Postgres', () => {
  beforeAll(async () => {
    server = await startPostgres();
    schemas = postgresSchemas(server.url);
  }, 60_000);
  afterAll(async () => {
    await schemas.close();
    await server.remove();
  });
  describeStore(
    { describe, it },
    suiteStores(() => schemas),
  );
});
