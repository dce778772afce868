/** `ledger` and `ledgerTotals`. */

import assert from 'node:assert/strict';
import type { LedgerScope, LedgerTotals, Store } from '../../runtime/store.ts';
import { bytes, COMPLETED, describeOperation, everyPage, ledgerRow, only, text } from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

/** Specs of the ledger. */
export const describeLedger: DescribeOperation = describeOperation('ledger', (spec) => {
  rows(spec);
  totals(spec);
  scopes(spec);
  counting(spec);
});

function rows({ test }: Spec): void {
  test('ledger rows come oldest first, filtered and in pages, with all that they were given', async ({
    store,
    hold,
  }) => {
    const held = await hold();
    const row = {
      run: held.id,
      thread: 't',
      tenant: null,
      key: 'turn',
      attempt: 1,
      provider: 'p',
      model: 'm',
      outcome: 'unknown',
      inputTokens: null,
      outputTokens: 7,
      toolCalls: 2,
      nanoUsd: 1_250_000_000_000,
      details: bytes('d'),
      at: 5,
    } as const;
    await held.apply({ ledger: ['a', 'b', 'c'].map((id) => ({ ...row, id, tenant: id === 'b' ? 'x' : null })) });
    const { items } = await store.ledger({ run: held.id });
    const first = items[0];
    assert.ok(first !== undefined);
    assert.deepEqual({ ...first, details: text(first.details) }, { ...row, id: 'a', details: 'd' });
    assert.deepEqual(
      (await store.ledger({ tenant: 'x' })).items.map(({ id }) => id),
      ['b'],
    );
    assert.deepEqual((await store.ledger({ thread: 'u' })).items, []);
    const paged = await everyPage((cursor) => store.ledger({ limit: 2, ...(cursor === undefined ? {} : { cursor }) }));
    assert.deepEqual([paged.items.map(({ id }) => id), paged.pages], [['a', 'b', 'c'], 2]);
  });
}

const NOTHING: LedgerTotals = {
  attempts: 0,
  turns: 0,
  toolCalls: 0,
  inputTokens: 0,
  outputTokens: 0,
  nanoUsd: 0,
  unpriced: 0,
};

async function totalsOf(store: Store, scope: LedgerScope): Promise<LedgerTotals> {
  return only(await store.ledgerTotals([scope]));
}

/** S40 */
function totals({ test }: Spec): void {
  test('totals are the sums of the rows, and what a row does not know counts as nothing', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({
      ledger: [
        ledgerRow({ id: 'a', inputTokens: 10, outputTokens: 5, toolCalls: 2, nanoUsd: 7_000_000_001 }),
        ledgerRow({ id: 'b', outcome: 'unknown', inputTokens: null, outputTokens: null }),
        ledgerRow({ id: 'c', outcome: 'failed', inputTokens: 3, outputTokens: null, nanoUsd: 2 }),
        ledgerRow({ id: 'd', run: 'other', inputTokens: 100 }),
      ],
    });
    assert.deepEqual(await totalsOf(store, { run: 'run_1' }), {
      attempts: 3,
      turns: 1,
      toolCalls: 2,
      inputTokens: 13,
      outputTokens: 5,
      nanoUsd: 7_000_000_003,
      unpriced: 1,
    });
  });

  test('scopes are answered in the order in which they are asked, and those without rows have zeros', async (kit) => {
    const held = await kit.hold();
    await held.apply({ ledger: [ledgerRow({ id: 'a', thread: 't', inputTokens: 4 })] });
    const answers = await kit.store.ledgerTotals([
      { tenant: 'nobody' },
      { thread: 't', tenant: null },
      { run: 'none' },
      { tenant: 'nobody', period: '2026-11' },
    ]);
    assert.deepEqual(answers, [
      NOTHING,
      { ...NOTHING, attempts: 1, turns: 1, inputTokens: 4, unpriced: 1 },
      NOTHING,
      NOTHING,
    ]);
    assert.deepEqual(await kit.store.ledgerTotals([]), []);
  });
}

/** S40 */
function scopes({ test }: Spec): void {
  test('a thread is summed for its own tenant, and a tenant over its threads and runs', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({
      ledger: [
        ledgerRow({ id: 'a', thread: 't', tenant: 'x', inputTokens: 1 }),
        ledgerRow({ id: 'b', thread: 't', tenant: 'y', inputTokens: 10 }),
        ledgerRow({ id: 'c', thread: 't', inputTokens: 100 }),
        ledgerRow({ id: 'd', tenant: 'x', inputTokens: 1_000 }),
        ledgerRow({ id: 'e', thread: '["t"', tenant: '', inputTokens: 10_000 }),
      ],
    });
    const sums = await store.ledgerTotals([
      { thread: 't', tenant: 'x' },
      { thread: 't', tenant: 'y' },
      { thread: 't', tenant: null },
      { tenant: 'x' },
      { tenant: '' },
    ]);
    assert.deepEqual(
      sums.map(({ inputTokens }) => inputTokens),
      [1, 10, 100, 1_001, 10_000],
    );
  });

  test('a period of a tenant is a day or a month in UTC', async ({ store, hold }) => {
    const held = await hold();
    const moments = {
      a: Date.UTC(2026, 9, 31, 23, 59, 59, 999),
      b: Date.UTC(2026, 10, 1),
      c: Date.UTC(2026, 10, 30, 23, 59, 59, 999),
      d: Date.UTC(2026, 11, 1),
    };
    await held.apply({
      ledger: Object.entries(moments).map(([id, at]) => ledgerRow({ id, tenant: 'x', at, toolCalls: 1 })),
    });
    const periods = ['2026-10', '2026-11', '2026-12', '2026-11-01', '2026-11-30', '2026-11-02'];
    const sums = await store.ledgerTotals(periods.map((period) => ({ tenant: 'x', period })));
    assert.deepEqual(
      sums.map(({ toolCalls }) => toolCalls),
      [1, 2, 1, 1, 1, 0],
    );
  });
}

/** S15, S40 */
function counting({ test, timed, durable }: Spec): void {
  const all: LedgerScope[] = [
    { run: 'run_1' },
    { thread: 't', tenant: 'x' },
    { tenant: 'x' },
    { tenant: 'x', period: '1970-01' },
    { tenant: 'x', period: '1970-01-01' },
  ];
  const row = ledgerRow({ thread: 't', tenant: 'x', inputTokens: 5 });
  const turnsOf = async (store: Store): Promise<number[]> => (await store.ledgerTotals(all)).map(({ turns }) => turns);

  test('a row counts once, however often it is handed in', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ ledger: [row, row] });
    await held.apply({ ledger: [row, { ...row, inputTokens: 900 }] });
    assert.deepEqual(await turnsOf(store), [1, 1, 1, 1, 1]);
    assert.equal((await totalsOf(store, { tenant: 'x' })).inputTokens, 5);
  });

  test('what a refused commit brought does not count', async ({ store, hold }) => {
    const held = await hold();
    assert.equal((await held.commit({ expect: 7, ledger: [row] })).kind, 'moved');
    assert.deepEqual(await turnsOf(store), [0, 0, 0, 0, 0]);
  });

  test('rows of runs that commit at once all count', async ({ store, hold }) => {
    const ids = Array.from({ length: 12 }, (_, n) => `run_${n}`);
    const held = await Promise.all(ids.map((id) => hold({ id })));
    await Promise.all(
      held.flatMap(({ id, apply }) => [apply({ ledger: [{ ...row, id: `${id}/1`, run: id, inputTokens: 3 }] })]),
    );
    assert.deepEqual(await turnsOf(store), [1, 12, 12, 12, 12]);
    assert.equal((await totalsOf(store, { thread: 't', tenant: 'x' })).inputTokens, 36);
  });

  timed('rows of removed runs still count', async ({ store, hold, advance }) => {
    const held = await hold();
    await held.apply({ ledger: [row], then: COMPLETED });
    await advance(60_000);
    assert.equal(await store.gc({ olderThanMs: 1_000, limit: 10 }), 1);
    assert.deepEqual(await turnsOf(store), [1, 1, 1, 1, 1]);
  });

  durable("totals outlive the store's object", async ({ hold, reopen }) => {
    const held = await hold();
    await held.apply({ ledger: [row] });
    assert.deepEqual(await turnsOf(await reopen()), [1, 1, 1, 1, 1]);
  });
}
