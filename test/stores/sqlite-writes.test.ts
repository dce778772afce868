import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/runtime/clock.ts';
import { prepareWrites } from '../../src/stores/sqlite/writes.ts';
import type { Writes } from '../../src/stores/sqlite/writes.ts';
import { storeFolder } from './sqlite-file.ts';

let folder: ReturnType<typeof storeFolder>;
let db: DatabaseSync;

beforeEach(() => {
  folder = storeFolder();
  db = new DatabaseSync(folder.path);
  db.exec('PRAGMA journal_mode = wal; CREATE TABLE log (what TEXT, level INTEGER)');
});

afterEach(() => {
  db.close();
  folder.remove();
});

function prepare(): Writes {
  const nothing = (): void => {};
  return prepareWrites(db, {
    clock: systemClock(),
    onBegin: nothing,
    beforeCommit: nothing,
    onCommit: nothing,
    onRollback: nothing,
    translate: (error) => error,
  });
}

function level(): unknown {
  return db.prepare('PRAGMA synchronous').get()?.['synchronous'];
}

/** A part that notes itself, and answers at what level it is committed. */
function note(what: string): () => unknown {
  return () => {
    db.prepare('INSERT INTO log VALUES (?, ?)').run(what, Number(level()));
    return level();
  };
}

function logged(): unknown[] {
  return db
    .prepare('SELECT what FROM log')
    .all()
    .map(({ what }) => what);
}

describe('what is put aside', () => {
  it('is the only one that is not synced, and joins no other transaction', async () => {
    db.exec('PRAGMA synchronous = full');
    const writes = prepare();
    const levels = await Promise.all([
      writes.putAside(note('aside')),
      writes.submit([note('first'), note('second')]),
      writes.submit([note('third')]),
    ]);
    expect(levels).toEqual([1, [2, 2], [2]]);
    expect(await writes.submit([note('later')])).toEqual([2]);
  });

  it('leaves the level as it was when it fails, and is gone as a whole', async () => {
    db.exec('PRAGMA synchronous = extra');
    const writes = prepare();
    const failing = writes.putAside(() => {
      note('half')();
      throw new Error('It fails.');
    });
    await expect(failing).rejects.toThrow('It fails.');
    expect([level(), logged()]).toEqual([3, []]);
  });

  it('is synced no less than the rest where nothing is', async () => {
    db.exec('PRAGMA synchronous = off');
    expect(await prepare().putAside(note('aside'))).toBe(0);
  });

  it('is written by a flush', async () => {
    const writes = prepare();
    const aside = writes.putAside(note('aside'));
    writes.flush();
    expect(logged()).toEqual(['aside']);
    await aside;
  });
});
