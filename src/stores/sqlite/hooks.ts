/** The rows of hooks and approvals, and their notes. */

import type { StatementSync } from 'node:sqlite';
import type { Hook, HookQuery, NewHook, Page, Payload } from '../../runtime/store.ts';
import { pageSize } from '../rules.ts';
import { ITEMS_PER_PAGE, isTenant, toPage, where } from './paging.ts';
import { allRows, toHook, toPayload } from './rows.ts';
import type { Row } from './rows.ts';
import type { OpenFile } from './open-file.ts';

export interface Hooks {
  get(tokenHash: string): Hook | null;
  list(query: HookQuery): Page<Hook>;
  note(tokenHash: string, note: Payload): boolean;
  /** Whose a token is. Closed hooks, and those of ended runs, hold none. */
  holder(tokenHash: string): HookHolder | undefined;
  /** Does nothing if there is a hook of that token. */
  create(run: number, hook: NewHook): void;
  /** Closes a hook of this run, if it is open. */
  close(run: number, tokenHash: string): void;
  closeAll(run: number): void;
}

export interface HookHolder {
  run: string;
  key: string;
}

const FULL_HOOKS = `SELECT hooks.*, runs.id AS run_id, runs.workflow, runs.thread FROM hooks JOIN runs ON runs.key = hooks.run`;

export function prepareHooks(file: OpenFile): Hooks {
  const { db } = file;
  const full = db.prepare(`${FULL_HOOKS} WHERE token_hash = ?`);
  const keyOf = db.prepare('SELECT key FROM hooks WHERE token_hash = ?');
  const notes = db.prepare('SELECT note FROM notes WHERE hook = ? ORDER BY key');
  const insertNote = db.prepare('INSERT INTO notes (hook, note) VALUES (?, ?)');
  const toFull = (row: Row): Hook => toHook(row, notesOf(notes, Number(row['key'])));
  return {
    ...prepareChanges(file),
    get(tokenHash) {
      const row = full.get(tokenHash);
      return row === undefined ? null : toFull(row);
    },
    list: (query) => listHooks(file, { query, toFull }),
    note(tokenHash, note) {
      const row = keyOf.get(tokenHash) as { key: number } | undefined;
      if (row === undefined) return false;
      insertNote.run(row.key, note);
      return true;
    },
  };
}

function notesOf(statement: StatementSync, hook: number): Payload[] {
  return allRows<Row>(statement, hook).map((row) => toPayload(row['note']));
}

function prepareChanges({ db, clock }: OpenFile): Pick<Hooks, 'holder' | 'create' | 'close' | 'closeAll'> {
  const holder = db.prepare(
    `SELECT runs.id AS run, hooks.target AS key
     FROM hooks JOIN runs ON runs.key = hooks.run WHERE token_hash = ? AND hooks.status <> 'closed' AND runs.ended_at IS NULL`,
  );
  const insert = db.prepare(
    `INSERT INTO hooks (token_hash, run, target, kind, once, needed, tool, tenant, details, status, answers, resolved_seq, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT tenant FROM runs WHERE key = ?), ?, 'open', '[]', -1, ?) ON CONFLICT (token_hash) DO NOTHING`,
  );
  const freed =
    "token_hash = ? AND (status = 'closed' OR (SELECT ended_at FROM runs WHERE key = hooks.run) IS NOT NULL)";
  const dropNotes = db.prepare(`DELETE FROM notes WHERE hook IN (SELECT key FROM hooks WHERE ${freed})`);
  const drop = db.prepare(`DELETE FROM hooks WHERE ${freed}`);
  // S15: a hook that its own run creates again.
  const reopen = db.prepare(
    "UPDATE hooks SET status = 'open', resolved_at = NULL, answers = '[]' WHERE token_hash = ? AND run = ? AND status = 'resolved' AND kind <> 'approval'",
  );
  const close = db.prepare("UPDATE hooks SET status = 'closed' WHERE token_hash = ? AND run = ? AND status = 'open'");
  const closeAll = db.prepare("UPDATE hooks SET status = 'closed' WHERE run = ? AND status = 'open'");
  return {
    holder: (tokenHash) => holder.get(tokenHash) as HookHolder | undefined,
    create(run, hook) {
      dropNotes.run(hook.tokenHash);
      drop.run(hook.tokenHash);
      reopen.run(hook.tokenHash, run);
      insert.run(
        hook.tokenHash,
        run,
        hook.key,
        hook.kind,
        hook.once ? 1 : 0,
        hook.needed,
        hook.tool,
        run,
        hook.details,
        clock.now(),
      );
    },
    close: (run, tokenHash) => void close.run(tokenHash, run),
    closeAll: (run) => void closeAll.run(run),
  };
}

function listHooks({ db }: OpenFile, { query, toFull }: { query: HookQuery; toFull: (row: Row) => Hook }): Page<Hook> {
  const size = pageSize(query.limit, ITEMS_PER_PAGE);
  // A plus keeps SQLite from the indexes of hooks: the runs of a thread are few, and all hooks that are open may be many.
  const ofThread = query.thread === undefined ? '' : '+';
  const filter = where([
    [`${ofThread}hooks.kind = ?`, query.kind],
    ['hooks.status IN (SELECT value FROM json_each(?))', query.status && JSON.stringify(query.status)],
    ['runs.id = ?', query.run],
    ['runs.thread = ?', query.thread],
    isTenant(query.tool === undefined ? 'hooks.tenant' : '+hooks.tenant', query.tenant),
    ['hooks.tool = ?', query.tool],
    ['hooks.key < ?', query.cursor === undefined ? undefined : Number(query.cursor)],
  ]);
  const sql = query.thread === undefined ? `${filter.sql}${indexed(query)}` : filter.sql;
  const rows = db
    .prepare(`${FULL_HOOKS} ${sql} ORDER BY ${ofThread}hooks.key DESC LIMIT ?`)
    .all(...filter.values, size + 1);
  return toPage(rows, { size, toItem: toFull });
}

/** Says once more what the query says: indexes of the few that are meant are found by it. */
function indexed({ kind, status }: HookQuery): string {
  const isOpen = status?.every((each) => each === 'open') === true;
  const isSettled = status?.every((each) => each !== 'open') === true;
  return [
    ...(isOpen ? [" AND hooks.status = 'open'"] : []),
    ...(isSettled ? [" AND hooks.status <> 'open'"] : []),
    ...(kind === 'approval' ? [" AND hooks.kind = 'approval'"] : []),
  ].join('');
}
