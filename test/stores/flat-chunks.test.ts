import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { sqliteStore } from '../../src/sqlite.ts';
import type { Payload } from '../../src/runtime/store.ts';
import { bytes, expectKind, holder, newRun, only, texts } from '../../src/testing/store-suite/kit.ts';
import { storeFolder } from './sqlite-file.ts';

/** As releases before packing wrote a flush. */
function flat(chunks: Payload[]): Uint8Array {
  return Buffer.concat(
    chunks.flatMap((chunk) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(chunk.length);
      return [length, chunk];
    }),
  );
}

it('streams that an older release wrote are read, go on, and can be packed', async () => {
  const folder = storeFolder();
  const store = sqliteStore(folder.path);
  const db = new DatabaseSync(folder.path);
  try {
    const started = expectKind(only(await store.start([newRun()], { nonce: 'n', leaseMs: 60_000 })), 'created');
    if (started.token === null) throw new Error('It was not claimed.');
    const held = holder(store, { run: started.run, token: started.token });
    const old = Array.from({ length: 60 }, (_, index) => `{"type":"text-delta","id":"1","delta":"word ${index}"}`);
    await held.apply({ chunks: [{ stream: 'out', chunks: [bytes('{}')] }] });
    db.exec(`DELETE FROM chunks; UPDATE streams SET tail = ${old.length}, last_key = NULL`);
    const insert = db.prepare('INSERT INTO chunks (stream, first, count, bytes) VALUES (1, ?, ?, ?)');
    for (let first = 0; first < old.length; first += 3)
      insert.run(first, 3, flat(old.slice(first, first + 3).map(bytes)));
    const whole = [...old, 'new 1', 'new 2'];
    const check = async (): Promise<void> => {
      for (let from = 0; from <= whole.length; from += 1) {
        const page = await store.read(held.id, 'out', { from, maxBytes: 100_000 });
        expect(texts(page?.chunks ?? [])).toEqual(whole.slice(from));
      }
    };
    for (const text of ['new 1', 'new 2']) await held.apply({ chunks: [{ stream: 'out', chunks: [bytes(text)] }] });
    await check();
    while (await store.compact(held.id, 'out'));
    await check();
    expect(db.prepare('SELECT count(*) AS rows FROM chunks').get()).toEqual({ rows: 2 });
    await held.end();
    while (await store.compact(held.id, 'out'));
    await check();
    // Of the old ones it is not known when they were written, so the new ones stay in a row of their own.
    expect(db.prepare('SELECT count(*) AS rows, min(format) AS format FROM chunks').get()).toEqual({
      rows: 2,
      format: 1,
    });
  } finally {
    db.close();
    await store.close();
    folder.remove();
  }
});
