import { execFile } from 'node:child_process';
import { inspect, promisify } from 'node:util';
import { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createHook, createRuntime, DurableError, step, workflow } from '../../src/index.ts';
import { migratePostgres, postgresStore } from '../../src/postgres.ts';
import type { PostgresPool, PostgresStoreOptions } from '../../src/postgres.ts';
import type { Hint, Run, Store, StreamPage } from '../../src/runtime/store.ts';
import {
  bytes,
  claimOne,
  QUEUE,
  emptyCommit,
  holder,
  newRun,
  startOne,
  texts,
} from '../../src/testing/store-suite/kit.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noPostgres, startPostgres } from '../support/postgres.ts';
import type { PostgresServer } from '../support/postgres.ts';

let server: PostgresServer;
let stores: Store[] = [];
let made = 0;

function open(options: Partial<PostgresStoreOptions> = {}): Store {
  const { client, ...rest } = options;
  const from = client === undefined ? { connectionString: server.url } : { client };
  const store = postgresStore({ ...from, listen: false, ...rest });
  stores.push(store);
  return store;
}

function newSchema(): string {
  made += 1;
  return `faults_${made}`;
}

async function failure(run: () => Promise<unknown>): Promise<DurableError> {
  try {
    await run();
  } catch (error) {
    if (DurableError.is(error)) return error;
    throw error;
  }
  throw new Error('It did not fail.');
}

async function eventually<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Ends connections whose last statement looks so. */
async function terminate(query: string): Promise<void> {
  await eventually(async () => {
    const ended = await server.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE $1 AND pid <> pg_backend_pid()`,
      [query],
    );
    return ended.length > 0 ? ended : undefined;
  });
}

/** How many statements that look so wait for a lock. */
async function waitingFor(query: string): Promise<number> {
  const waiting = await server.query(
    "SELECT 1 FROM pg_stat_activity WHERE query LIKE $1 AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()",
    [query],
  );
  return waiting.length;
}

async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'pid=', '--ppid', String(pid)]);
  return stdout.trim().split(/\s+/).map(Number);
}

describeUnless(noPostgres, 'Postgres', () => {
  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterEach(async () => {
    for (const store of stores) await store.close();
    stores = [];
  });
  afterAll(() => server.remove());

  describe('that cannot be used', () => {
    it('because it is down says so, and is used as soon as it is up', async () => {
      const schema = newSchema();
      await server.kill();
      const store = open({ schema });
      const error = await failure(() => store.get('run_1'));
      expect([error.code, error.retryable]).toEqual(['store_unavailable', true]);
      expect(error.message).toContain(`127.0.0.1:${server.port}/postgres`);
      await server.start();
      await startOne(store);
      await server.kill('immediate');
      expect((await failure(() => store.get('run_1'))).code).toBe('store_unavailable');
      await server.start();
      expect((await store.get('run_1'))?.status).toBe('ready');
    });

    it.each([
      ['a user that it does not know', 'postgres://stranger:geheim@', '/postgres', /user or the password/],
      ['a database that is not there', 'postgres://postgres@', '/nowhere', /no such database/],
    ])('by %s says so, without credentials', async (_, before, database, words) => {
      const store = open({ connectionString: `${before}127.0.0.1:${server.port}${database}` });
      const error = await failure(() => store.get('run_1'));
      expect([error.code, error.retryable]).toEqual(['store_unavailable', false]);
      expect(error.message).toMatch(words);
      expect(error.message).not.toContain('geheim');
    });

    it('because its transactions see one moment says so', async () => {
      const strict = `${server.url}?options=-cdefault_transaction_isolation%3Dserializable`;
      const error = await failure(() => open({ schema: newSchema(), connectionString: strict }).get('run_1'));
      expect([error.code, error.retryable, error.message]).toEqual([
        'store_unavailable',
        false,
        expect.stringContaining('default_transaction_isolation'),
      ]);
    });

    it('because its server stopped answering says so, whoever made the pool', { timeout: 30_000 }, async () => {
      const pool = new Pool({ connectionString: server.url, max: 2 });
      pool.on('error', () => undefined);
      const store = open({ schema: newSchema(), client: pool });
      await startOne(store);
      process.kill(server.pid, 'SIGSTOP');
      const backends = await childrenOf(server.pid);
      for (const pid of backends) process.kill(pid, 'SIGSTOP');
      try {
        const error = await failure(() => store.get('run_1'));
        expect([error.code, error.retryable]).toEqual(['store_unavailable', true]);
      } finally {
        for (const pid of [server.pid, ...backends]) process.kill(pid, 'SIGCONT');
      }
      expect((await store.get('run_1'))?.status).toBe('ready');
      await store.close();
      await pool.end();
    });

    it('because the options make no sense throws at once', () => {
      expect(() => postgresStore({})).toThrow(/connectionString/);
      const pool = new Pool({ connectionString: server.url, max: 1 });
      expect(() => postgresStore({ client: pool })).toThrow(/`listen`/);
      for (const wrong of ['postgres://me:geheim@host:port/database', 'me:geheim@host']) {
        let error: unknown;
        try {
          postgresStore({ connectionString: wrong });
        } catch (thrown) {
          error = thrown;
        }
        expect(inspect(error)).toContain('is no URL of Postgres');
        expect(inspect(error, { depth: 9 })).not.toContain('geheim');
      }
      expect(() => open({ schema: 'Robert"; DROP' })).toThrow(/lower-case/);
    });
  });

  describe('a schema', () => {
    it('that many stores open at once is made once', async () => {
      const schema = newSchema();
      const many = Array.from({ length: 6 }, () => open({ schema }));
      await Promise.all(many.map((store, index) => startOne(store, { id: `run_${index}` })));
      expect(await server.query(`SELECT number FROM ${schema}.migrations`)).toEqual([{ number: 1 }]);
      expect(await migratePostgres({ connectionString: server.url, schema })).toEqual({ from: 1, to: 1 });
    });

    it('that cannot be made because the connection is ended is made by the next call', async () => {
      const schema = newSchema();
      const blocker = new Pool({ connectionString: server.url, max: 1 });
      const session = await blocker.connect();
      await session.query(
        `BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('everturn migrations of ${schema}', 0))`,
      );
      const store = open({ schema });
      const lost = failure(() => store.get('run_1'));
      await terminate('SELECT pg_advisory_xact_lock%migrations%');
      expect([(await lost).code, (await lost).retryable]).toEqual(['store_unavailable', true]);
      await session.query('ROLLBACK');
      session.release();
      await blocker.end();
      expect(await store.get('run_1')).toBeNull();
    });

    it('that is missing is not made where migrating is off, and used once it was made apart', async () => {
      const schema = newSchema();
      const store = open({ schema, migrate: false });
      const error = await failure(() => store.get('run_1'));
      expect([error.code, error.message]).toEqual(['store_unavailable', expect.stringContaining('everturn migrate')]);
      expect(await migratePostgres({ connectionString: server.url, schema })).toEqual({ from: 0, to: 1 });
      expect(await store.get('run_1')).toBeNull();
    });

    it('is used by who may read and write its tables and call its functions, and nothing else', async () => {
      const schema = newSchema();
      await migratePostgres({ connectionString: server.url, schema });
      await server.query(`CREATE ROLE app_of_${schema} LOGIN`);
      await server.query(`GRANT USAGE ON SCHEMA ${schema} TO app_of_${schema}`);
      await server.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO app_of_${schema}`);
      const connectionString = server.url.replace('postgres@', `app_of_${schema}@`);
      const store = open({ schema, migrate: false, connectionString });
      const answers = await store.start([newRun({ id: 'a' }), newRun({ id: 'b' })]);
      const inThread = await store.start([newRun({ id: 'c', thread: 't' })]);
      expect([...answers, ...inThread].map((answer) => answer.kind)).toEqual(['created', 'created', 'created']);
    });

    it('of a newer release is refused and left as it is', async () => {
      const schema = newSchema();
      await migratePostgres({ connectionString: server.url, schema });
      await server.query(`INSERT INTO ${schema}.migrations VALUES (99, now())`);
      const error = await failure(() => open({ schema }).get('run_1'));
      expect([error.code, error.details]).toEqual(['store_newer', { schema, found: 99, known: 1 }]);
    });

    it('of another application is refused and left as it is', async () => {
      const schema = newSchema();
      await server.query(`CREATE SCHEMA ${schema}`);
      await server.query(`CREATE TABLE ${schema}.customers (id integer)`);
      expect((await failure(() => open({ schema }).get('run_1'))).code).toBe('invalid_argument');
      expect(
        await server.query('SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace', [schema]),
      ).toHaveLength(1);
    });
  });

  it('says that it syncs what it commits once it was asked, and not where it does not', async () => {
    const store = open({ schema: newSchema() });
    expect(store.capabilities.durability).toBe('async');
    await store.get('run_1');
    expect(store.capabilities.durability).toBe('fsync');
    const loose = open({
      schema: newSchema(),
      connectionString: `${server.url}?options=-csynchronous_commit%3Doff`,
    });
    await loose.get('run_1');
    expect(loose.capabilities.durability).toBe('async');
  });

  describe('a commit that gets no answer', () => {
    it('because its connection was ended before it was applied is applied once when it is repeated', async () => {
      const schema = newSchema();
      const store = open({ schema });
      const held = await hold(store);
      const commit = emptyCommit({ run: held.id, token: held.token, expect: 0, id: 'c', events: [bytes('e')] });
      const blocker = new Pool({ connectionString: server.url, max: 1 });
      const session = await blocker.connect();
      await session.query(`BEGIN; SELECT 1 FROM ${schema}.runs FOR UPDATE`);
      const lost = failure(() => store.commit([commit]));
      await terminate('%moved AS (UPDATE%');
      expect([(await lost).code, (await lost).retryable]).toEqual(['store_unavailable', true]);
      await session.query('ROLLBACK');
      session.release();
      await blocker.end();
      expect((await store.load(held.id, 0))?.events).toEqual([]);
      expect((await store.commit([commit]))[0]).toMatchObject({ kind: 'applied', holder: true, head: 1 });
      expect((await store.commit([commit]))[0]).toMatchObject({ kind: 'applied', holder: true, head: 1 });
      expect(texts((await store.load(held.id, 0))?.events ?? [])).toEqual(['e']);
    });

    it('because the answer was lost is not applied again', async () => {
      const schema = newSchema();
      const pool = new Pool({ connectionString: server.url, max: 2 });
      let loses = false;
      const client: PostgresPool = {
        connect: () => pool.connect(),
        end: () => pool.end(),
        async query(query) {
          const answer = await (pool as PostgresPool).query(query);
          if (loses) throw Object.assign(new Error('Connection terminated unexpectedly'));
          return answer;
        },
      };
      const store = open({ schema, client });
      const held = await hold(store);
      const commit = emptyCommit({
        run: held.id,
        token: held.token,
        expect: 0,
        id: 'c',
        events: [bytes('e')],
        chunks: [{ stream: 'out', chunks: [bytes('c')] }],
      });
      loses = true;
      expect((await failure(() => store.commit([commit]))).code).toBe('store_unavailable');
      loses = false;
      expect((await store.commit([commit]))[0]).toMatchObject({ kind: 'applied', head: 1, tails: { out: 1 } });
      expect(texts((await store.read(held.id, 'out', { from: 0, maxBytes: 10 }))?.chunks ?? [])).toEqual(['c']);
      await store.close();
      await pool.end();
    });
  });

  it('runs whose ends touch each other from both sides all end, whoever has to wait', async () => {
    const store = open({ schema: newSchema() });
    const pairs = Array.from({ length: 12 }, (_, index) => index);
    const parents = await Promise.all(pairs.map((index) => hold(store, { id: `z_${index}` })));
    const children = await Promise.all(
      pairs.map((index) => hold(store, { id: `a_${index}`, parent: { run: `z_${index}`, key: 'k' } })),
    );
    await Promise.all([
      ...children.map((child) => child.end()),
      ...pairs.map((index) => store.control(`z_${index}`, 'terminate')),
      ...parents.map((parent, index) => parent.commit({ cancels: [`a_${index}`] })),
    ]);
    const ended = await Promise.all(pairs.flatMap((index) => [store.get(`a_${index}`), store.get(`z_${index}`)]));
    expect(new Set(ended.map((run) => run?.status))).toEqual(new Set(['completed', 'failed']));
  });

  describe('a claim', () => {
    it('that passes over a run which somebody else has locked is to be made again soon', async () => {
      const schema = newSchema();
      const store = open({ schema });
      await startOne(store);
      const blocker = new Pool({ connectionString: server.url, max: 1 });
      const session = await blocker.connect();
      await session.query(`BEGIN; SELECT 1 FROM ${schema}.runs FOR UPDATE`);
      const passed = await claimOne(store, { nonce: 'n' });
      await session.query('ROLLBACK');
      session.release();
      await blocker.end();
      expect(passed.claims).toEqual([]);
      expect(passed.nextDueInMs).toBeLessThanOrEqual(50);
      expect((await claimOne(store, { nonce: 'n' })).claims).toHaveLength(1);
    });

    it('that is repeated while the first one is under way gets what that one got', async () => {
      const schema = newSchema();
      const store = open({ schema });
      await startOne(store, { id: 'limited', limits: [{ key: 'k', most: 1 }] });
      const blocker = new Pool({ connectionString: server.url, max: 1 });
      const session = await blocker.connect();
      await session.query(`BEGIN; LOCK TABLE ${schema}.slots IN EXCLUSIVE MODE`);
      const first = claimOne(store, { nonce: 'n' });
      await eventually(async () => (await waitingFor('%claim_runs%')) === 1 || undefined);
      await startOne(store, { id: 'free' });
      const second = claimOne(store, { nonce: 'n' });
      await eventually(async () => (await waitingFor('%claim_runs%')) === 2 || undefined);
      await session.query('ROLLBACK');
      session.release();
      await blocker.end();
      const runs = [await first, await second].map(({ claims }) => claims.map(({ run }) => run.id));
      expect(runs).toEqual([['limited'], ['limited']]);
    });
  });

  it('the end of a run locks, of those that queue behind it, the next one alone', async () => {
    const schema = newSchema();
    const store = open({ schema });
    const held = await hold(store, { id: 'first', thread: 't' });
    for (const id of ['next', 'last']) await store.start([newRun({ id, thread: 't', whenBusy: 'queue' })]);
    const blocker = new Pool({ connectionString: server.url, max: 1 });
    const session = await blocker.connect();
    await session.query(`BEGIN; SELECT 1 FROM ${schema}.runs WHERE id = 'last' FOR UPDATE`);
    await held.end();
    await session.query('ROLLBACK');
    session.release();
    await blocker.end();
    expect([(await store.get('next'))?.status, (await store.get('last'))?.status]).toEqual(['ready', 'queued']);
  });

  it('keeps any string that JavaScript has', async () => {
    const store = open({ schema: newSchema() });
    const odd = ['nul \0 in it', 'half \ud83d of a pair', 'escape \u001b0000', 'back\\u0000slash', '"{},', '𝒳'];
    const runs = odd.map((thread, index) => newRun({ id: `run \0${index}`, thread, attributes: { [thread]: thread } }));
    await store.start(runs);
    for (const run of runs) {
      expect(await store.get(run.id)).toMatchObject({ id: run.id, thread: run.thread, attributes: run.attributes });
      expect((await store.thread(run.thread ?? '')).map(({ id }) => id)).toEqual([run.id]);
      expect((await store.list({ attributes: run.attributes })).items.map(({ id }) => id)).toEqual([run.id]);
    }
  });

  describe('what other processes write', () => {
    const heard = (store: Store): Hint[] => {
      const hints: Hint[] = [];
      store.watch?.((hint) => hints.push(hint));
      return hints;
    };

    it('is heard of at once, again after the listening connection was lost', async () => {
      const schema = newSchema();
      const [here, there] = [open({ schema, listen: { connectionString: server.url } }), open({ schema })];
      const hints = heard(here);
      await eventually(() => hints.find(({ kind }) => kind === 'any'));
      await startOne(there, { id: 'a', thread: 't' });
      await eventually(() => hints.find(({ kind }) => kind === 'thread'));
      hints.length = 0;
      await terminate('LISTEN%');
      await eventually(() => hints.find(({ kind }) => kind === 'any'));
      await startOne(there, { id: 'b', thread: 'u' });
      await eventually(() => hints.find((hint) => hint.kind === 'thread' && hint.run === 'b'));
    });

    it('is heard of although others ring with what is no hint', async () => {
      const schema = newSchema();
      const [here, there] = [open({ schema, listen: { connectionString: server.url } }), open({ schema })];
      const hints = heard(here);
      await eventually(() => hints.find(({ kind }) => kind === 'any'));
      for (const payload of [
        '',
        'no JSON',
        '[]',
        'null',
        '{"origin":"x","hints":3}',
        '{"origin":"x","hints":[{"kind":"new"}]}',
      ]) {
        hints.length = 0;
        await server.query('SELECT pg_notify($1, $2)', [`everturn ${schema}`, payload]);
        await eventually(() => hints.find(({ kind }) => kind === 'any'));
      }
      await startOne(there, { id: 'a', thread: 't' });
      await eventually(() => hints.find(({ kind }) => kind === 'thread'));
    });

    it('is heard of although the store that wrote it is closed at once', async () => {
      const schema = newSchema();
      const [here, there] = [open({ schema, listen: { connectionString: server.url } }), open({ schema })];
      const hints = heard(here);
      await eventually(() => hints.find(({ kind }) => kind === 'any'));
      hints.length = 0;
      const starts = Array.from({ length: 5 }, (_, index) => startOne(there, { id: `r${index}`, thread: `t${index}` }));
      await Promise.all([...starts, there.close()]);
      await eventually(() => hints.find((hint) => hint.kind === 'thread' && hint.run === 'r4'));
    });

    it('is found by a poll where nobody listens', async () => {
      const schema = newSchema();
      const [here, there] = [open({ schema, pollMs: 30 }), open({ schema })];
      await here.get('run_1');
      const hints = heard(here);
      await startOne(there);
      await eventually(() => hints.find(({ kind }) => kind === 'any'));
    });
  });

  it('a run goes on where it was when the server was killed under its worker', async () => {
    const schema = newSchema();
    let bodies = 0;
    let reached: () => void = () => undefined;
    const isHalfway = new Promise<void>((resolve) => (reached = resolve));
    const walk = workflow('walk', async () => {
      for (let index = 0; index < 20; index += 1) {
        await step('go', () => {
          bodies += 1;
          if (bodies === 8) reached();
          return index;
        });
      }
    });
    const runtime = createRuntime({ store: open({ schema }), workflows: [walk], logger: silent });
    try {
      const run = await runtime.start(walk);
      await isHalfway;
      await server.kill();
      await server.start();
      await run.result();
      expect(bodies).toBe(20);
    } finally {
      await runtime.close();
    }
  });

  it('a reader of the process that writes gets its chunks with the answer of the commit, and those of others from the tables', async () => {
    const schema = newSchema();
    const { client, sent, close } = countingClient();
    const [here, there] = [open({ schema, client }), open({ schema })];
    const held = await hold(here);
    const page = (from: number) => here.read(held.id, 'out', { from, maxBytes: 65_536 });
    const read = new Promise<StreamPage | null>((resolve) => {
      here.watch?.((hint) => hint.kind === 'stream' && resolve(page(0)));
    });
    await held.apply({ chunks: [{ stream: 'out', chunks: [bytes('a'), bytes('b')] }] });
    const { chunks = [], ...rest } = (await read) ?? {};
    expect([texts(chunks), rest]).toEqual([['a', 'b'], { from: 0, tail: 2, closed: false }]);
    expect(sent.filter((text) => text.includes('trimmed_by'))).toEqual([]);
    const other = holder(there, { run: (await there.get(held.id)) as Run, token: held.token });
    await other.apply({ id: 'other/1', chunks: [{ stream: 'out', chunks: [bytes('c')] }] });
    expect(texts((await page(0))?.chunks ?? [])).toEqual(['a', 'b', 'c']);
    await here.close();
    await close();
  });

  it('what is claimed as it is started or woken is told to nobody as due', async () => {
    const store = open({ schema: newSchema() });
    const hints: Hint[] = [];
    store.watch?.((hint) => hints.push(hint));
    const claim = { nonce: 'n', leaseMs: 60_000, queues: [QUEUE] };
    const [started] = await store.start([newRun({ thread: 't' })], claim);
    if (started?.kind !== 'created' || started.token === null) throw new Error('It was not claimed.');
    await holder(store, { run: started.run, token: started.token }).apply({ then: { kind: 'wait', dueAt: null } });
    const [woken] = await store.deliver([{ to: { run: 'run_1' }, id: 'm', payload: bytes('m') }], claim);
    expect(woken).toMatchObject({ kind: 'ok', claimed: { claim: { run: { status: 'running', epoch: 2 } } } });
    await Promise.resolve();
    expect(hints.map(({ kind }) => kind)).not.toContain('due');
    expect(hints.map(({ kind }) => kind)).toContain('thread');
  });

  it('a hook that wakes a run of this process is delivered and journaled: two round trips', async () => {
    const { client, sent, close } = countingClient();
    let ask: (token: string) => void = () => undefined;
    const asked = new Promise<string>((resolve) => (ask = resolve));
    let sentBefore = 0;
    let sentUntilThen: string[] = [];
    const waits = workflow('waits', async () => {
      const hook = createHook();
      ask(hook.token);
      await hook;
      sentUntilThen = sent.slice(sentBefore);
    });
    const runtime = createRuntime({ store: open({ schema: newSchema(), client }), workflows: [waits], logger: silent });
    const run = await runtime.start(waits);
    const token = await asked;
    await eventually(async () => (await run.status) === 'waiting' || undefined);
    sentBefore = sent.length;
    await runtime.resumeHook(token, { ok: true });
    await run.result();
    await runtime.close();
    await close();
    const names = sentUntilThen.map(
      (text) => /(full_hooks|deliver_all|commit_runs|moved AS|AS MATERIALIZED|claim_runs)/.exec(text)?.[0],
    );
    expect(names.filter((name) => name !== undefined)).toEqual(['deliver_all', 'moved AS']);
  });

  it('what is started at once is one statement, and what cannot be stored fails alone', async () => {
    const { client, sent, close } = countingClient();
    const store = open({ schema: newSchema(), client });
    await store.get('run_1');
    const started = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        store.start([newRun({ id: `run_${index}` })], { nonce: `n${index}`, leaseMs: 60_000 }),
      ),
    );
    expect(
      started.map(([answer]) => (answer?.kind === 'created' ? [answer.run.id, answer.token?.nonce] : null)),
    ).toEqual(started.map((_, index) => [`run_${index}`, `n${index}`]));
    expect(sent.filter((text) => text.includes('start_runs'))).toHaveLength(1);
    const tooLong = store.start([newRun({ id: 'x'.repeat(10_000).replaceAll('x', () => Math.random().toString(36)) })]);
    const others = [store.start([newRun({ id: 'a' })]), store.start([newRun({ id: 'b' })])];
    expect((await failure(() => tooLong)).code).toBe('store_unavailable');
    expect((await Promise.all(others)).map(([answer]) => answer?.kind)).toEqual(['created', 'created']);
    await store.close();
    await close();
  });

  it('runs asked for at once are one statement, each answered in its place, and what cannot be read fails alone', async () => {
    const schema = newSchema();
    const { client, sent, close } = countingClient();
    const store = open({ schema, client });
    const ids = Array.from({ length: 20 }, (_, index) => `run_${index} "{,}" \0`);
    await store.start(ids.map((id) => newRun({ id })));
    sent.length = 0;
    const asked = [...ids.toReversed(), 'none', ...ids];
    const found = await Promise.all(asked.map((id) => store.get(id)));
    expect(found.map((run) => run?.id)).toEqual(asked.map((id) => (id === 'none' ? undefined : id)));
    expect(sent).toHaveLength(1);
    await store.start([newRun({ id: 'damaged' })]);
    await server.query(
      `CREATE OR REPLACE VIEW ${schema}.full_runs AS SELECT r.*, p.input, p.attributes, p.result, p.error,
        (CASE WHEN r.id = 'damaged' THEN 1 / (length(r.id) - 7) END)::text AS park_code, p.park_details
        FROM ${schema}.runs r JOIN ${schema}.payloads p ON p.run = r.key`,
    );
    const damaged = store.get('damaged');
    const others = [store.get(ids[0] ?? ''), store.get('none')];
    expect((await failure(() => damaged)).code).toBe('store_unavailable');
    expect((await Promise.all(others)).map((run) => run?.id)).toEqual([ids[0], undefined]);
    await store.close();
    await close();
  });

  it('processes that start the same runs at once, in other orders, wait for each other and do not collide', async () => {
    const schema = newSchema();
    await migratePostgres({ connectionString: server.url, schema });
    const blocker = new Pool({ connectionString: server.url, max: 1 });
    const session = await blocker.connect();
    await session.query(`BEGIN; INSERT INTO ${schema}.runs (id, status, queue, workflow, version, input_hash, created_at, updated_at)
      VALUES ('b', 'ready', 'q', 'w', '1', '', 0, 0)`);
    const processes = [countingClient(), countingClient()];
    const orders = [
      ['a', 'b', 'c'],
      ['c', 'b', 'a'],
    ];
    const started = processes.map(async ({ client }, index) =>
      open({ schema, client }).start((orders[index] ?? []).map((id) => newRun({ id }))),
    );
    await eventually(async () => (await waitingFor('%start_runs%')) === 2 || undefined);
    await session.query('ROLLBACK');
    session.release();
    await blocker.end();
    const kinds = (await Promise.all(started)).map((answers) => answers.map((answer) => answer.kind).join(' '));
    expect(kinds.toSorted()).toEqual(['created created created', 'exists exists exists']);
    // One that had collided would have been sent again.
    expect(processes.flatMap(({ sent }) => sent.filter((text) => text.includes('start_runs')))).toHaveLength(2);
    await Promise.all(stores.map((store) => store.close()));
    await Promise.all(processes.map(({ close }) => close()));
  });

  it('a step is one round trip', async () => {
    const schema = newSchema();
    const { client, sent, close } = countingClient();
    const steps = workflow('steps', async () => {
      for (let index = 0; index < 30; index += 1) await step('go', () => index);
    });
    const runtime = createRuntime({ store: open({ schema, client }), workflows: [steps], logger: silent });
    await (await runtime.start(steps)).result();
    const commits = sent.filter((text) => /commit_runs|moved AS/.test(text)).length;
    await runtime.close();
    await close();
    // One for each step, and one for the end.
    expect([commits >= 30, commits <= 31]).toEqual([true, true]);
    expect(sent.length - commits).toBeLessThan(20);
  });
});

/** A pool that remembers what it was asked. */
function countingClient(): { client: PostgresPool; sent: string[]; close: () => Promise<void> } {
  const pool = new Pool({ connectionString: server.url, max: 4 });
  const sent: string[] = [];
  const client: PostgresPool = {
    connect: () => pool.connect(),
    end: () => pool.end(),
    query(query) {
      sent.push(typeof query === 'string' ? query : query.text);
      return (pool as PostgresPool).query(query);
    },
  };
  return { client, sent, close: () => pool.end() };
}

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

async function hold(store: Store, change: Parameters<typeof newRun>[0] = {}) {
  const run = newRun(change);
  await startOne(store, { ...change, queue: `${run.id}@1` });
  const { claims } = await claimOne(store, { nonce: `n ${run.id}`, queues: [`${run.id}@1`] });
  const [claim] = claims;
  if (claim === undefined) throw new Error('It was not claimed.');
  return holder(store, claim);
}
