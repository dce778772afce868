import { afterAll, beforeAll, describe, it } from 'vitest';
import { describeStore } from '../../src/testing/store-suite/store-suite.ts';
import { noPostgres, startPostgres } from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { postgresSchemas } from './postgres-schema.ts';
import type { PostgresSchemas } from './postgres-schema.ts';

let server: PostgresServer;
let schemas: PostgresSchemas;

const makeStore = async () => {
  const schema = await schemas.create(1_700_000_000_000);
  let store = schema.store();
  return {
    store,
    advance: schema.advance,
    reopen: async () => {
      await store.close();
      return (store = schema.store());
    },
    close: async () => {
      await store.close();
      await schema.drop();
    },
  };
};

describe.skipIf(noPostgres !== undefined)(`on Postgres${noPostgres === undefined ? '' : ` (${noPostgres})`}`, () => {
  beforeAll(async () => {
    server = await startPostgres();
    schemas = postgresSchemas(server.url);
  });
  afterAll(async () => {
    await schemas.close();
    await server.remove();
  });
  describeStore({ describe, it }, makeStore);
});
