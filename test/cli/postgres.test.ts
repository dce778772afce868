import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresStore } from '../../src/postgres.ts';
import { startOne } from '../../src/testing/store-suite/kit.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noPostgres, startPostgres } from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { callEverturn } from './everturn.ts';

let server: PostgresServer;

describeUnless(noPostgres, 'the command line on Postgres', () => {
  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(() => server.remove());

  it('makes a schema once, and shows what is in it', async () => {
    const url = `${server.url}?schema=runs`;
    const before = await callEverturn(['inspect', 'runs', '--store', url]);
    expect([before.code, before.stderr]).toEqual([1, expect.stringContaining('everturn migrate')]);
    expect((await callEverturn(['migrate', url])).stdout).toBe('The schema "runs" went from 0 to 1.\n');
    expect((await callEverturn(['migrate', '--store', url, '--json'])).json()).toEqual({
      schema: 'runs',
      from: 1,
      to: 1,
    });
    const store = postgresStore({ connectionString: server.url, schema: 'runs' });
    await startOne(store, { id: 'run_in_postgres' });
    await store.close();
    const after = await callEverturn(['inspect', 'runs', '--store', url]);
    expect([after.code, after.stdout]).toEqual([0, expect.stringContaining('run_in_postgres')]);
  });

  it('migrates nothing but Postgres', async () => {
    const outcome = await callEverturn(['migrate', 'app.db']);
    expect([outcome.code, outcome.stderr]).toEqual([2, expect.stringContaining('postgres://')]);
  });

  it('says that a server is down without saying the password', async () => {
    const outcome = await callEverturn(['migrate', 'postgres://me:geheim@127.0.0.1:1/db']);
    expect([outcome.code, outcome.stderr]).toEqual([1, expect.stringContaining('127.0.0.1:1/db')]);
    expect(outcome.stderr).not.toContain('geheim');
  });
});
