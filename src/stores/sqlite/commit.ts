/** The holder's commit: checks first, changes after them, so that a refusal has nothing to undo. */

import type { Commit, CommitResult, Message, RunStatus } from '../../runtime/store.ts';
import { extendedLease } from '../rules.ts';
import type { Origin } from '../rules.ts';
import type { Endings } from './end.ts';
import type { Hooks } from './hooks.ts';
import type { Lanes } from './lanes.ts';
import { allRows, prepareRow, toMessage } from './rows.ts';
import type { BriefRow, Row } from './rows.ts';
import { tellThread } from './runs.ts';
import type { Runs } from './runs.ts';
import type { OpenFile } from './open-file.ts';
import type { Starts } from './start.ts';
import type { StreamRows, Streams } from './streams.ts';
import type { Ledger } from './ledger.ts';

interface CommitRow {
  key: number;
  status: RunStatus;
  due_at: number | null;
  epoch: number;
  nonce: string | null;
  head: number;
  checkpoint: number;
  inbox_head: number;
  cancel: number;
  attempts: number;
  suspects: string | null;
  last_commit: string | null;
  commits: number;
}

const COMMIT_COLUMNS = [
  'key',
  'status',
  'due_at',
  'epoch',
  'nonce',
  'head',
  'checkpoint',
  'inbox_head',
  'cancel',
  'attempts',
  'suspects',
  'last_commit',
  'commits',
] as const;

interface Parts {
  runs: Runs;
  hooks: Hooks;
  streams: Streams;
  starts: Starts;
  endings: Endings;
  ledger: Ledger;
  lanes: Lanes;
}

interface Pair {
  row: CommitRow;
  commit: Commit;
  streams: StreamRows;
}

/**
 * Hot: one event of 1 KB in a run of 1,000, and the same in 200 runs at once (bench `steps`). It reads the row, writes the row
 * without touching an index, and inserts the event; what else there may be to write stands behind a check.
 */
export function prepareCommit(file: OpenFile, parts: Parts): (commit: Commit) => CommitResult {
  const { db, clock } = file;
  const find = prepareRow<CommitRow>(db, { columns: COMMIT_COLUMNS, where: 'FROM runs WHERE id = ?' });
  const findMessages = db.prepare('SELECT * FROM messages WHERE run = ? AND seq >= ? ORDER BY seq');
  const findUnseen = db.prepare('SELECT 1 FROM messages WHERE run = ? AND seq >= ? AND target = ?');
  const closesUnseen = ({ row, commit }: Pair): boolean =>
    commit.hooks.close.some((token) => {
      const holder = parts.hooks.holder(token);
      return holder?.run === commit.run && findUnseen.get(row.key, commit.seen, holder.key) !== undefined;
    });
  const apply = prepareApply(file, parts);
  const messagesFrom = ({ row, commit }: Pair): Message[] =>
    row.inbox_head > commit.received ? allRows<Row>(findMessages, row.key, commit.received).map(toMessage) : [];
  const applied = (pair: Pair, extended: boolean): CommitResult => ({
    kind: 'applied',
    holder: holds(pair),
    head: pair.row.head,
    now: clock.now(),
    extended,
    cancel: pair.row.cancel === 1,
    messages: messagesFrom(pair),
    tails: tailsOf(pair),
  });

  return (commit) => {
    const row = find(commit.run);
    if (row === undefined) return { kind: 'fenced' };
    const pair = { row, commit, streams: parts.streams.rows(row.key, commit.chunks) };
    if (row.last_commit === commit.id) return applied(pair, false);
    if (!holds(pair)) return { kind: 'fenced' };
    if (!isNext(pair)) return { kind: 'moved', head: row.head };
    if (hasUnseen(pair) || closesUnseen(pair))
      return { kind: 'pending', messages: messagesFrom(pair), cancel: row.cancel === 1, now: clock.now() };
    const refusal = takenToken(commit, parts) ?? closedStream(pair);
    if (refusal !== null) return refusal;
    const extended = apply(pair);
    if (commit.then.kind === 'run' && commit.cancels.length === 0) {
      row.head += commit.events.length;
      return applied(pair, extended);
    }
    // Its status has changed, or children that ended at once have written to its inbox.
    return applied({ ...pair, row: find(commit.run) ?? row }, extended);
  };
}

function holds({ row, commit }: Pair): boolean {
  return row.status === 'running' && row.epoch === commit.token.epoch && row.nonce === commit.token.nonce;
}

/** S14 (c) */
function isNext({ row, commit: { expect, number, received } }: Pair): boolean {
  return expect === row.head && (number === undefined || number === row.commits + 1) && received <= row.inbox_head;
}

/** S14 (d), but for the hooks that the commit closes. */
function hasUnseen({ row, commit }: Pair): boolean {
  const { kind } = commit.then;
  if ((kind === 'wait' || kind === 'end') && commit.seen !== row.inbox_head) return true;
  return kind === 'wait' && row.cancel === 1 && commit.cancelSeen !== true;
}

/** S14 (e) */
function takenToken(commit: Commit, { hooks }: Parts): CommitResult | null {
  const own = new Map<string, string>();
  for (const { tokenHash, key } of commit.hooks.create) {
    const holder = hooks.holder(tokenHash) ?? { run: commit.run, key: own.get(tokenHash) ?? key };
    if (holder.run !== commit.run || holder.key !== key)
      return { kind: 'token_taken', tokenHash, holder: { run: holder.run, key: holder.key } };
    own.set(tokenHash, key);
  }
  return null;
}

/** S14 (f). Closing once more what is closed is no write. */
function closedStream({ commit, streams }: Pair): CommitResult | null {
  const closed = new Set<string>();
  for (const { stream, chunks, close } of commit.chunks) {
    if (chunks.length > 0 && (closed.has(stream) || streams.get(stream)?.closed === 1))
      return { kind: 'stream_closed', stream };
    if (close === true) closed.add(stream);
  }
  return null;
}

function tailsOf({ commit, streams }: Pair): Record<string, number> {
  const tails: Record<string, number> = {};
  for (const { stream } of commit.chunks) tails[stream] = streams.get(stream)?.tail ?? 0;
  return tails;
}

/** S15. Answers whether the lease moved. */
function prepareApply(file: OpenFile, parts: Parts): (pair: Pair) => boolean {
  const { db } = file;
  const insertEvent = db.prepare('INSERT INTO events (run, seq, data) VALUES (?, ?, ?)');
  const insertCheckpoint = db.prepare('INSERT INTO checkpoints (run, seq) VALUES (?, ?) ON CONFLICT DO NOTHING');
  const update = prepareUpdate(file, parts);
  return (pair) => {
    const { row, commit } = pair;
    let seq = row.head;
    for (const event of commit.events) {
      insertEvent.run(row.key, seq, event);
      seq += 1;
    }
    if (commit.checkpoint !== undefined) insertCheckpoint.run(row.key, commit.checkpoint);
    for (const write of commit.chunks)
      parts.streams.write({ key: row.key, id: commit.run, streams: pair.streams }, write);
    for (const hook of commit.hooks.create) parts.hooks.create(row.key, hook);
    for (const token of commit.hooks.close) parts.hooks.close(row.key, token);
    for (const entry of commit.ledger) parts.ledger.add(entry);
    for (const start of commit.starts) parts.starts.startFromCommit(start);
    const extended = update(pair);
    // After the run's own transition: a child that ends at once wakes a parent that has just begun to wait.
    for (const id of commit.cancels) {
      const target = parts.runs.brief(id);
      if (target !== undefined) parts.endings.cancel(target);
    }
    return extended;
  };
}

/** What a commit leaves in the run's row whatever comes then (S16). */
function nextRow({
  row,
  commit,
}: Pair): [
  head: number,
  seen: number,
  checkpoint: number,
  attempts: number,
  suspects: string | null,
  id: string,
  commits: number,
] {
  const hasEvents = commit.events.length > 0;
  const suspects = commit.suspects === undefined ? (hasEvents ? null : row.suspects) : JSON.stringify(commit.suspects);
  return [
    row.head + commit.events.length,
    commit.seen,
    commit.checkpoint ?? row.checkpoint,
    hasEvents ? 0 : row.attempts,
    suspects,
    commit.id,
    row.commits + 1,
  ];
}

/** Columns that no index holds. */
const NEXT_COLUMNS =
  'head = ?, seen = ?, checkpoint = ?, attempts = ?, suspects = ?, last_commit = ?, commits = ?, updated_at = ?';

/** What a plain step writes to its run's row. */
export const PLAIN_UPDATE: string = `UPDATE runs SET ${NEXT_COLUMNS} WHERE key = ?`;

/** S17. Answers whether the lease moved. */
function prepareUpdate(file: OpenFile, { endings, runs, lanes }: Parts): (pair: Pair) => boolean {
  const { db, clock } = file;
  const stay = db.prepare(PLAIN_UPDATE);
  const move = db.prepare(`UPDATE runs SET ${NEXT_COLUMNS}, due_at = ? WHERE key = ?`);
  const leave = prepareLeave(file);
  return (pair) => {
    const { row, commit } = pair;
    const { then } = commit;
    const now = clock.now();
    if (then.kind === 'run') {
      const dueAt = extendedLease(commit, { dueAt: row.due_at, now });
      if (dueAt === null) stay.run(...nextRow(pair), now, row.key);
      else move.run(...nextRow(pair), now, dueAt, row.key);
      return dueAt !== null;
    }
    stay.run(...nextRow(pair), now, row.key);
    const run = runs.brief(commit.run);
    if (run === undefined) return false;
    if (then.kind !== 'end') {
      leave({ run, then });
      lanes.moved(run);
    } else endings.end(run, { status: then.status, result: then.result, error: then.error, errorCode: then.errorCode });
    return false;
  };
}

interface Leaving {
  run: BriefRow;
  then: Exclude<Commit['then'], { kind: 'run' | 'end' }>;
}

function prepareLeave({ db, clock, hints }: OpenFile): (leaving: Leaving) => void {
  const leave = db.prepare('UPDATE runs SET status = ?, origin = ?, due_at = ? WHERE key = ?');
  const park = db.prepare("UPDATE runs SET status = 'parked', due_at = NULL WHERE key = ?");
  const setDetails = db.prepare('UPDATE payloads SET park_code = ?, park_details = ? WHERE run = ?');
  const toQueue = (key: number, to: { status: RunStatus; origin: Origin; dueAt: number | null }): void => {
    leave.run(to.status, to.origin, to.dueAt, key);
    // A sleeping claimer learns that there is something to wake up for earlier.
    if (to.dueAt !== null) hints.push({ kind: 'due' });
  };
  return ({ run: { key, id, thread, tenant }, then }) => {
    const now = clock.now();
    tellThread(hints, { id, thread, tenant });
    if (then.kind === 'yield') {
      toQueue(key, { status: 'ready', origin: 'yield', dueAt: now });
    } else if (then.kind === 'wait') {
      const isDue = then.dueAt !== null && then.dueAt <= now;
      toQueue(key, { status: isDue ? 'ready' : 'waiting', origin: 'wait', dueAt: isDue ? now : then.dueAt });
    } else {
      park.run(key);
      setDetails.run(then.code, then.details, key);
      hints.push({ kind: 'run', run: id });
    }
  };
}
