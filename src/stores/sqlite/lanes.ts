/**
 * Where due runs with limits stand in line, and the slots of limits (S30 to S34).
 *
 *  L1 A lane holds the due runs of one queue that ask for the same keys, suspects apart (S8). Runs that ask for none, and running
 *     ones, stand in lane 0, which has no row.
 *  L2 The runs of a lane are blocked together, so a claim reads the head of a lane alone. A lane that is open stands in the queue with
 *     its head's time; one that was found blocked stands behind the first of its keys that was full, out of the way of claims.
 *  L3 While a key has room, the earliest lane of each kind that stands behind it is open, or waits open for the window of the rate. Whatever
 *     may give a key room (a release, a lane that went without taking the room that it was opened for) opens the next, so
 *     none is forgotten; to open one too many costs a claim one look.
 */

import type { Limit, LimitUse } from '../../runtime/store.ts';
import { SUSPECT_ATTEMPTS } from '../../runtime/store.ts';
import {
  askedLimits,
  attemptsAfterClaim,
  begunOnce,
  claimedFrom,
  currentUse,
  isConcurrency,
  opensAt,
} from '../rules.ts';
import { allRows } from './rows.ts';
import type { BriefRow, Row } from './rows.ts';
import type { OpenFile } from './open-file.ts';

export interface Lane {
  key: number;
  suspect: number;
  queue: string;
  /** The run at its head, its id, and since when that is due. */
  head: number;
  id: string;
  head_at: number;
  limits: string;
  blocked: string | null;
}

export interface Lanes {
  /** A run with limits was created, and is due. */
  enter(key: number): void;
  /** A run's status, due time or attempts have changed; `before` is its row before that. Gives its slots back, if it had some. */
  moved(before: BriefRow): void;
  /** A run was claimed. */
  taken(before: BriefRow): void;
  /** Those that are due and open, of each queue the earliest. Suspects only if they may be claimed. */
  due(queues: readonly string[], options: { now: number; suspects: boolean }): Lane | undefined;
  /** The first key of a lane that is full. */
  fullKey(lane: Lane): Limit | undefined;
  /** Puts a lane behind a key that is full. */
  block(lane: Lane, limit: Limit): void;
  /** Opens what stands behind rates whose windows have ended. */
  openWindows(queues: readonly string[]): void;
  /** When the first lane is open and due, or may be: those that are due already among them, if asked. */
  nextAt(queue: string, options: { after: number }): number | null;
  uses(keys: readonly string[]): LimitUse[];
  forgetWindows(): void;
}

const LANE =
  'SELECT key, suspect, queue, head, (SELECT id FROM runs WHERE runs.key = lanes.head) AS id, head_at, limits, blocked FROM lanes';

/** All that claims ask of lanes; each goes through an index, whatever stands behind full keys. */
export const LANE_QUERIES = {
  due: `${LANE} WHERE queue = ? AND suspect = ? AND due_at <= ? ORDER BY due_at, head LIMIT 1`,
  next: 'SELECT due_at AS at FROM lanes WHERE queue = ? AND suspect = ? AND due_at > ? ORDER BY due_at LIMIT 1',
  opens: 'SELECT opens_at AS at FROM lanes WHERE queue = ? AND opens_at IS NOT NULL ORDER BY opens_at LIMIT 1',
  opened: 'SELECT key, blocked FROM lanes WHERE queue = ? AND opens_at <= ?',
  behind: `${LANE} WHERE blocked = ? AND queue = ? AND suspect = ? ORDER BY head_at, head LIMIT 1`,
  queues: 'SELECT queue FROM lanes WHERE blocked = ? AND queue > ? ORDER BY queue LIMIT 1',
};

export function prepareLanes(file: OpenFile): Lanes {
  const uses = prepareUses(file);
  const open = prepareOpen(file, uses);
  const { block, refresh, laneOf } = prepareChanges(file, { uses, open });
  const enter = prepareEnter(file, { laneOf, refresh });
  return {
    enter,
    moved(before) {
      if (before.limits === null) return;
      if (before.status === 'running') open(uses.release(parseLimits(before.limits)));
      enter(before.key);
    },
    taken(before) {
      if (before.limits === null) return;
      uses.take(askedLimits(parseLimits(before.limits), before));
      enter(before.key);
    },
    block,
    fullKey: (lane) => uses.full(lane),
    uses: uses.read,
    forgetWindows: uses.forgetWindows,
    ...prepareQuestions(file, open),
  };
}

function prepareQuestions(
  { db, clock }: OpenFile,
  open: (limits: readonly Pick<Limit, 'key'>[]) => void,
): Pick<Lanes, 'due' | 'nextAt' | 'openWindows'> {
  const due = db.prepare(LANE_QUERIES.due);
  const next = db.prepare(LANE_QUERIES.next);
  const opens = db.prepare(LANE_QUERIES.opens);
  const opened = db.prepare(LANE_QUERIES.opened);
  const unmark = db.prepare('UPDATE lanes SET opens_at = NULL WHERE key = ?');
  return {
    due(queues, { now, suspects }) {
      const found = queues.flatMap((queue) => [
        ...allRows<Lane>(due, queue, 0, now),
        ...(suspects ? allRows<Lane>(due, queue, 1, now) : []),
      ]);
      return found.toSorted((a, b) => a.head_at - b.head_at || a.head - b.head)[0];
    },
    nextAt(queue, { after }) {
      const times = [next.get(queue, 0, after), next.get(queue, 1, after), opens.get(queue)]
        .filter((row) => row !== undefined)
        .map((row) => Number(row['at']));
      return times.length === 0 ? null : Math.min(...times);
    },
    openWindows(queues) {
      const lanes = queues.flatMap((queue) => allRows<{ key: number; blocked: string }>(opened, queue, clock.now()));
      for (const { key } of lanes) unmark.run(key);
      open(lanes.map(({ blocked }) => ({ key: blocked })));
    },
  };
}

function parseLimits(limits: string): Limit[] {
  return JSON.parse(limits) as Limit[];
}

interface Uses {
  /** Since when a key has room, as `opensAt`. */
  opensAt(limit: Limit): number | null;
  full(lane: Lane): Limit | undefined;
  take(limits: readonly Limit[]): void;
  /** Answers the limits that have room by it. */
  release(limits: readonly Limit[]): readonly Limit[];
  read(keys: readonly string[]): LimitUse[];
  forgetWindows(): void;
}

function prepareUses({ db, clock }: OpenFile): Uses {
  const find = db.prepare('SELECT held, begun, window_end FROM limit_uses WHERE key = ?');
  const put = db.prepare('INSERT OR REPLACE INTO limit_uses (key, held, begun, window_end) VALUES (?, ?, ?, ?)');
  const remove = db.prepare('DELETE FROM limit_uses WHERE key = ?');
  const forget = db.prepare('DELETE FROM limit_uses WHERE window_end <= ?');
  const useOf = (key: string): LimitUse => {
    const row = find.get(key) as { held: number; begun: number; window_end: number | null } | undefined;
    return { key, held: row?.held ?? 0, begun: row?.begun ?? 0, windowEnd: row?.window_end ?? null };
  };
  const save = ({ key, held, begun, windowEnd }: LimitUse): void => void put.run(key, held, begun, windowEnd);
  const opens = (limit: Limit): number | null => opensAt(limit, { use: useOf(limit.key), now: clock.now() });
  return {
    opensAt: opens,
    full(lane) {
      const now = clock.now();
      return parseLimits(lane.limits).find((limit) => opensAt(limit, { use: useOf(limit.key), now }) !== now);
    },
    take(limits) {
      for (const limit of limits) {
        const use = useOf(limit.key);
        save(isConcurrency(limit) ? { ...use, held: use.held + 1 } : begunOnce(limit, { use, now: clock.now() }));
      }
    },
    release(limits) {
      const released = limits.filter(isConcurrency);
      for (const { key } of released) {
        const use = useOf(key);
        if (use.held > 1) save({ ...use, held: use.held - 1 });
        else remove.run(key);
      }
      return released;
    },
    read: (keys) => keys.map((key) => currentUse(useOf(key), clock.now())),
    forgetWindows: () => void forget.run(clock.now()),
  };
}

/** L3: opens the earliest lane of each kind behind these keys, if they have room. */
function prepareOpen({ db, clock, hints }: OpenFile, uses: Uses): (limits: readonly Pick<Limit, 'key'>[]) => void {
  const behind = db.prepare(LANE_QUERIES.behind);
  const nextQueue = db.prepare(LANE_QUERIES.queues);
  const update = db.prepare('UPDATE lanes SET blocked = ?, due_at = ?, opens_at = ? WHERE key = ?');
  const openFirst = (key: string, kind: { queue: string; suspect: number }): void => {
    const lane = behind.get(key, kind.queue, kind.suspect) as Lane | undefined;
    const limit = lane && parseLimits(lane.limits).find((each) => each.key === key);
    if (lane === undefined || limit === undefined) return;
    const at = uses.opensAt(limit);
    if (at === null) return;
    if (at <= clock.now()) update.run(null, lane.head_at, null, lane.key);
    else update.run(key, null, at, lane.key);
    hints.push({ kind: 'due' });
  };
  return (limits) => {
    for (const { key } of limits) {
      let row = nextQueue.get(key, '');
      while (row !== undefined) {
        const queue = String(row['queue']);
        for (const suspect of [0, 1]) openFirst(key, { queue, suspect });
        row = nextQueue.get(key, queue);
      }
    }
  };
}

interface Changes {
  block(lane: Lane, limit: Limit): void;
  /** The runs of a lane have changed. */
  refresh(key: number): void;
  /** The lane of a run; a new one is not open if a key is full. */
  laneOf(run: LaneRun, limits: readonly Limit[]): number;
}

interface LaneRun extends Pick<BriefRow, 'key' | 'queue' | 'status' | 'origin' | 'attempts' | 'limits' | 'lane'> {
  due_at: number | null;
}

function prepareChanges(
  { db, clock }: OpenFile,
  { uses, open }: { uses: Uses; open: (limits: readonly Limit[]) => void },
): Changes {
  const read = db.prepare(`${LANE} WHERE key = ?`);
  const find = db.prepare(`${LANE} WHERE queue = ? AND suspect = ? AND keys = ?`);
  const insert = db.prepare(
    'INSERT INTO lanes (queue, suspect, keys, limits, head, head_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const renumber = db.prepare(
    'UPDATE lanes SET limits = ?, blocked = NULL, opens_at = NULL, due_at = head_at WHERE key = ?',
  );
  const putAside = db.prepare('UPDATE lanes SET blocked = ?, due_at = NULL, opens_at = NULL WHERE key = ?');
  const firstRun = db.prepare(
    'SELECT key, due_at FROM runs WHERE queue = ? AND lane = ? AND due_at IS NOT NULL ORDER BY due_at, key LIMIT 1',
  );
  const stay = db.prepare('UPDATE lanes SET head = ?, head_at = ? WHERE key = ?');
  const stand = db.prepare(
    'UPDATE lanes SET head = ?, head_at = ?, due_at = ?, blocked = NULL, opens_at = NULL WHERE key = ?',
  );
  const remove = db.prepare('DELETE FROM lanes WHERE key = ?');
  const block = (lane: Lane, limit: Limit): void => {
    putAside.run(limit.key, lane.key);
    open(parseLimits(lane.limits));
  };
  return {
    block,
    refresh(key) {
      const lane = read.get(key) as Lane | undefined;
      if (lane === undefined) return;
      const first = firstRun.get(lane.queue, key) as { key: number; due_at: number } | undefined;
      if (first?.key === lane.head && first.due_at === lane.head_at) return;
      if (first === undefined) remove.run(key);
      else if (lane.blocked !== null && first.due_at <= clock.now()) return void stay.run(first.key, first.due_at, key);
      else stand.run(first.key, first.due_at, first.due_at, key);
      open(parseLimits(lane.limits));
    },
    laneOf(run, limits) {
      const suspect = Number(attemptsAfterClaim(run.attempts, claimedFrom(run.status, run.origin)) >= SUSPECT_ATTEMPTS);
      const keys = JSON.stringify(limits.map(({ key }) => key));
      const text = JSON.stringify(limits);
      const known = find.get(run.queue, suspect, keys) as Lane | undefined;
      if (known !== undefined) {
        // S31: what was full by the former numbers may have room by these.
        if (known.limits !== text) renumber.run(text, known.key);
        return known.key;
      }
      const { lastInsertRowid } = insert.run(run.queue, suspect, keys, text, run.key, run.due_at, run.due_at);
      const lane = read.get(lastInsertRowid) as unknown as Lane;
      const full = lane.head_at <= clock.now() ? uses.full(lane) : undefined;
      if (full !== undefined) block(lane, full);
      return lane.key;
    },
  };
}

function prepareEnter(
  { db }: OpenFile,
  { laneOf, refresh }: Pick<Changes, 'laneOf' | 'refresh'>,
): (key: number) => void {
  const find = db.prepare('SELECT key, queue, status, origin, attempts, limits, lane, due_at FROM runs WHERE key = ?');
  const setLane = db.prepare('UPDATE runs SET lane = ? WHERE key = ?');
  return (key) => {
    const run = find.get(key) as Row as unknown as LaneRun;
    const limits = run.due_at === null ? [] : askedLimits(parseLimits(run.limits ?? '[]'), run);
    const lane = limits.length === 0 ? 0 : laneOf(run, limits);
    if (lane !== run.lane) setLane.run(lane, key);
    if (run.lane !== lane && run.lane !== 0) refresh(run.lane);
    if (lane !== 0) refresh(lane);
  };
}
