import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DurableError } from '../../src/runtime/errors.ts';
import type { Store } from '../../src/runtime/store.ts';
import { sqliteStore } from '../../src/sqlite.ts';
import type { SqliteStoreOptions } from '../../src/sqlite.ts';
import { DUE_QUERIES } from '../../src/stores/sqlite/claim.ts';
import { LANE_QUERIES } from '../../src/stores/sqlite/lanes.ts';
import { PLAIN_UPDATE } from '../../src/stores/sqlite/commit.ts';
import { MIGRATIONS } from '../../src/stores/sqlite/migrations.ts';
import {
  bytes,
  claimOne,
  emptyCommit,
  holder,
  newHook,
  newRun,
  only,
  startOne,
} from '../../src/testing/store-suite/kit.ts';
import { storeFolder } from './sqlite-file.ts';

let folder: ReturnType<typeof storeFolder>;
let stores: Store[];

beforeEach(() => {
  folder = storeFolder();
  stores = [];
});

afterEach(async () => {
  for (const store of stores) await store.close();
  folder.remove();
});

function open(options: Partial<SqliteStoreOptions> = {}): Store {
  const store = sqliteStore({ path: folder.path, ...options });
  stores.push(store);
  return store;
}

async function failure(run: () => unknown): Promise<DurableError> {
  try {
    await run();
  } catch (error) {
    if (DurableError.is(error)) return error;
    throw error;
  }
  throw new Error('It did not fail.');
}

async function filledFile(): Promise<void> {
  const store = open();
  await store.start(
    Array.from({ length: 50 }, (_, index) => newRun({ id: `run_${index}`, input: new Uint8Array(2_000) })),
  );
  await store.close();
}

describe('a SQLite file of an earlier schema', () => {
  it('learns which of its hooks are questions and webhooks', async () => {
    const hooks = [
      ['hook', null],
      ['question', '?'],
      ['hook:webhook', null],
      ['webhook', null],
      ['webhook#1', null],
      ['turn#1/tool:c1/webhook:0123', null],
    ] as const;
    const store = open();
    await startOne(store);
    const { run, token } = only((await claimOne(store, { nonce: 'n' })).claims);
    const create = hooks.map(([key, tool]) => newHook({ tokenHash: key, key, tool }));
    await holder(store, { run, token }).apply({ hooks: { create, close: [] } });
    const db = new DatabaseSync(folder.path);
    db.exec('DROP INDEX questions');
    db.exec(MIGRATIONS.find((step) => step.includes("SET kind = 'question'")) ?? '');
    db.close();
    const kinds = await Promise.all(hooks.map(async ([key]) => (await store.hook(key))?.kind));
    expect(kinds).toEqual(['hook', 'question', 'hook', 'webhook', 'webhook', 'webhook']);
    expect((await store.hook('question'))?.tool).toBeNull();
  });
});

describe('a SQLite file that cannot be opened', () => {
  it('in a folder that is not there says so', async () => {
    const path = join(folder.folder, 'missing', 'runs.db');
    const error = await failure(() => open({ path }));
    expect([error.code, error.message]).toEqual(['store_unavailable', expect.stringContaining(`"${path}"`)]);
    expect(error.message).toContain('directory');
  });

  it('that is a folder says so', async () => {
    expect((await failure(() => open({ path: folder.folder }))).code).toBe('store_unavailable');
  });

  it('that is not SQLite is corrupt', async () => {
    writeFileSync(folder.path, 'x'.repeat(10_000));
    const error = await failure(() => open());
    expect([error.code, error.retryable]).toEqual(['store_corrupt', false]);
    expect(readFileSync(folder.path, 'utf8')).toBe('x'.repeat(10_000));
  });

  it('that was written by a newer release names both schemas, and is left as it is', async () => {
    await filledFile();
    const db = new DatabaseSync(folder.path);
    const known = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
    db.exec('PRAGMA user_version = 99');
    db.close();
    const error = await failure(() => open());
    expect(error.code).toBe('store_newer');
    expect(error.message).toMatch(new RegExp(`number 99 .* up to ${known}\\b`));
    expect(error.details).toMatchObject({ found: 99, known });
  });

  it("that is another application's database is refused and left as it is", async () => {
    const db = new DatabaseSync(folder.path);
    db.exec('CREATE TABLE customers (id)');
    expect((await failure(() => open())).code).toBe('invalid_argument');
    expect(db.prepare('SELECT name FROM sqlite_schema').all()).toHaveLength(1);
    db.close();
  });

  it('that cannot be written to is read-only', async () => {
    const error = await failure(() => open({ pragmas: { query_only: 1 } }));
    expect([error.code, error.message]).toEqual(['store_read_only', expect.stringContaining('writable')]);
  });
});

describe('a SQLite file that fails while it is open', () => {
  it('because it was damaged says that it is corrupt', async () => {
    await filledFile();
    const size = readFileSync(folder.path).length;
    const file = openSync(folder.path, 'r+');
    writeSync(file, new Uint8Array(size - 8_192).fill(0xff), 0, size - 8_192, 8_192);
    closeSync(file);
    const error = await failure(async () => open().get('run_1'));
    expect(error.code).toBe('store_corrupt');
    expect(error.message).toContain('backup');
  });

  it('because it was cut short says that it is corrupt', async () => {
    await filledFile();
    truncateSync(folder.path, 20_000);
    expect((await failure(async () => open().list({}))).code).toBe('store_corrupt');
  });

  it('because it became read-only refuses writes and answers reads', async () => {
    await filledFile();
    const store = open({ pragmas: { query_only: 1 } });
    const error = await failure(() => startOne(store, { id: 'new' }));
    expect([error.code, error.retryable]).toEqual(['store_read_only', false]);
    expect((await store.get('run_1'))?.id).toBe('run_1');
  });

  it('because the disk is full can be tried again when there is room, and has lost nothing', async () => {
    await filledFile();
    const store = open({ pragmas: { max_page_count: 60 } });
    const large = newRun({ id: 'large', input: new Uint8Array(500_000) });
    const error = await failure(() => store.start([large]));
    expect([error.code, error.retryable]).toEqual(['store_full', true]);
    expect(await store.get('large')).toBeNull();
    await startOne(store, { id: 'small' });
    await store.close();
    const roomy = open();
    expect((await roomy.start([large])).map(({ kind }) => kind)).toEqual(['created']);
    expect((await roomy.list({ limit: 100 })).items).toHaveLength(52);
  });

  it('because another process writes for too long can be tried again', async () => {
    const store = open({ busyTimeoutMs: 20 });
    const other = new DatabaseSync(folder.path);
    other.exec('BEGIN IMMEDIATE');
    const error = await failure(() => startOne(store));
    expect([error.code, error.retryable]).toEqual(['store_unavailable', true]);
    other.exec('ROLLBACK');
    other.close();
    await startOne(store);
  });
});

describe('a SQLite file of an older release', () => {
  it.each(MIGRATIONS.map((_, index) => index + 1))(
    'with schema %i is brought forward, and its runs go on',
    async (version) => {
      const old = new DatabaseSync(folder.path);
      for (const step of MIGRATIONS.slice(0, version)) old.exec(step);
      old.exec(`PRAGMA user_version = ${version}`);
      old.exec(`INSERT INTO runs
      (id, status, due_at, head, checkpoint, queue, workflow, version, thread, input_hash, created_at, updated_at)
      VALUES ('run_1', 'ready', 0, 2, 1, 'order@1', 'order', '1', 't', 'hash', 0, 0)`);
      old.exec("INSERT INTO payloads (run, input, attributes) VALUES (1, x'00', '{}')");
      old.exec("INSERT INTO events (run, seq, data) VALUES (1, 0, x'00'), (1, 1, x'01')");
      if (version > 1) old.exec('INSERT INTO checkpoints (run, seq) VALUES (1, 1)');
      old.close();
      const store = open();
      const [claim] = (await claimOne(store, { nonce: 'n' })).claims;
      if (claim === undefined) throw new Error('There is nothing to claim.');
      expect((await store.load('run_1'))?.events).toEqual([Uint8Array.of(1)]);
      await holder(store, claim).apply({ events: [bytes('e')], checkpoint: 2 });
      expect((await store.load('run_1'))?.checkpoints).toEqual([Uint8Array.of(1)]);
      expect((await store.start([newRun({ id: 'run_2', thread: 't' })]))[0]?.kind).toBe('busy');
    },
  );
});

describe('a thread in a SQLite file', () => {
  it.each([null, '', 'acme'])('of the tenant %j has one active run, whoever writes', async (tenant) => {
    const store = open();
    await startOne(store, { id: 'a', thread: 't', tenant });
    await startOne(store, { id: 'b', thread: 't', tenant, whenBusy: 'queue' });
    await startOne(store, { id: 'c', thread: 't', tenant: 'other' });
    const db = new DatabaseSync(folder.path);
    expect(() => db.exec("UPDATE runs SET status = 'waiting' WHERE id = 'b'")).toThrow(/UNIQUE/);
    db.exec(
      "UPDATE runs SET status = 'completed', ended_at = 0 WHERE id = 'a'; UPDATE runs SET status = 'ready' WHERE id = 'b'",
    );
    db.close();
  });
});

describe('writes that gather in one macrotask', () => {
  it('are one transaction', async () => {
    const store = open();
    const other = new DatabaseSync(folder.path);
    const version = () => Number(other.prepare('PRAGMA data_version').get()?.['data_version']);
    const seen = new Set<number>([version()]);
    const answers = Array.from({ length: 20 }, async (_, index) => {
      await startOne(store, { id: `run_${index}` });
      seen.add(version());
    });
    await Promise.all(answers);
    other.close();
    expect(seen.size).toBe(2);
  });

  it('do not stop each other when one of them cannot be written', async () => {
    const store = open();
    const unwritable = { not: 'bytes' } as unknown as Uint8Array;
    const answers = await Promise.allSettled([
      store.start([newRun({ id: 'a' })]),
      store.start([newRun({ id: 'bad', input: unwritable }), newRun({ id: 'b' })]),
      store.start([newRun({ id: 'c' })]),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((await store.list({})).items.map(({ id }) => id)).toEqual(['c', 'b', 'a']);
  });

  it('of which one failed half-way leave nothing of it', async () => {
    const store = open();
    const [started] = await store.start([newRun()], { nonce: 'n', leaseMs: 1_000 });
    if (started?.kind !== 'created' || started.token === null) throw new Error('It was not claimed.');
    const commit = emptyCommit({
      run: 'run_1',
      token: started.token,
      expect: 0,
      id: 'c',
      events: [bytes('e'), {} as unknown as Uint8Array],
    });
    await expect(store.commit([commit])).rejects.toThrow();
    expect(await store.load('run_1', 0)).toMatchObject({ events: [], run: { head: 0 } });
    expect((await store.commit([{ ...commit, events: [bytes('e')] }]))[0]?.kind).toBe('applied');
  });
});

describe('the plans of SQLite', () => {
  it('a claim looks only at the index of due runs, in its order', async () => {
    const store = open({ synchronous: 'normal' });
    for (let batch = 0; batch < 20; batch += 1) {
      const runs = Array.from({ length: 100 }, (_, index) =>
        newRun({ id: `run_${batch}_${index}`, queue: `q${index % 3}` }),
      );
      await store.start(runs);
    }
    await claimOne(store, { nonce: 'n', queues: ['q1'] });
    await store.close();
    const db = new DatabaseSync(folder.path);
    for (const analysis of ['', 'ANALYZE']) {
      db.exec(analysis);
      for (const sql of Object.values(DUE_QUERIES)) {
        const plan = db
          .prepare(`EXPLAIN QUERY PLAN ${sql}`)
          .all()
          .map((row) => String(row['detail']));
        expect(plan).toEqual([expect.stringMatching(/^SEARCH runs USING (COVERING )?INDEX runs_due \(queue=\?/)]);
      }
    }
    db.close();
  });

  it('a claim finds lanes through their indexes, and sorts none', async () => {
    await open().close();
    const db = new DatabaseSync(folder.path);
    for (const sql of Object.values(LANE_QUERIES)) {
      const plan = db
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .all()
        .map((row) => String(row['detail']));
      expect(plan[0]).toMatch(/^SEARCH lanes USING (COVERING )?INDEX lanes_\w+ \(/);
      expect(plan.filter((line) => /SCAN|TEMP B-TREE/.test(line))).toEqual([]);
    }
    db.close();
  });

  it('a plain step writes to one b-tree of runs: no index is touched', async () => {
    await open().close();
    const db = new DatabaseSync(folder.path);
    const opened = db
      .prepare(`EXPLAIN ${PLAIN_UPDATE}`)
      .all()
      .filter((row) => row['opcode'] === 'OpenWrite');
    db.close();
    expect(opened).toHaveLength(1);
  });
});

describe('durability settings', () => {
  it('are full unless said otherwise, and the capabilities tell', () => {
    expect(open().capabilities.durability).toBe('fsync');
    expect(open({ synchronous: 'normal' }).capabilities.durability).toBe('async');
    expect(open({ path: ':memory:' }).capabilities.durability).toBe('none');
  });
});
