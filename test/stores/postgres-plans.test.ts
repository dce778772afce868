import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HookQuery, RunQuery } from '../../src/runtime/store.ts';
import { DUE_QUERIES, IS_HELD } from '../../src/stores/postgres/claim.ts';
import { toJson, toText, toTextArray } from '../../src/stores/postgres/payloads.ts';
import { hooksOf, runsOf } from '../../src/stores/postgres/read.ts';
import { claimOne } from '../../src/testing/store-suite/kit.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noPostgres, startPostgres } from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { postgresSchemas } from './postgres-schema.ts';
import type { PostgresSchema, PostgresSchemas } from './postgres-schema.ts';

const RUNS = 100_000;
const values = { text: toText, texts: toTextArray, json: toJson };

let server: PostgresServer;
let schemas: PostgresSchemas;
let schema: PostgresSchema;

/** Runs that sleep, each in a thread of its own, every hundredth with an approval; half of the hooks are open. */
async function fill(): Promise<void> {
  const { name } = schema;
  await schema.query(`
    INSERT INTO ${name}.runs (id, status, due_at, queue, workflow, version, thread, tenant, input_hash, origin, created_at, updated_at, parent_run, error_code)
      SELECT 'run_' || n, CASE WHEN n % 1000 = 0 THEN 'parked' ELSE 'waiting' END, CASE WHEN n % 1000 = 0 THEN NULL ELSE 9e14::bigint + n END, 'order@1', 'order', '1',
        'thread_' || n, 'tenant_' || n % 1000, 'hash', 'wait', n, n, 'parent_' || n % 5000, CASE WHEN n % 1000 = 0 THEN 'divergence' END
      FROM generate_series(1, ${RUNS}) n;
    INSERT INTO ${name}.payloads (run, input, attributes) SELECT key, '', '{}' FROM ${name}.runs;
    INSERT INTO ${name}.hooks (token_hash, run, target, kind, once, needed, tool, details, status, answers, created_at)
      SELECT 'token_' || n, key, 'k', CASE WHEN n % 10 = 0 THEN 'approval' WHEN n % 400 = 1 THEN 'question' ELSE 'hook' END, true, 1, CASE WHEN n % 10 = 0 THEN 'tool_' || n % 500 END, '',
        CASE WHEN n % 200 < 2 THEN 'open' ELSE 'resolved' END, '[]', n
      FROM (SELECT key, row_number() OVER () AS n FROM ${name}.runs) r;
    ANALYZE ${name}.runs; ANALYZE ${name}.payloads; ANALYZE ${name}.hooks;`);
}

interface Plan {
  'Node Type': string;
  'Index Name'?: string;
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: Plan[];
}

/** The tables and indexes that are read, and how many rows were looked at. */
async function explain(sql: string, given: unknown[]): Promise<{ reads: string[]; rows: number }> {
  const [row] = await schema.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${sql.replaceAll('@.', `${schema.name}.`)}`, given);
  const plans = row?.['QUERY PLAN'] as Array<{ Plan: Plan }> | undefined;
  const nodes = (plans ?? []).map(({ Plan: root }) => root);
  for (const node of nodes) nodes.push(...(node.Plans ?? []));
  const reads = nodes.flatMap((node) =>
    node['Node Type'] === 'Seq Scan' ? [`all of ${node['Relation Name']}`] : (node['Index Name'] ?? []),
  );
  const rows = nodes.map(
    (node) => ((node['Rows Removed by Filter'] ?? 0) + node['Actual Rows']) * node['Actual Loops'],
  );
  return { reads, rows: Math.max(...rows) };
}

describeUnless(noPostgres, 'of 100,000 runs that sleep in Postgres', () => {
  beforeAll(async () => {
    server = await startPostgres({ max_wal_size: '2GB' });
    schemas = postgresSchemas(server.url);
    schema = await schemas.create();
    await fill();
  }, 120_000);
  afterAll(async () => {
    await schemas.close();
    await server.remove();
  });

  it.each(Object.entries(DUE_QUERIES))('a claim finds what is %s by the index of due runs', async (_, sql) => {
    const bound = sql
      .replaceAll('q.queue', "'order@1'")
      .replaceAll('q.lane', "''")
      .replaceAll('now', '1')
      .replaceAll('most', '10')
      .replaceAll('greatest(of_suspects, 0)', '1')
      .replaceAll('(held)', "('{1}'::bigint[])");
    const { reads, rows } = await explain(bound, []);
    expect([reads, rows < 20]).toEqual([['runs_due'], true]);
  });

  it('what a claim got before is found by an index of its own, not among all runs that run', async () => {
    const { reads, rows } = await explain(`SELECT 1 FROM @.runs WHERE ${IS_HELD.replace('of_nonce', "'n'")}`, []);
    expect([reads, rows < 20]).toEqual([['runs_held'], true]);
  });

  it('a claim that finds nothing takes milliseconds', async () => {
    const store = schema.store();
    const times: number[] = [];
    for (let index = 0; index < 30; index += 1) {
      const before = performance.now();
      const { claims } = await claimOne(store, { nonce: `n${index}`, queues: ['order@1'] });
      times.push(performance.now() - before);
      expect(claims).toEqual([]);
    }
    await store.close();
    // The least of them: others use this machine too.
    expect(Math.min(...times)).toBeLessThan(5);
  });

  it.each<[what: string, query: RunQuery]>([
    ['a status', { status: ['parked'] }],
    ['several statuses', { status: ['parked', 'ready'] }],
    ['a thread', { thread: 'thread_500' }],
    ['a tenant', { tenant: 'tenant_7' }],
    ['a tenant and a status', { tenant: 'tenant_0', status: ['parked'] }],
    ['a parent', { parent: 'parent_9' }],
    ['an error', { errorCode: 'divergence' }],
    ['nothing', {}],
  ])('a page of runs by %s looks at few rows', async (_, query) => {
    const { sql, values: given } = runsOf(values, query);
    const { reads, rows } = await explain(`${sql} ORDER BY f.key DESC LIMIT 51`, given);
    expect([reads.filter((read) => read.startsWith('all of')), rows <= 600]).toEqual([[], true]);
  });

  it.each<[what: string, query: HookQuery]>([
    ['a kind', { kind: 'question' }],
    ['a kind that is open', { kind: 'question', status: ['open'] }],
    ['a kind that is settled', { kind: 'approval', status: ['resolved', 'closed'] }],
    ['a run', { run: 'run_500' }],
    ['a thread', { thread: 'thread_500' }],
    ['a tenant', { tenant: 'tenant_500', kind: 'approval' }],
    ['a tool', { tool: 'tool_10', status: ['open', 'resolved'] }],
    ['nothing', {}],
  ])('a page of hooks by %s looks at few rows', async (_, query) => {
    const { sql, values: given } = hooksOf(values, query);
    const { reads, rows } = await explain(`${sql} ORDER BY f.key DESC LIMIT 51`, given);
    expect([reads.filter((read) => read.startsWith('all of')), rows <= 600]).toEqual([[], true]);
  });
});
