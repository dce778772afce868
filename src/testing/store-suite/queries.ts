/** `get`, `list`, `backlog`, `thread`, `hook`, `listHooks`, `note` and `secret`. */

import assert from 'node:assert/strict';
import type { RunQuery, Store } from '../../runtime/store.ts';
import { bytes, COMPLETED, describeOperation, everyPage, newHook, newRun, startOne, text, texts } from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

/** Specs of the queries. */
export const describeQueries: DescribeOperation = describeOperation('queries', (spec) => {
  runs(spec);
  backlogs(spec);
  pages(spec);
  threads(spec);
  hooks(spec);
  secrets(spec);
});

async function ids(store: Store, query: RunQuery): Promise<string[]> {
  return (await store.list(query)).items.map(({ id }) => id);
}

function runs({ test, timed }: Spec): void {
  test('what is not there is null', async ({ store }) => {
    assert.deepEqual([await store.get('nobody'), await store.hook('nothing')], [null, null]);
    assert.deepEqual(await store.list({}), { items: [], cursor: null });
  });

  test('runs are filtered by each of their columns, newest first', async ({ store, hold }) => {
    await startOne(store, { id: 'a', tenant: 'x', attributes: { plan: 'pro', region: 'eu' } });
    await startOne(store, { id: 'b', workflow: 'other', thread: 't', attributes: { plan: 'pro' } });
    const child = await hold({ id: 'c', parent: { run: 'a', key: 'k' }, tenant: 'x' });
    await child.apply({ then: { kind: 'end', status: 'failed', result: null, error: null, errorCode: 'step_failed' } });
    assert.deepEqual(await ids(store, {}), ['c', 'b', 'a']);
    assert.deepEqual(await ids(store, { status: ['ready'] }), ['b', 'a']);
    assert.deepEqual(await ids(store, { status: ['failed', 'ready'] }), ['c', 'b', 'a']);
    assert.deepEqual(await ids(store, { status: [] }), []);
    assert.deepEqual(await ids(store, { workflow: 'other' }), ['b']);
    assert.deepEqual(await ids(store, { thread: 't' }), ['b']);
    assert.deepEqual(await ids(store, { tenant: 'x' }), ['c', 'a']);
    assert.deepEqual(await ids(store, { tenant: null }), ['b']);
    assert.deepEqual(await ids(store, { parent: 'a' }), ['c']);
    assert.deepEqual(await ids(store, { errorCode: 'step_failed' }), ['c']);
    assert.deepEqual(await ids(store, { attributes: { plan: 'pro' } }), ['b', 'a']);
    assert.deepEqual(await ids(store, { attributes: { plan: 'pro', region: 'eu' } }), ['a']);
    assert.deepEqual(await ids(store, { attributes: { plan: 'free' } }), []);
    assert.deepEqual(await ids(store, { tenant: 'x', status: ['ready'] }), ['a']);
  });

  timed('runs are filtered by the time of their creation', async ({ store, advance }) => {
    const first = await startOne(store, { id: 'a' });
    await advance(10);
    const second = await startOne(store, { id: 'b' });
    assert.deepEqual(await ids(store, { createdAfter: first.createdAt }), ['b']);
    assert.deepEqual(await ids(store, { createdBefore: second.createdAt }), ['a']);
  });
}

function backlogs({ test }: Spec): void {
  test('the backlog counts the runs that have not ended, by queue', async ({ store, hold }) => {
    await (await hold({ id: 'ended', queue: 'flow@1' })).end();
    assert.deepEqual(await store.backlog([]), []);
    await hold({ id: 'running', queue: 'flow@1' });
    const waits = await hold({ id: 'waiting', queue: 'flow@1' });
    await waits.apply({ then: { kind: 'wait', dueAt: null } });
    await startOne(store, { id: 'ready', queue: 'flow@2' });
    await startOne(store, { id: 'other', queue: 'a@*' });
    assert.deepEqual(await store.backlog([]), [
      { queue: 'a@*', runs: 1 },
      { queue: 'flow@1', runs: 2 },
      { queue: 'flow@2', runs: 1 },
    ]);
    assert.deepEqual(await store.backlog(['flow@2', 'a@*', 'unknown']), [{ queue: 'flow@1', runs: 2 }]);
  });
}

function pages({ test }: Spec): void {
  test('pages of runs go through all of them once, also while new ones are made', async ({ store }) => {
    await store.start(Array.from({ length: 23 }, (_, index) => newRun({ id: `run_${index}` })));
    let added = 0;
    const { items, pages: count } = await everyPage(async (cursor) => {
      const page = await store.list({ limit: 5, ...(cursor === undefined ? {} : { cursor }) });
      await startOne(store, { id: `late_${added++}` });
      return page;
    });
    assert.deepEqual(
      items.map(({ id }) => id),
      Array.from({ length: 23 }, (_, index) => `run_${22 - index}`),
    );
    assert.equal(count, 5);
  });

  test('a page has 50 runs if nothing is said, and the last page says that it is the last', async ({ store }) => {
    await store.start(Array.from({ length: 51 }, (_, index) => newRun({ id: `run_${index}` })));
    const page = await store.list({});
    assert.equal(page.items.length, 50);
    const rest = await store.list({ cursor: page.cursor ?? '' });
    assert.deepEqual([rest.items.length, rest.cursor], [1, null]);
    assert.equal((await store.list({ limit: 51 })).cursor, null);
  });
}

function threads({ test }: Spec): void {
  test('a run is in its thread until the one that supersedes it begins', async ({ store, hold }) => {
    const ids = async (): Promise<string[]> => (await store.thread('t')).map(({ id }) => id);
    await (await hold({ id: 'answer', thread: 't' })).end();
    const active = await hold({ id: 'active', thread: 't' });
    for (const id of ['withdrawn', 'again'])
      await store.start([newRun({ id, thread: 't', supersedes: 'answer', whenBusy: 'queue' })]);
    await store.control('withdrawn', 'cancel');
    assert.deepEqual(await ids(), ['answer', 'active', 'withdrawn', 'again']);
    await active.end();
    assert.deepEqual(await ids(), ['active', 'withdrawn', 'again']);
  });

  test('a thread answers its runs in order of creation, without superseded ones', async ({ store, hold }) => {
    for (const [id, supersedes] of [
      ['a', null],
      ['b', null],
      ['c', 'b'],
      ['d', 'c'],
    ] as const) {
      await (await hold({ id, thread: 't', supersedes })).end();
    }
    await startOne(store, { id: 'other', thread: 'u', supersedes: 'a' });
    assert.deepEqual(
      (await store.thread('t')).map(({ id }) => id),
      ['a', 'd'],
    );
    assert.deepEqual(await store.thread('unknown'), []);
  });

  test('threads of two tenants are two threads, whatever their ids', async ({ store, hold }) => {
    const busy = await hold({ id: 'x1', thread: 't', tenant: 'x' });
    for (const [id, tenant] of [
      ['y1', 'y'],
      ['none1', null],
    ] as const) {
      const [started] = await store.start([newRun({ id, thread: 't', tenant })]);
      assert.equal(started?.kind, 'created');
    }
    const [refused] = await store.start([newRun({ id: 'x2', thread: 't', tenant: 'x' })]);
    assert.equal(refused?.kind, 'busy');
    const [queued] = await store.start([newRun({ id: 'y2', thread: 't', tenant: 'y', whenBusy: 'queue' })]);
    assert.equal(queued?.kind === 'created' && queued.run.status, 'queued');
    await busy.end();
    assert.equal((await store.get('y2'))?.status, 'queued');
    const of = async (tenant?: string | null): Promise<string[]> =>
      (await store.thread('t', tenant)).map(({ id }) => id);
    assert.deepEqual(
      [await of('x'), await of('y'), await of(null), await of(), await of('z')],
      [['x1'], ['y1', 'y2'], ['none1'], ['none1'], []],
    );
  });
}

function hooks({ test }: Spec): void {
  test('hooks are filtered by each of their columns, newest first, in pages', async ({ store, hold }) => {
    const one = await hold({ id: 'one', thread: 't', tenant: 'x' });
    await one.apply({
      hooks: {
        create: [
          newHook({ tokenHash: 'h1', key: '1' }),
          newHook({ tokenHash: 'a1', key: '2', kind: 'approval', tool: 'refund' }),
        ],
        close: [],
      },
    });
    const two = await hold({ id: 'two' });
    await two.apply({ hooks: { create: [newHook({ tokenHash: 'a2', kind: 'approval', tool: 'ship' })], close: [] } });
    await two.apply({ then: COMPLETED });
    const list = async (query: Parameters<Store['listHooks']>[0]) =>
      (await store.listHooks(query)).items.map(({ tokenHash }) => tokenHash);
    assert.deepEqual(await list({}), ['a2', 'a1', 'h1']);
    assert.deepEqual(await list({ kind: 'approval' }), ['a2', 'a1']);
    assert.deepEqual(await list({ kind: 'approval', status: ['open'] }), ['a1']);
    assert.deepEqual(await list({ status: ['resolved', 'closed'] }), ['a2']);
    assert.deepEqual(await list({ status: ['open', 'closed'] }), ['a2', 'a1', 'h1']);
    assert.deepEqual(await list({ status: [] }), []);
    assert.deepEqual(await list({ status: ['closed'] }), ['a2']);
    assert.deepEqual(await list({ run: 'one' }), ['a1', 'h1']);
    assert.deepEqual(await list({ thread: 't' }), ['a1', 'h1']);
    assert.deepEqual(await list({ tenant: 'x', tool: 'refund' }), ['a1']);
    assert.deepEqual(await list({ tenant: null }), ['a2']);
    const { items, pages: count } = await everyPage((cursor) =>
      store.listHooks({ limit: 1, ...(cursor === undefined ? {} : { cursor }) }),
    );
    assert.deepEqual([items.map(({ tokenHash }) => tokenHash), count], [['a2', 'a1', 'h1'], 3]);
  });

  test('notes are kept in order whatever the status of the hook', async ({ store, hold }) => {
    const held = await hold();
    await held.apply({ hooks: { create: [newHook()], close: [] } });
    assert.equal(await store.note('token_1', bytes('seen')), true);
    await held.apply({ hooks: { create: [], close: ['token_1'] } });
    assert.equal(await store.note('token_1', bytes('late')), true);
    assert.equal(await store.note('unknown', bytes('x')), false);
    assert.deepEqual(texts((await store.hook('token_1'))?.notes ?? []), ['seen', 'late']);
  });
}

function secrets({ test }: Spec): void {
  test('the first proposed secret is kept, whoever proposes another', async ({ store }) => {
    const answers = await Promise.all(['one', 'two', 'three'].map((proposal) => store.secret(bytes(proposal))));
    assert.equal(new Set(answers.map((answer) => text(answer))).size, 1);
    assert.deepEqual(text(await store.secret(bytes('four'))), text(answers[0]));
  });
}
