import { afterAll, beforeAll, it } from 'vitest';
import { describeUnless } from '../support/describe-unless.ts';
import { noPostgres, startPostgres } from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { compareHistories } from './compare-histories.ts';
import { postgresSchemas } from './postgres-schema.ts';
import type { PostgresSchemas } from './postgres-schema.ts';

let server: PostgresServer;
let schemas: PostgresSchemas;

describeUnless(noPostgres, 'random histories', () => {
  beforeAll(async () => {
    server = await startPostgres();
    schemas = postgresSchemas(server.url);
  }, 60_000);
  afterAll(async () => {
    await schemas.close();
    await server.remove();
  });

  it('have the same answers and leave the same state on Postgres as in memory', async () => {
    const open = async (clock: Parameters<Parameters<typeof compareHistories>[0]>[0]) => {
      const schema = await schemas.create(clock.now());
      const store = schema.onClock(clock);
      return {
        ...store,
        close: async () => {
          await store.close();
          await schema.drop();
        },
      };
    };
    await compareHistories(open, { many: 40 });
  }, 120_000);
});
