import { DurableError } from 'everturn';
import { createApp } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import type { TestRuntime } from 'everturn/testing';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { callEverturn } from '../cli/everturn.ts';
import { storeFolder } from '../stores/sqlite-file.ts';
import { createWorker, start } from './kit.ts';

interface Row {
  id: string;
  run: string;
  nanoUsd: number;
  toolCalls: number;
}

/** Runs of two tenants, and one of none. */
async function work(runtime: TestRuntime, worker: ReturnType<typeof createWorker>): Promise<void> {
  for (const [id, tenant, thread] of [
    ['x1', 'x', 't'],
    ['x2', 'x', 't'],
    ['y1', 'y', 't'],
    ['n1', undefined, '=1+1,"a"'],
  ] as const)
    await (
      await runtime.start(worker.agent, { id, prompt: 'dig', thread, ...(tenant === undefined ? {} : { tenant }) })
    ).result();
}

describe('the ledger over HTTP', () => {
  let get: (path: string, headers?: Record<string, string>) => Promise<Response>;
  const seen: unknown[] = [];
  beforeEach(async () => {
    const worker = createWorker({ turns: [2, 0], durable: {} });
    const runtime = start(worker);
    await work(runtime, worker);
    const app = createApp(runtime, {
      authorize: (request, access) => {
        seen.push(access);
        const tenant = request.headers.get('x-tenant');
        return { id: 'ann', ...(tenant === null ? {} : { tenant }) };
      },
    });
    get = async (path, headers = { 'x-tenant': 'x' }) => app.request(`http://localhost/api${path}`, { headers });
  });

  it('is that of the tenant who asks, in pages', async () => {
    const rows: Row[] = [];
    let cursor: string | null = '0';
    for (let pages = 0; cursor !== null; pages += 1) {
      expect(pages).toBeLessThan(3);
      const page = (await (await get(`/ledger?limit=3&cursor=${cursor}`)).json()) as {
        items: Row[];
        cursor: string | null;
      };
      rows.push(...page.items);
      ({ cursor } = page);
    }
    expect(rows.map(({ id }) => id)).toEqual([
      'x1/agent#0/t0/1',
      'x1/agent#0/t1/1',
      'x2/agent#0/t0/1',
      'x2/agent#0/t1/1',
    ]);
    expect(rows[0]).toMatchObject({
      run: 'x1',
      thread: 't',
      tenant: 'x',
      turn: 'agent#0/t0',
      model: 'dear',
      toolCalls: 2,
      nanoUsd: 2_000_000,
    });
    expect((await (await get('/ledger?run=y1')).json()) as object).toMatchObject({ items: [] });
  });

  it('comes as lines where they are asked for, all of them', async () => {
    const response = await get('/ledger?thread=t', { 'x-tenant': 'x', accept: 'application/x-ndjson' });
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    const lines = (await response.text()).trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as Row).run)).toEqual(['x1', 'x1', 'x2', 'x2']);
  });

  it('is summed for a run, a thread and the tenant, and for nobody else', async () => {
    const month = new Date().toISOString().slice(0, 7);
    const totals = async (query: string, headers?: Record<string, string>) => {
      const answer = (await (await get(`/ledger/totals?${query}`, headers)).json()) as {
        turns?: number;
        error?: { code: string };
      };
      return answer.turns ?? answer.error?.code;
    };
    expect(await totals('run=x1')).toBe(2);
    expect(await totals('run=y1')).toBe('run_not_found');
    expect(await totals('thread=t')).toBe(4);
    expect(await totals('')).toBe(4);
    expect(await totals('period=1970-01')).toBe(0);
    expect(await totals('period=soon')).toBe('invalid_argument');
    expect(await totals('run=x1&thread=t')).toBe('invalid_argument');
    expect(await totals('', {})).toBe('invalid_argument');
    expect(month).toMatch(/^\d{4}-\d{2}$/);
    expect(seen).toContainEqual({ action: 'ledger.read', runId: 'x1', threadId: 't' });
  });
});

describe('everturn inspect ledger', () => {
  async function filled(): Promise<string> {
    const folder = storeFolder();
    onTestFinished(() => folder.remove());
    const worker = createWorker({ turns: [2, 0], durable: {} });
    const store = sqliteStore(folder.path);
    const runtime = start(worker, { store });
    await work(runtime, worker);
    await runtime.close();
    await store.close().catch((error: unknown) => expect(DurableError.is(error)).toBe(true));
    return folder.path;
  }

  it('shows what a run used, and its sum', async () => {
    const { code, stdout } = await callEverturn(['inspect', 'ledger', '--run', 'x1', '--store', await filled()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/agent#0\/t0 +dear +completed +100 +10 +2 +0\.002000/);
    expect(stdout).toContain('In all: 2 turns in 2 attempts, 200 tokens in, 20 out, 2 tool calls, $0.004000.');
  });

  it('exports all rows as CSV and as lines, the same ids each time', async () => {
    const path = await filled();
    const csv = (await callEverturn(['inspect', 'ledger', '--csv', '--store', path])).stdout.split('\r\n');
    expect(csv[0]).toBe(
      'id,at,run,thread,tenant,turn,attempt,provider,model,outcome,inputTokens,outputTokens,toolCalls,nanoUsd',
    );
    expect(csv).toHaveLength(10);
    expect(csv[7]).toContain(`n1,"'=1+1,""a""",,agent#0/t0,1,scripted,dear,completed,100,10,2,2000000`);
    const lines = (await callEverturn(['inspect', 'ledger', '--ndjson', '--store', path])).stdout.trimEnd().split('\n');
    const ids = lines.map((line) => (JSON.parse(line) as Row).id);
    expect(csv.slice(1, 9).map((line) => line.split(',')[0])).toEqual(ids);
    const json = (
      await callEverturn(['inspect', 'ledger', '--tenant', 'x', '--json', '--store', path])
    ).json() as unknown as {
      items: Row[];
      totals: { turns: number };
    };
    expect([json.items.map(({ id }) => id), json.totals.turns]).toEqual([ids.slice(0, 4), 4]);
  });
});

describe('the sums of the ledger', () => {
  it.each([
    {},
    null,
    { run: 1 },
    { thread: 't' },
    { run: 'r', tenant: 'x' },
    { tenant: 'x', period: '2026-13' },
    { thread: 't', tenant: 'x', period: '2026-11' },
  ])('are refused for %j', async (scope) => {
    const runtime = start(createWorker({ turns: [0], durable: {} }));
    await expect(runtime.ledgerTotals(scope as never)).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});
