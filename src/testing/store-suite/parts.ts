/** S35 to S37. */

import assert from 'node:assert/strict';
import { MAX_PART_BYTES, ORPHAN_MS } from '../../runtime/store.ts';
import type { Part, Store } from '../../runtime/store.ts';
import { bytes, describeOperation, expectKind, getRun, newRun, only, startOne, text } from './kit.ts';
import type { DescribeOperation, Spec } from './kit.ts';

/** Specs of `putParts` and `getParts`, and of what `gc` does with parts. */
export const describeParts: DescribeOperation = describeOperation('parts', (spec) => {
  keeping(spec);
  size(spec);
  removal(spec);
  need(spec);
});

function part(name: string): Part {
  return { hash: name.repeat(64).slice(0, 64), bytes: bytes(name) };
}

const A = part('a');
const B = part('b');

async function put(store: Store, id: string, ...parts: Part[]): Promise<void> {
  await store.putParts(id, parts);
}

/** What is there of A and B. */
async function kept(store: Store, id: string): Promise<Array<string | null>> {
  return (await store.getParts(id, [A.hash, B.hash])).map((found) => text(found));
}

/** Long enough for all that one pass leaves to the next. */
async function collect(store: Store): Promise<void> {
  for (let pass = 0; pass < 5; pass += 1) await store.gc({ olderThanMs: 0, limit: 10 });
}

function keeping({ test, durable }: Spec): void {
  test('parts are answered by their hashes, in the order asked for, null where there is none', async ({ store }) => {
    await put(store, 'run_1', A, B);
    const found = await store.getParts('run_1', [B.hash, part('c').hash, A.hash, B.hash]);
    assert.deepEqual(found.map(text), ['b', null, 'a', 'b']);
    assert.deepEqual(await store.getParts('run_1', []), []);
  });
  test('the parts of one id are not those of another', async ({ store }) => {
    await put(store, 'run_1', A);
    assert.deepEqual(await kept(store, 'run_2'), [null, null]);
  });
  test('a part that is put again stays as it is, and those beside it are kept', async ({ store }) => {
    await put(store, 'run_1', A);
    await put(store, 'run_1', A, B, B);
    assert.deepEqual(await kept(store, 'run_1'), ['a', 'b']);
  });
  durable('parts outlive their process, before a run of their id is there and after', async ({ store, reopen }) => {
    await put(store, 'run_1', A);
    await startOne(store, { id: 'run_2' });
    await put(store, 'run_2', B);
    const opened = await reopen();
    assert.deepEqual(
      [await kept(opened, 'run_1'), await kept(opened, 'run_2')],
      [
        ['a', null],
        [null, 'b'],
      ],
    );
  });
}

function size({ test }: Spec): void {
  test('a call carries as many bytes as the store says, of any values', async ({ store }) => {
    const { maxRequestBytes } = store.capabilities;
    assert.ok(maxRequestBytes >= MAX_PART_BYTES);
    const parts = Array.from({ length: Math.floor(maxRequestBytes / MAX_PART_BYTES) }, (_, index) => ({
      hash: String(index).padStart(64, '0'),
      bytes: Uint8Array.from({ length: MAX_PART_BYTES }, (__, at) => (at * 7 + index) & 0xff),
    }));
    await store.putParts('run_1', parts);
    const found = await store.getParts(
      'run_1',
      parts.map(({ hash }) => hash),
    );
    for (const [index, { bytes: written }] of parts.entries())
      assert.ok(Buffer.from(written).equals(Buffer.from(found[index] ?? [])), `Part ${index} is not what was put.`);
  });
}

function removal({ timed }: Spec): void {
  timed('gc removes the parts of a run with it, however lately they were put', async ({ store, hold, advance }) => {
    const held = await hold();
    await put(store, held.id, A);
    await held.end();
    await put(store, 'running', B);
    await advance(10);
    await collect(store);
    assert.deepEqual(
      [await kept(store, held.id), await kept(store, 'running')],
      [
        [null, null],
        [null, 'b'],
      ],
    );
  });
  timed('gc removes parts that nothing came to refer to an hour after the last was put', async ({ store, advance }) => {
    await put(store, 'never', A);
    await put(store, 'again', A);
    await advance(ORPHAN_MS / 2);
    await put(store, 'again', A);
    await advance(ORPHAN_MS / 2 + 1_000);
    await collect(store);
    assert.deepEqual(
      [await kept(store, 'never'), await kept(store, 'again')],
      [
        [null, null],
        ['a', null],
      ],
    );
    await advance(ORPHAN_MS / 2);
    await collect(store);
    assert.deepEqual(await kept(store, 'again'), [null, null]);
  });
}

function need({ timed }: Spec): void {
  timed('parts stay while there is a run of their id', async ({ store, advance }) => {
    await put(store, 'run_1', A);
    await startOne(store);
    for (let hours = 0; hours < 3; hours += 1) {
      await advance(ORPHAN_MS + 1_000);
      await collect(store);
    }
    assert.deepEqual(await kept(store, 'run_1'), ['a', null]);
  });
  timed('parts stay while an inbox has a message of their id, and go after it', async (kit) => {
    const { store, hold, advance } = kit;
    const held = await hold({ thread: 't' });
    const ids = ['sent', 'steered', 'woken', 'child', 'refused'];
    for (const id of ids) await put(store, id, A);
    await store.deliver([{ to: { run: held.id }, id: 'sent', kind: 'user', payload: bytes('m') }]);
    await store.deliver([{ to: { run: held.id }, id: 'woken', kind: 'wake', payload: bytes('m') }]);
    await (await hold({ id: 'child', parent: { run: held.id, key: 'k' } })).end();
    const steer = newRun({ id: 'steered', thread: 't', whenBusy: 'steer' });
    expectKind(only(await store.start([steer])), 'steered');
    for (let hours = 0; hours < 2; hours += 1) {
      await advance(ORPHAN_MS + 1_000);
      await collect(store);
    }
    assert.equal(await store.get('child'), null);
    const there = await Promise.all(ids.map((id) => kept(store, id)));
    assert.deepEqual(
      there.map(([a]) => a),
      ['a', 'a', 'a', 'a', null],
    );
    await store.control(held.id, 'terminate');
    await advance(ORPHAN_MS + 1_000);
    // The messages have become runs of their ids.
    await collect(store);
    assert.deepEqual(
      [await getRun(store, 'sent').then(({ status }) => status), await kept(store, 'sent')],
      ['ready', ['a', null]],
    );
    for (const id of ['sent', 'steered']) await store.control(id, 'terminate');
    await advance(ORPHAN_MS + 1_000);
    await collect(store);
    assert.deepEqual(
      [await kept(store, 'sent'), await kept(store, 'steered')],
      [
        [null, null],
        [null, null],
      ],
    );
  });
}
