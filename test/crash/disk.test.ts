import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createRuntime, DurableError, getStepMetadata, step, workflow } from 'everturn';
import type { Runtime, RuntimeOptions } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { collectLogs } from '../../src/testing/logs.ts';
import type { LogLine } from '../../src/testing/logs.ts';

const folder = mkdtempSync(join(tmpdir(), 'everturn-disk-'));
const opened: Runtime[] = [];
let files = 0;
afterEach(async () => {
  await Promise.all(opened.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
});
afterAll(() => rmSync(folder, { recursive: true }));

function freshFile(): string {
  files += 1;
  return join(folder, `runs-${files}.db`);
}

interface Opening extends Omit<RuntimeOptions, 'store' | 'logger'> {
  pragmas?: Record<string, number>;
}

function open(file: string, { pragmas = {}, ...options }: Opening): { runtime: Runtime; logs: LogLine[] } {
  const logs: LogLine[] = [];
  const runtime = createRuntime({ ...options, store: sqliteStore({ path: file, pragmas }), logger: collectLogs(logs) });
  opened.push(runtime);
  return { runtime, logs };
}

const STEPS = 40;

/** Steps with large results; each tells its attempt. */
function packing() {
  const attempts: number[][] = [];
  const pack = workflow('pack', async () => {
    for (let box = 0; box < STEPS; box += 1) {
      await step(`box-${box}`, () => {
        (attempts[box] ??= []).push(getStepMetadata().attempt);
        return 'x'.repeat(50_000);
      });
    }
    return 'packed';
  });
  return { pack, attempts };
}

const PAGE = 4_096;
const ballast = {
  /** Takes so many pages of the file. */
  load(file: string, pages: number): void {
    const db = new DatabaseSync(file);
    db.exec(`CREATE TABLE ballast (data); INSERT INTO ballast VALUES (zeroblob(${pages * PAGE}))`);
    db.close();
  },
  /** The file has room again. */
  drop(file: string): void {
    const db = new DatabaseSync(file);
    db.exec('PRAGMA busy_timeout = 2000; DROP TABLE ballast');
    db.close();
  },
};

describe('a run on a full disk', () => {
  const MAX_PAGES = 1_200;

  async function fullFile(): Promise<string> {
    const file = freshFile();
    await open(file, {}).runtime.list();
    await opened.pop()?.close();
    ballast.load(file, MAX_PAGES - 200);
    return file;
  }

  it('says so, goes on when there is room, and repeats no step', async () => {
    const file = await fullFile();
    const { pack, attempts } = packing();
    const { runtime, logs } = open(file, { workflows: [pack], pragmas: { max_page_count: MAX_PAGES } });
    const run = await runtime.start(pack);
    await expect.poll(() => logs.some(({ code }) => code === 'store_full'), { timeout: 10_000 }).toBe(true);
    expect(attempts.length).toBeGreaterThan(2);
    expect(attempts.length).toBeLessThan(STEPS);
    const refused = await runtime
      .start(pack, { id: 'another', attributes: { note: 'y'.repeat(500_000) } })
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({
      code: 'store_full',
      retryable: true,
      message: expect.stringContaining('Make room'),
    });
    ballast.drop(file);
    expect(await run.result()).toBe('packed');
    expect(attempts).toEqual(Array.from({ length: STEPS }, () => [1]));
    expect(logs.filter(({ code }) => code !== 'store_full')).toEqual([]);
  });

  it('that stays full for longer than the lease is given up, and goes on when there is room, the step in doubt under a higher attempt', async () => {
    const file = await fullFile();
    const { pack, attempts } = packing();
    const { runtime, logs } = open(file, {
      workflows: [pack],
      pragmas: { max_page_count: MAX_PAGES },
      worker: { leaseMs: 1_500 },
    });
    const run = await runtime.start(pack);
    await expect
      .poll(() => logs.some(({ message }) => message.includes('lease was lost')), { timeout: 10_000 })
      .toBe(true);
    const inDoubt = attempts.length - 1;
    ballast.drop(file);
    expect(await run.result()).toBe('packed');
    const rising = Array.from({ length: attempts[inDoubt]?.length ?? 0 }, (_, index) => index + 1);
    expect(rising.length).toBeGreaterThan(1);
    expect(attempts).toEqual(Array.from({ length: STEPS }, (_, box) => (box === inDoubt ? rising : [1])));
  });

  it('goes on in the next process, if its own ended meanwhile', async () => {
    const file = await fullFile();
    const { pack, attempts } = packing();
    const { runtime, logs } = open(file, { workflows: [pack], pragmas: { max_page_count: MAX_PAGES } });
    const { id } = await runtime.start(pack);
    await expect.poll(() => logs.some(({ code }) => code === 'store_full'), { timeout: 10_000 }).toBe(true);
    await runtime.close({ graceMs: 0 });
    const inDoubt = attempts.length - 1;
    ballast.drop(file);
    const { runtime: next } = open(file, { workflows: [pack] });
    expect(await next.getRun(id).result()).toBe('packed');
    expect(attempts.map((of) => of.length)).toEqual(
      Array.from({ length: STEPS }, (_, box) => (box === inDoubt ? 2 : 1)),
    );
  });
});

describe('a runtime on a file that cannot be written to', () => {
  it('says so in the log and to each caller, and answers what can be read', async () => {
    const file = freshFile();
    const { pack } = packing();
    const { runtime: writer } = open(file, { workflows: [pack] });
    const { id } = await writer.start(pack);
    await writer.getRun(id).result();
    await writer.close();

    const { runtime, logs } = open(file, { workflows: [pack], pragmas: { query_only: 1 } });
    const refused = await runtime.start(pack).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'store_read_only', message: expect.stringContaining('writable') });
    expect(await runtime.getRun(id).result()).toBe('packed');
    expect(logs.map(({ level, code }) => [level, code])).toContainEqual(['error', 'store_read_only']);
  });
});

describe('a journal that was damaged', () => {
  it('parks its run, with what is wrong, and lets the others go on', async () => {
    const file = freshFile();
    let hang = true;
    const flow = workflow('flow', async (name: string) => {
      await step('first', () => name);
      await step('second', () => (hang ? new Promise<never>(() => {}) : 'done'));
      return name;
    });
    const { runtime } = open(file, { workflows: [flow] });
    for (const id of ['hurt', 'sound']) {
      await runtime.start(flow, { id, input: id });
      await expect.poll(async () => (await runtime.getRun(id).events()).length).toBe(1);
    }
    await runtime.close({ graceMs: 0 });
    const db = new DatabaseSync(file);
    db.exec("UPDATE events SET data = CAST('{\"type\":' AS BLOB) WHERE run = (SELECT key FROM runs WHERE id = 'hurt')");
    db.close();

    hang = false;
    const { runtime: next, logs } = open(file, { workflows: [flow] });
    expect(await next.getRun('sound').result()).toBe('sound');
    const error = await next
      .getRun('hurt')
      .result()
      .catch((reason: unknown) => reason);
    expect(DurableError.is(error, 'run_parked')).toBe(true);
    expect(error).toMatchObject({ details: { parked: { code: 'value_corrupt' } } });
    expect(logs.filter(({ code }) => code === 'value_corrupt')).toMatchObject([{ level: 'error', run: 'hurt' }]);
  });
});
