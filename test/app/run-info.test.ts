import { inspect } from 'node:util';
import { createHook, createRuntime, DurableAgent, FatalError, step, workflow } from 'everturn';
import type { Store } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createApp } from 'everturn/server';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { tool } from 'ai';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { encodeText } from '../../src/runtime/codec.ts';
import { collectLogs } from '../../src/testing/logs.ts';
import type { LogLine } from '../../src/testing/logs.ts';

const double = workflow('double', async (n: number) => ({ at: new Date(n), twice: 2 * n }));
const torn = workflow('torn', () =>
  step('reach', () => {
    throw new FatalError('the warehouse is on fire');
  }),
);
const paid = (first: string) =>
  workflow('paid', async () => {
    await step(first, () => 1);
    return createHook<string>({ token: 'paid' });
  });

const DAMAGED = encodeText('[[', 'a test');

/** A store over another whose rows of one run are damaged. */
function damaging(inner: Store, run: string): Store {
  const spoil = <T extends { run?: string; id: string }>(row: T): T =>
    (row.run ?? row.id) === run ? { ...row, input: DAMAGED, result: DAMAGED, details: DAMAGED } : row;
  return {
    ...inner,
    get: async (id) => {
      const row = await inner.get(id);
      return row === null ? null : spoil(row);
    },
    list: async (query) => {
      const page = await inner.list(query);
      return { ...page, items: page.items.map(spoil) };
    },
    ledger: async (query) => {
      const page = await inner.ledger(query);
      return { ...page, items: page.items.map(spoil) };
    },
    listHooks: async (query) => {
      const page = await inner.listHooks(query);
      return { ...page, items: page.items.map((hook) => (hook.run === run ? { ...hook, details: DAMAGED } : hook)) };
    },
  };
}

it('a run is read with its input and its result as values', async () => {
  await using runtime = disposable(createTestRuntime({ workflows: [double] }));
  const run = await runtime.start(double, { input: 21, id: 'd', attributes: { plan: 'pro' } });
  await run.result();
  const expected = { id: 'd', status: 'completed', input: 21, result: { at: new Date(21), twice: 42 }, error: null };
  expect(await run.info()).toMatchObject({ ...expected, attributes: { plan: 'pro' }, parked: null });
  expect((await runtime.list()).items).toMatchObject([expected]);
  expect(inspect(await run.info())).toContain('twice: 42');
});

it('a failed run says its code, its message, and what was thrown', async () => {
  await using runtime = disposable(createTestRuntime({ workflows: [torn] }));
  const run = await runtime.start(torn);
  await run.result().catch(() => {});
  const { error, result } = await run.info();
  expect(error).toMatchObject({ code: 'run_failed', message: 'the warehouse is on fire' });
  expect(FatalError.is(error?.cause)).toBe(true);
  expect(result).toBeUndefined();
});

it('what is secret or the store’s own is not in a row', async () => {
  await using runtime = disposable(createTestRuntime({ workflows: [double], secret: 's' }));
  const run = await runtime.start(double, { input: 21 });
  await run.result();
  const row = await runtime.store.get(run.id);
  const text = JSON.stringify(await run.info());
  expect(row?.inputHash).toMatch(/^\w/);
  expect(text).not.toContain(row?.inputHash);
  expect(Object.keys(await run.info())).not.toEqual(
    expect.arrayContaining([expect.stringMatching(/nonce|hash|token/i)]),
  );
});

it('a parked run says why, as a value', async () => {
  await using runtime = disposable(createTestRuntime({ workflows: [paid('reserve')] }));
  const run = await runtime.start('paid');
  await runtime.until(run, 'waiting');
  await runtime.restart({ workflows: [paid('renamed')] });
  await runtime.resumeHook('paid', 'yes');
  await runtime.clock.advance('1 minute');
  await runtime.until(run, 'parked');
  expect((await run.info()).parked).toMatchObject({ code: 'divergence', details: { key: expect.any(String) } });
});

it('one damaged row hides no other, and says that it is damaged', async () => {
  const inner = memoryStore();
  const runtime = createRuntime({ store: damaging(inner, 'bad'), workflows: [double], logger: collectLogs([]) });
  for (const id of ['good', 'bad']) {
    await runtime.start(double, { input: 1, id });
    await runtime.getRun(id).status;
  }
  await runtime.getRun('good').result();
  await expect(runtime.getRun('bad').result()).rejects.toMatchObject({ code: 'value_corrupt' });
  const { items } = await runtime.list();
  const [bad, good] = items;
  expect(good).toMatchObject({ id: 'good', input: 1, result: { twice: 2 } });
  expect(bad).toMatchObject({ id: 'bad', status: 'completed', input: { code: 'value_corrupt' } });
  expect(bad?.result).toMatchObject({ code: 'value_corrupt' });
  await runtime.close();
});

it('a damaged row hides no other over HTTP either, and its page says what is damaged', async () => {
  const inner = memoryStore();
  const runtime = createRuntime({
    store: damaging(inner, 'bad'),
    agents: { asker: newAsker() },
    workflows: [double],
    logger: collectLogs([]),
  });
  const app = createApp(runtime, { authorize: () => ({ id: 'ann' }) });
  for (const id of ['good', 'bad']) await runtime.start(double, { input: 1, id });
  await runtime.getRun('good').result();
  await runtime
    .getRun('bad')
    .result()
    .catch(() => {});
  const list = (await (await app.request('/api/runs')).json()) as { items: Array<{ id: string }> };
  expect(list.items.map(({ id }) => id)).toEqual(['bad', 'good']);
  const response = await app.request('/api/runs/bad');
  expect([response.status, await response.json()]).toMatchObject([
    200,
    { id: 'bad', status: 'completed', input: { code: 'value_corrupt' }, result: { code: 'value_corrupt' } },
  ]);
  await runtime.close();
});

function newAsker() {
  return new DurableAgent({
    model: scriptedModel(() => ({ toolCalls: [{ toolName: 'pay', input: { euros: 5 } }] })),
    tools: { pay: tool({ inputSchema: z.object({ euros: z.number() }), needsApproval: true, execute: () => 'paid' }) },
  });
}

it('the ledger has the usage as a value, and an approval that cannot be read leaves the others in the list', async () => {
  const inner = memoryStore();
  const lines: LogLine[] = [];
  const first = createRuntime({
    store: { ...inner, close: async () => {} },
    agents: { asker: newAsker() },
    logger: collectLogs(lines),
  });
  for (const id of ['good', 'bad']) {
    await first.start('asker', { prompt: 'pay', id });
  }
  await expect.poll(async () => (await first.list({ status: ['waiting'] })).items.length).toBe(2);
  await first.close();
  const runtime = createRuntime({ store: damaging(inner, 'bad'), worker: false, logger: collectLogs(lines) });
  expect((await runtime.approvals.list()).items.map(({ run }) => run)).toEqual(['good']);
  expect(lines).toContainEqual(expect.objectContaining({ level: 'warn', code: 'value_corrupt', run: 'bad' }));
  expect(await runtime.getRun('bad').waits()).toEqual([{ kind: 'hook', key: expect.any(String) }]);
  const { items } = await runtime.ledger();
  expect(items.find(({ run }) => run === 'good')?.details).toMatchObject({ inputTokens: { total: 10 } });
  expect(items.find(({ run }) => run === 'bad')?.details).toMatchObject({ code: 'value_corrupt' });
  await runtime.close();
});

function disposable<T extends { close(): Promise<void> }>(closable: T): T & AsyncDisposable {
  return Object.assign(closable, { [Symbol.asyncDispose]: () => closable.close() });
}
