import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createRuntime } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { storeFolder } from '../stores/sqlite-file.ts';
import { callEverturn, everturn, startEverturn } from './everturn.ts';
import type { Outcome } from './everturn.ts';

let folder: ReturnType<typeof storeFolder>;
beforeEach(() => {
  folder = storeFolder();
});
afterEach(() => folder.remove());

interface Failure {
  error: { code: string; message: string; details: Record<string, unknown> };
}

const errorOf = (outcome: Outcome): Failure['error'] => (outcome.json() as Failure).error;

async function emptyStore(): Promise<void> {
  await createRuntime({ store: sqliteStore(folder.path), worker: false }).close();
}

describe('misuse of the command line ends with 2', () => {
  const NO_STORE = '/there/is/none.db';
  it.each<[what: string, args: string[], says: RegExp]>([
    ['no command', [], /No command/],
    ['a group alone', ['inspect'], /No command/],
    ['an unknown command', ['inspekt'], /unknown command 'inspekt'/],
    ['an unknown option', ['inspect', 'runs', '--all'], /unknown option '--all'/],
    ['no id', ['approve'], /missing required argument 'id'/],
    ['a denial without a reason', ['deny', 'apr_1'], /'--reason <text>' not specified/],
    ['input that is no JSON', ['approve', 'apr_1', '--input', '{amount: 20}'], /It is not JSON .*Quote it/],
    ['an unknown status', ['inspect', 'runs', '--status', 'done'], /Statuses are queued, .*cancelled/],
    ['an attribute without a value', ['inspect', 'runs', '--attribute', 'plan'], /name=value/],
    ['a time that is none', ['inspect', 'runs', '--since', 'yesterday'], /how long ago/],
    ['a limit that is none', ['inspect', 'runs', '--limit', '0'], /from 1 to 500/],
    ['a cursor that is none', ['inspect', 'runs', '--cursor', 'x'], /the page before/],
  ])('%s', async (_, args, says) => {
    const plain = await callEverturn([...args, '--store', NO_STORE]);
    expect([plain.code, plain.stdout]).toEqual([2, '']);
    if (args.length > 1) expect(plain.stderr).toMatch(says);
    const json = await callEverturn([...args, '--json', '--store', NO_STORE]);
    expect([json.code, json.stderr]).toEqual([2, '']);
    expect(errorOf(json)).toEqual({
      code: 'invalid_argument',
      message: expect.stringMatching(says) as string,
      details: {},
    });
  });

  it.each<[what: string, store: string[], says: RegExp]>([
    ['no store', [], /pass --store <url>, or set EVERTURN_STORE/],
    ['an unknown scheme', ['--store', 'mysql://me:secret@host/db'], /"mysql:" are not supported .*Write a path/],
    ['a scheme without a path', ['--store', 'sqlite:'], /no path/],
    ['memory', ['--store', ':memory:'], /its own process/],
  ])('%s', async (_, store, says) => {
    const { code, stderr } = await callEverturn(['inspect', 'runs', ...store]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(says)]);
    expect(stderr).not.toContain('secret');
  });

  it('without a command the help says what there is', async () => {
    const { code, stderr } = await startEverturn([]).ended;
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^Usage: everturn .*\n[^]*approve .*\n[^]*resume/)]);
  });
});

it('help and the version are no misuse', async () => {
  const help = await startEverturn(['approve', '--help']).ended;
  expect([help.code, help.stdout]).toEqual([0, expect.stringContaining('--input <json>')]);
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect((await startEverturn(['--version']).ended).stdout).toBe(`${version}\n`);
});

describe('an id that is unknown', () => {
  it.each<[args: string[], code: string]>([
    [['inspect', 'run', 'nobody'], 'run_not_found'],
    [['inspect', 'events', 'nobody'], 'run_not_found'],
    [['inspect', 'events', 'nobody', '--follow'], 'run_not_found'],
    [['cancel', 'nobody'], 'run_not_found'],
    [['resume', 'nobody'], 'run_not_found'],
    [['approve', 'nobody'], 'approval_not_found'],
    [['approve', 'nobody', '--input', '{}'], 'approval_not_found'],
    [['deny', 'nobody', '--reason', 'no'], 'approval_not_found'],
  ])('is refused by %j', async (args, code) => {
    await emptyStore();
    const plain = await callEverturn([...args, '--store', folder.path]);
    expect([plain.code, plain.stdout]).toEqual([1, '']);
    expect(plain.stderr).toMatch(new RegExp(`^error: .*"nobody".*#${code}\\)\n$`));
    const json = await callEverturn([...args, '--json', '--store', folder.path]);
    expect([json.code, json.stderr]).toEqual([1, '']);
    expect(errorOf(json)).toMatchObject({ code, message: expect.stringContaining('"nobody"') as string });
  });
});

describe('a store', () => {
  const runs = (): Promise<Outcome> => everturn(folder.path, ['inspect', 'runs', '--json']);

  it('that is not there is not made', async () => {
    const outcome = await runs();
    expect([outcome.code, errorOf(outcome).code, errorOf(outcome).details]).toEqual([
      1,
      'store_unavailable',
      { path: folder.path },
    ]);
    expect(readdirSync(folder.folder)).toEqual([]);
  });

  it('whose file is empty stays empty', async () => {
    writeFileSync(folder.path, '');
    expect(errorOf(await runs())).toMatchObject({
      code: 'store_unavailable',
      message: expect.stringContaining('empty') as string,
    });
    expect(statSync(folder.path).size).toBe(0);
  });

  it('of a newer release is left alone', async () => {
    await emptyStore();
    const db = new DatabaseSync(folder.path);
    db.exec('PRAGMA user_version = 99');
    db.close();
    const outcome = await runs();
    expect([outcome.code, errorOf(outcome)]).toMatchObject([1, { code: 'store_newer', details: { found: 99 } }]);
  });

  it('that is none says so', async () => {
    writeFileSync(folder.path, 'x'.repeat(10_000));
    expect(errorOf(await runs()).code).toBe('store_corrupt');
    const other = join(folder.folder, 'other.db');
    const db = new DatabaseSync(other);
    db.exec('CREATE TABLE customers (id)');
    db.close();
    expect(errorOf(await everturn(other, ['inspect', 'runs', '--json'])).code).toBe('invalid_argument');
  });

  it('is left without a trace of the command line', async () => {
    await emptyStore();
    const files = readdirSync(folder.folder);
    expect((await everturn(folder.path, ['inspect', 'approvals'])).stdout).toBe('Nothing waits for a person.\n');
    expect(readdirSync(folder.folder)).toEqual(files);
    expect(existsSync(`${folder.path}.lock`)).toBe(false);
  });
});
