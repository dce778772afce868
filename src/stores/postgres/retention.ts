/** What becomes of chunks that stay: packed into fewer rows (S28), and removed when they are too old or too many (S27). */

import { ChunkPacker, unpackChunks } from '../packing.ts';
import type { Payload, TrimRequest, TrimResult } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import { Blobs, toMillis } from './payloads.ts';
import { toBytes } from './rows.ts';
import { ROW_BYTES } from './streams.ts';

/** Rows that one pass of `trim` removes at most. */
const MOST_REMOVED = 256;

export const RETENTION_FUNCTIONS: string = `
-- S27. Streams that are being written to are passed over: their turn comes with the next sweep.
CREATE FUNCTION @.trim_streams(after bigint, most integer, keep integer, older_than bigint, spare text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s record;
  now bigint := @.now_ms();
  by_count integer;
  by_age integer;
  before integer;
  gone integer;
  removed bigint := 0;
  room integer := ${MOST_REMOVED};
  seen integer := 0;
  last bigint := after;
BEGIN
  FOR s IN SELECT t.key, t.name, t.tail, t.trimmed, r.ended_at FROM @.streams t JOIN @.runs r ON r.key = t.run
    WHERE t.key > after ORDER BY t.key LIMIT most
  LOOP
    seen := seen + 1;
    IF s.ended_at IS NULL AND EXISTS (SELECT 1 FROM unnest(spare) n WHERE s.name = n OR (right(n, 1) = ':' AND starts_with(s.name, n))) THEN
      last := s.key;
      CONTINUE;
    END IF;
    by_count := coalesce(s.tail - keep, 0);
    by_age := 0;
    IF older_than IS NOT NULL THEN
      -- The first young row ends it: looked for among as many as one pass removes.
      SELECT coalesce(min(c.first) FILTER (WHERE c.at >= now - older_than), max(c.first + c.count), 0) INTO by_age FROM
        (SELECT first, count, at FROM @.chunks WHERE stream = s.key AND first + count > s.trimmed ORDER BY first LIMIT ${MOST_REMOVED}) c;
    END IF;
    before := greatest(by_count, by_age, s.trimmed);
    IF before > 0 THEN
      PERFORM 1 FROM @.streams WHERE key = s.key FOR UPDATE SKIP LOCKED;
      IF FOUND THEN
        UPDATE @.streams SET trimmed = before, trimmed_by = CASE WHEN by_age > by_count THEN 'age' ELSE 'count' END
          WHERE key = s.key AND trimmed < before;
        IF FOUND THEN removed := removed + before - s.trimmed; END IF;
        DELETE FROM @.chunks WHERE stream = s.key AND first IN
          (SELECT first FROM @.chunks WHERE stream = s.key AND first + count <= before AND first < before ORDER BY first LIMIT ${MOST_REMOVED});
        GET DIAGNOSTICS gone = ROW_COUNT;
        room := room - gone;
      END IF;
    END IF;
    EXIT WHEN room <= 0;
    last := s.key;
  END LOOP;
  RETURN jsonb_build_object('removed', removed, 'cursor', CASE WHEN room <= 0 OR seen >= most THEN last END);
END $$;

-- S28. The rows are as they were read, or nothing is done.
CREATE FUNCTION @.compact_rows(of_stream bigint, firsts integer[], packs jsonb, data bytea, upto integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  written_at bigint;
  gone integer;
BEGIN
  PERFORM 1 FROM @.streams WHERE key = of_stream FOR UPDATE;
  IF cardinality(firsts) > 0 THEN
    IF (SELECT count(*) FROM @.chunks WHERE stream = of_stream AND first = ANY (firsts)) <> cardinality(firsts) THEN RETURN false; END IF;
    SELECT max(at) INTO written_at FROM @.chunks WHERE stream = of_stream AND first = ANY (firsts);
    DELETE FROM @.chunks WHERE stream = of_stream AND first = ANY (firsts);
    INSERT INTO @.chunks (stream, first, count, bytes, at)
      SELECT of_stream, (p->>0)::integer, (p->>1)::integer, substring(data FROM (p->>2)::integer + 1 FOR (p->>3)::integer), written_at
      FROM jsonb_array_elements(packs) p;
  END IF;
  UPDATE @.streams SET compacted = upto WHERE key = of_stream;
  RETURN true;
END $$;
`;

/** Rows that a pass looks at, and bytes that it writes anew. */
const MOST_ROWS = 64;
const MOST_BYTES = 32_768;
/** Larger ones would not become fewer. */
const SMALL_BYTES = 8_000;
/** Chunks in one row are written within this time, so that their age is known. */
const ROW_SPAN_MS = 3_600_000;

const SIZES = `
  SELECT s.key AS stream, s.compacted, (s.closed OR r.ended_at IS NOT NULL) AS is_closed, c.first, c.count, c.at, c.bytes
  FROM @.streams s JOIN @.runs r ON r.key = s.run LEFT JOIN LATERAL (
    SELECT first, count, at, CASE WHEN octet_length(bytes) < ${SMALL_BYTES} THEN bytes END AS bytes
    FROM @.chunks WHERE stream = s.key AND first >= s.compacted ORDER BY first LIMIT ${MOST_ROWS}) c ON true
  WHERE r.id = $1 AND s.name = $2 ORDER BY c.first`;

interface SizeRow {
  stream: string;
  compacted: string;
  is_closed: string;
  first: string | null;
  count: string | null;
  at: string | null;
  bytes: string | null;
}

interface SmallRow {
  first: number;
  count: number;
  at: number;
  /** Null of a row that stays as it is. */
  bytes: Payload | null;
}

export interface Retention {
  trim(request: TrimRequest): Promise<TrimResult>;
  compact(run: string, stream: string): Promise<boolean>;
}

export function prepareRetention(db: Database): Retention {
  const packer = new ChunkPacker();
  return {
    async trim({ cursor, limit, keep, olderThanMs, spare }) {
      const answer = await db.transition<{ removed: number; cursor: number | null }>('trim_streams', [
        Number(cursor ?? 0),
        limit,
        keep ?? null,
        olderThanMs === undefined ? null : toMillis(olderThanMs),
        db.texts(spare),
      ]);
      return { removed: answer.removed, cursor: answer.cursor === null ? null : String(answer.cursor) };
    },
    async compact(run, stream) {
      const found = await db.query<SizeRow>('sizes', SIZES, [db.text(run), db.text(stream)]);
      const [row] = found;
      if (row === undefined || row.first === null) return false;
      const compacted = Number(row.compacted);
      const step = nextStep(found.map(toSmallRow), { isClosed: row.is_closed === 't', compacted });
      if (step.group.length < 2 && step.compacted === compacted) return step.hasMore;
      const blobs = new Blobs();
      const group = step.group.length < 2 ? [] : step.group;
      const packs = repack(group, { packer, blobs });
      const done = await db.rows<{ compact_rows: string }>('compact_rows', [
        row.stream,
        `{${group.map(({ first }) => first).join(',')}}`,
        db.json(packs),
        blobs.bytes(),
        step.compacted,
      ]);
      return step.hasMore || done[0]?.compact_rows !== 't';
    },
  };
}

function toSmallRow({ first, count, at, bytes }: SizeRow): SmallRow {
  return { first: Number(first), count: Number(count), at: Number(at), bytes: toBytes(bytes) };
}

function repack(group: SmallRow[], { packer, blobs }: { packer: ChunkPacker; blobs: Blobs }): number[][] {
  const chunks = group.flatMap(({ bytes }) => (bytes === null ? [] : unpackChunks(bytes, { from: 0 })));
  const packs: number[][] = [];
  for (let start = 0; start < chunks.length;) {
    const pack = packer.pack(chunks, { start, base: null, maxBytes: ROW_BYTES, appends: false });
    packs.push([(group[0]?.first ?? 0) + start, pack.count, ...blobs.add(pack.bytes)]);
    start += pack.count;
  }
  return packs;
}

interface Step {
  /** Rows to write anew. */
  group: SmallRow[];
  /** Up to where all is done. */
  compacted: number;
  hasMore: boolean;
}

function nextStep(rows: SmallRow[], stream: { isClosed: boolean; compacted: number }): Step {
  const group = smallRows(rows);
  const last = group.at(-1) ?? rows.at(-1);
  if (last === undefined) return { group, compacted: stream.compacted, hasMore: false };
  const isAtEnd = last === rows.at(-1);
  const [first] = group;
  // Rows that come later may join those at the end of an open stream.
  if (isAtEnd && !stream.isClosed && first !== undefined && sizeOf(group) < SMALL_BYTES)
    return { group, compacted: first.first, hasMore: false };
  return { group, compacted: last.first + last.count, hasMore: !isAtEnd || rows.length === MOST_ROWS };
}

/** The first rows that together would be fewer. */
function smallRows(rows: SmallRow[]): SmallRow[] {
  const group: SmallRow[] = [];
  for (const row of rows) {
    const joins =
      group.length === 0 ||
      (row.at - (group[0]?.at ?? 0) <= ROW_SPAN_MS && sizeOf(group) + (row.bytes?.length ?? 0) <= MOST_BYTES);
    if (row.bytes !== null && joins) group.push(row);
    else if (group.length > 0) break;
  }
  return group;
}

function sizeOf(rows: SmallRow[]): number {
  return rows.reduce((size, { bytes }) => size + (bytes?.length ?? 0), 0);
}
