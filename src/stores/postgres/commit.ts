/** The holder's commit: as it goes to the database, and what the database answers. */

import type { Commit, CommitResult, Hint, StreamWrite } from '../../runtime/store.ts';
import { keepFresh } from '../fresh-pages.ts';
import { ChunkPacker } from '../packing.ts';
import type { Database } from './database.ts';
import { toJsonLedger } from './ledger.ts';
import { Blobs, toMillis } from './payloads.ts';
import { isPlain, prepareSingle } from './plain-commit.ts';
import { toHints, toMessage } from './rows.ts';
import type { JsonRow } from './rows.ts';
import { toJsonStart } from './start.ts';
import { ROW_BYTES } from './streams.ts';

interface CommitRow {
  at: string;
  kind: CommitResult['kind'];
  holder: string | null;
  head: string | null;
  now: string | null;
  extended: string | null;
  cancel: string | null;
  more: string | null;
}

interface More {
  hints: JsonRow[] | null;
  messages: JsonRow[] | null;
  tails: Record<string, number> | null;
  tokenHash: string;
  holder: { run: string; key: string };
  stream: string;
}

export function prepareCommit(db: Database): (batch: Commit[]) => Promise<CommitResult[]> {
  const packer = new ChunkPacker();
  const commitSingle = prepareSingle(db, packer);
  const commitAll = prepareAll(db, packer);
  return async (batch) => {
    const hints: Hint[] = [];
    const [first] = batch;
    if (first === undefined) return [];
    const single = batch.length === 1 ? await commitSingle(first) : null;
    if (single !== null) gatherHints(hints, { commit: first, told: [] });
    const results = single === null ? await commitAll(batch, hints) : [single];
    keepFresh(db.fresh, { batch, results, hints });
    db.tell(hints);
    return results;
  };
}

function prepareAll(db: Database, packer: ChunkPacker): (batch: Commit[], hints: Hint[]) => Promise<CommitResult[]> {
  return async (batch, hints) => {
    const blobs = new Blobs();
    const runs = new Set<string>();
    const commits = batch.map((commit) => {
      // The second one of a run waits for what the first one does.
      const plain = isPlain(commit) && !runs.has(commit.run);
      runs.add(commit.run);
      return { plain, ...toJsonCommit(commit, { blobs, packer }) };
    });
    const wide = wideOf(batch);
    const values = [db.json(commits), blobs.bytes(), wide === null ? null : db.json(wide)];
    const rows = await db.rows<CommitRow>('commit_runs', values);
    rows.sort((a, b) => Number(a.at) - Number(b.at));
    return rows.map((row, index) => toCommitResult(db, { row, commit: batch[index] as Commit, hints }));
  };
}

/** What has to be locked beside the runs themselves; null where that is all. */
function wideOf(batch: Commit[]): Record<string, unknown> | null {
  const wide = {
    ending: batch.filter(({ then }) => then.kind === 'end').map(({ run }) => run),
    cancelled: batch.flatMap(({ cancels }) => cancels),
    tokens: batch.flatMap(({ hooks }) => hooks.create.map(({ tokenHash }) => `token ${tokenHash}`)),
    threads: batch.flatMap(({ starts }) =>
      starts.filter(({ thread }) => thread !== null).map(({ thread, tenant }) => [thread, tenant]),
    ),
  };
  return Object.values(wide).every((list) => list.length === 0) ? null : wide;
}

interface Packing {
  blobs: Blobs;
  packer: ChunkPacker;
}

function toJsonCommit(commit: Commit, { blobs, packer }: Packing): Record<string, unknown> {
  const { then, hooks, events } = commit;
  const at = blobs.size;
  const lengths = events.map((event) => blobs.add(event)[1]);
  return {
    r: commit.run,
    e: commit.token.epoch,
    n: commit.token.nonce,
    x: commit.expect,
    i: commit.id,
    m: commit.number,
    l: toMillis(commit.leaseMs),
    s: commit.seen,
    v: commit.received,
    cs: commit.cancelSeen,
    cp: commit.checkpoint,
    su: commit.suspects,
    ...(events.length === 0 ? {} : { ea: at, el: lengths }),
    th: then.kind,
    ...(then.kind === 'run' ? { hb: then.heartbeat } : {}),
    ...(then.kind === 'wait' ? { du: then.dueAt === null ? null : toMillis(then.dueAt) } : {}),
    ...(commit.chunks.length === 0 ? {} : { st: commit.chunks.map((write) => toJsonWrite(write, { blobs, packer })) }),
    ...(hooks.create.length === 0
      ? {}
      : { hc: hooks.create.map(({ details, ...hook }) => ({ ...hook, body: blobs.add(details) })) }),
    ...(hooks.close.length === 0 ? {} : { hx: hooks.close }),
    ...restOf(commit, blobs),
  };
}

function toJsonWrite({ stream, chunks, close }: StreamWrite, { blobs, packer }: Packing): Record<string, unknown> {
  const packs: number[][] = [];
  for (let start = 0; start < chunks.length;) {
    const pack = packer.pack(chunks, { start, base: null, maxBytes: ROW_BYTES, appends: false });
    packs.push([...blobs.add(pack.bytes), pack.count]);
    start += pack.count;
  }
  return { stream, count: chunks.length, close: close === true, packs };
}

/** What seldom belongs to a commit. */
function restOf({ ledger, starts, cancels, then }: Commit, blobs: Blobs): { rest?: Record<string, unknown> } {
  const isShort = then.kind === 'run' || then.kind === 'wait' || then.kind === 'yield';
  if (isShort && ledger.length + starts.length + cancels.length === 0) return {};
  return {
    rest: {
      ...(ledger.length === 0 ? {} : { ledger: ledger.map((row) => toJsonLedger(row, blobs)) }),
      starts: starts.map((start) => toJsonStart(start, blobs)),
      cancels,
      ...(then.kind === 'park' ? { park: { code: then.code, body: blobs.add(then.details) } } : {}),
      ...(then.kind === 'end'
        ? { end: { ...then, result: blobs.addOrNull(then.result), error: blobs.addOrNull(then.error) } }
        : {}),
    },
  };
}

interface Answered {
  row: CommitRow;
  commit: Commit;
  hints: Hint[];
}

function toCommitResult(db: Database, { row, commit, hints }: Answered): CommitResult {
  const { kind } = row;
  const more = (row.more === null ? {} : db.parse(row.more)) as Partial<More>;
  const messages = more.messages?.map(toMessage) ?? [];
  const now = Number(row.now);
  const cancel = row.cancel === 't';
  if (kind === 'fenced') return { kind };
  if (kind === 'moved') return { kind, head: Number(row.head) };
  if (kind === 'pending') return { kind, messages, cancel, now };
  if (kind === 'token_taken')
    return { kind, tokenHash: more.tokenHash ?? '', holder: more.holder ?? { run: '', key: '' } };
  if (kind === 'stream_closed') return { kind, stream: more.stream ?? '' };
  gatherHints(hints, { commit, told: more.hints ?? [] });
  return {
    kind,
    holder: row.holder === 't',
    head: Number(row.head),
    now,
    extended: row.extended === 't',
    cancel,
    messages,
    tails: more.tails ?? {},
  };
}

function gatherHints(hints: Hint[], { commit, told }: { commit: Commit; told: JsonRow[] }): void {
  hints.push(...toHints(told));
  for (const { stream } of commit.chunks) hints.push({ kind: 'stream', run: commit.run, stream });
}
