/**
 * Plain commits: events and chunks of runs that go on. They are nearly all there are, and have two ways of their own: one statement
 * that is prepared for a commit alone, and one for all of a batch. Both apply what they may; what is left is for the general way
 * (`commit-functions.ts`), which says what is wrong with it.
 */

import type { Commit, CommitResult } from '../../runtime/store.ts';
import type { ChunkPacker } from '../packing.ts';
import type { Database } from './database.ts';
import { toMillis } from './payloads.ts';
import { ROW_BYTES } from './streams.ts';

/** Nothing but events, chunks and the lease. */
export function isPlain({ then, hooks, starts, cancels, ledger, checkpoint, suspects, chunks }: Commit): boolean {
  if (then.kind !== 'run' || checkpoint !== undefined || suspects !== undefined) return false;
  if (hooks.create.length + hooks.close.length + starts.length + cancels.length + ledger.length > 0) return false;
  return (
    chunks.every(({ close }) => close !== true) && new Set(chunks.map(({ stream }) => stream)).size === chunks.length
  );
}

/**
 * In SQL: a commit of the holder that comes next, and brings no news to it (S14). `t` is the run's row, `c` the commit. `IS TRUE` keeps it from
 * the index of statuses: while there are few runs, all that run would be looked at.
 */
const COMES_NEXT = `(t.status = 'running') IS TRUE AND t.epoch = c.e AND t.nonce = c.n AND t.head = c.x AND (c.m IS NULL OR t.commits = c.m - 1)
      AND t.last_commit IS DISTINCT FROM c.i AND t.inbox_head = c.v`;

/** S17 */
const EXTENDS = '(coalesce(c.hb, false) OR (t.due_at - c.now) * 3 < c.l * 2)';
const NEXT_DUE = `CASE WHEN ${EXTENDS} THEN c.now + c.l ELSE t.due_at END`;

/**
 * The plain ones of a batch whose runs are locked, in PL/pgSQL. Answers those that it applied, and those that were applied before and bring no
 * news; to the others it does nothing.
 */
export const PLAIN_COMMITS: string = `
    WITH c AS MATERIALIZED (
      SELECT x.*, @.now_ms() AS now
      FROM ROWS FROM (jsonb_to_recordset(batch) AS (plain boolean, r text, e integer, n text, x integer, i text, m integer, l bigint, s integer,
          v integer, ea integer, el integer[], hb boolean, st jsonb)) WITH ORDINALITY
        AS x (plain, r, e, n, x, i, m, l, s, v, ea, el, hb, st, at)
      WHERE plain
    ), next AS MATERIALIZED (
      SELECT c.*, t.key, t.head, ${NEXT_DUE} AS due, ${EXTENDS} AS extends, t.cancel, coalesce(cardinality(c.el), 0) AS events
      FROM c JOIN @.runs t ON t.id = c.r
      WHERE ${COMES_NEXT} AND NOT EXISTS (
        SELECT 1 FROM jsonb_array_elements(c.st) w JOIN @.streams s ON s.run = t.key AND s.name = w->>'stream' AND s.closed WHERE (w->>'count')::integer > 0)
    ), again AS MATERIALIZED (
      SELECT c.*, t.key, t.head, t.cancel, t.status = 'running' AND t.epoch = c.e AND t.nonce = c.n AS held
      FROM c JOIN @.runs t ON t.id = c.r WHERE t.last_commit = c.i AND t.inbox_head <= c.v
    ), appended AS (
      INSERT INTO @.events (run, seq, data)
      SELECT n.key, n.head + u.at - 1, substring(data FROM n.ea + 1 + u.upto - u.len FOR u.len)
      FROM next n, LATERAL (SELECT o.at::integer AS at, o.len, (sum(o.len) OVER (ORDER BY o.at))::integer AS upto
        FROM unnest(n.el) WITH ORDINALITY o (len, at)) u
    ), moved AS (
      UPDATE @.runs t SET head = n.head + n.events, seen = n.s, attempts = CASE WHEN n.events > 0 THEN 0 ELSE t.attempts END,
        suspects = CASE WHEN n.events = 0 THEN t.suspects END, last_commit = n.i, commits = t.commits + 1, updated_at = n.now, due_at = n.due
      FROM next n WHERE t.key = n.key
    ), written AS (
      INSERT INTO @.streams AS s (run, name, tail)
      SELECT n.key, w->>'stream', (w->>'count')::integer FROM next n, jsonb_array_elements(n.st) w
      ON CONFLICT (run, name) DO UPDATE SET tail = s.tail + excluded.tail RETURNING s.key, s.run, s.name, s.tail
    ), streams AS MATERIALIZED (
      -- One object is looked into faster than two lists of hundreds are joined.
      SELECT jsonb_object_agg(s.run || ' ' || s.name, jsonb_build_array(s.key, s.tail)) AS written FROM written s
    ), packed AS (
      INSERT INTO @.chunks (stream, first, count, bytes, at)
      SELECT (place->>0)::bigint, (place->>1)::integer - (w->>'count')::integer + p.before, p.count, substring(data FROM p.begins + 1 FOR p.len), n.now
      FROM next n, streams, jsonb_array_elements(n.st) w, LATERAL (SELECT streams.written->(n.key || ' ' || (w->>'stream')) AS place) found,
        LATERAL (SELECT (o.p->>0)::integer AS begins, (o.p->>1)::integer AS len, (o.p->>2)::integer AS count,
          (sum((o.p->>2)::integer) OVER (ORDER BY o.at) - (o.p->>2)::integer)::integer AS before
          FROM jsonb_array_elements(w->'packs') WITH ORDINALITY o (p, at)) p
    )
    SELECT n.at::integer, 'applied', true, n.head + n.events, n.now, n.extends, n.cancel,
      CASE WHEN n.st IS NOT NULL THEN jsonb_build_object('tails',
        (SELECT jsonb_object_agg(w->>'stream', streams.written->(n.key || ' ' || (w->>'stream'))->1) FROM jsonb_array_elements(n.st) w)) END
    FROM next n, streams
    UNION ALL
    SELECT a.at::integer, 'applied', a.held, a.head, a.now, false, a.cancel, CASE WHEN a.st IS NOT NULL THEN jsonb_build_object('tails', @.tails_of(a.key, a.st)) END FROM again a`;

/** In SQL: the commit that the first parameters are. */
const GIVEN = `(SELECT $1 COLLATE "C" AS r, $2::integer AS e, $3 COLLATE "C" AS n, $4::integer AS x, $5 COLLATE "C" AS i, $6::integer AS m, $7::bigint AS l,
    $8::integer AS s, $9::integer AS v, $10::boolean AS hb, $11::bytea AS event, @.now_ms() AS now)`;

const APPLIED = `UPDATE @.runs t SET head = t.head + CASE WHEN c.event IS NULL THEN 0 ELSE 1 END, seen = c.s, last_commit = c.i, commits = t.commits + 1,
    attempts = CASE WHEN c.event IS NULL THEN t.attempts ELSE 0 END, suspects = CASE WHEN c.event IS NULL THEN t.suspects END,
    updated_at = c.now, due_at = ${NEXT_DUE}
  FROM ${GIVEN} c WHERE t.id = c.r AND ${COMES_NEXT}`;
/** The row in the second query is still as it was before. */
const AS_MOVED = `RETURNING t.key, t.head, t.cancel, c.now,
    c.hb OR t.due_at <> (SELECT b.due_at FROM @.runs b WHERE b.key = t.key) AS extended`;
const APPENDED = 'INSERT INTO @.events (run, seq, data) SELECT key, head - 1, $11 FROM moved WHERE $11 IS NOT NULL';

const WITHOUT_STREAM = `
  WITH moved AS (${APPLIED} ${AS_MOVED}), appended AS (${APPENDED})
  SELECT head, now, extended, cancel, NULL AS tail FROM moved`;

/** The stream's name, how many chunks, and their pack. */
const WITH_STREAM = `
  WITH moved AS (${APPLIED}
    AND NOT EXISTS (SELECT 1 FROM @.streams s WHERE s.run = t.key AND s.name = $12 AND s.closed) ${AS_MOVED}
  ), appended AS (${APPENDED}
  ), written AS (
    INSERT INTO @.streams AS s (run, name, tail) SELECT key, $12::text, $13::integer FROM moved
    ON CONFLICT (run, name) DO UPDATE SET tail = s.tail + excluded.tail RETURNING s.key, s.tail
  ), packed AS (
    INSERT INTO @.chunks (stream, first, count, bytes, at) SELECT w.key, w.tail - $13, $13::integer, $14::bytea, m.now FROM written w, moved m
  )
  SELECT head, now, extended, cancel, (SELECT tail FROM written) AS tail FROM moved`;

interface MovedRow {
  head: string;
  now: string;
  extended: string;
  cancel: string;
  tail: string | null;
}

/**
 * Applies a plain commit with at most one event and one stream in a prepared statement of its own, which costs half of what a
 * call of the function does beyond a plain insert. Null where it may not be applied so: nothing has happened then.
 */
export function prepareSingle(db: Database, packer: ChunkPacker): (commit: Commit) => Promise<CommitResult | null> {
  return async (commit) => {
    const { events, chunks } = commit;
    const [write] = chunks;
    if (!db.isPrepared || !isPlain(commit) || events.length > 1 || chunks.length > 1) return null;
    const values = [...valuesOf(db, commit), events[0] ?? null];
    if (write === undefined) {
      const [row] = await db.query<MovedRow>('commit_plain', WITHOUT_STREAM, values);
      return row === undefined ? null : toResult(row, commit);
    }
    const { count, bytes } = packer.pack(write.chunks, { start: 0, base: null, maxBytes: ROW_BYTES, appends: false });
    if (count === 0 || count < write.chunks.length) return null;
    const [row] = await db.query<MovedRow>('commit_chunks', WITH_STREAM, [
      ...values,
      db.text(write.stream),
      count,
      bytes,
    ]);
    return row === undefined ? null : toResult(row, commit);
  };
}

/** The parameters of GIVEN, but for the event. */
function valuesOf(db: Database, commit: Commit): unknown[] {
  const { token, then } = commit;
  const heartbeat = then.kind === 'run' && then.heartbeat;
  return [
    db.text(commit.run),
    token.epoch,
    db.text(token.nonce),
    commit.expect,
    db.text(commit.id),
    commit.number ?? null,
    toMillis(commit.leaseMs),
    commit.seen,
    commit.received,
    heartbeat,
  ];
}

function toResult({ head, now, extended, cancel, tail }: MovedRow, { chunks: [write] }: Commit): CommitResult {
  return {
    kind: 'applied',
    holder: true,
    head: Number(head),
    now: Number(now),
    extended: extended === 't',
    cancel: cancel === 't',
    messages: [],
    tails: write === undefined ? {} : { [write.stream]: Number(tail) },
  };
}
