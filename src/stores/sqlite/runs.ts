/** The rows of runs. */

import type { Hint, NewRun, Run } from '../../runtime/store.ts';
import { createdRun } from '../rules.ts';
import type { Lanes } from './lanes.ts';
import { allRows, BRIEF_COLUMNS, toRun } from './rows.ts';
import type { BriefRow } from './rows.ts';
import type { OpenFile } from './open-file.ts';

type OfThread = Pick<Run, 'thread' | 'tenant'>;

export interface Runs {
  full(id: string): Run | null;
  /** Of a run that this transaction has read before. */
  known(id: string): Run;
  brief(id: string): BriefRow | undefined;
  insert(start: NewRun, status: 'ready' | 'queued'): Run;
  /** Makes a run claimable now. */
  makeReady(run: BriefRow): void;
  /** Runs of a thread that have not ended, oldest first. */
  liveOfThread(of: OfThread): BriefRow[];
  /** The run that has its thread to itself. */
  activeOfThread(of: OfThread): BriefRow | undefined;
  liveChildren(id: string): BriefRow[];
}

export const FULL_RUNS = 'SELECT * FROM runs JOIN payloads ON payloads.run = runs.key';

export function prepareRuns(file: OpenFile, lanes: Lanes): Runs {
  const { db, clock, hints } = file;
  const full = db.prepare(`${FULL_RUNS} WHERE id = ?`);
  const brief = db.prepare(`SELECT ${BRIEF_COLUMNS} FROM runs WHERE id = ?`);
  const ready = db.prepare("UPDATE runs SET status = 'ready', due_at = ?, updated_at = ? WHERE key = ?");
  const ofThread = db.prepare(
    `SELECT ${BRIEF_COLUMNS} FROM runs WHERE thread = ? AND tenant IS ? AND ended_at IS NULL ORDER BY key`,
  );
  const children = db.prepare(
    `SELECT ${BRIEF_COLUMNS} FROM runs WHERE parent_run = ? AND ended_at IS NULL ORDER BY key`,
  );
  const insert = prepareInsert(file, lanes);
  const liveOfThread = ({ thread, tenant }: OfThread): BriefRow[] => allRows<BriefRow>(ofThread, thread, tenant);
  const read = (id: string): Run | null => {
    const row = full.get(id);
    return row === undefined ? null : toRun(row);
  };
  return {
    full: read,
    known(id) {
      const run = read(id);
      if (run === null) throw new Error(`The run "${id}" vanished within a transaction.`);
      return run;
    },
    brief: (id) => brief.get(id) as BriefRow | undefined,
    insert,
    makeReady(run) {
      const now = clock.now();
      ready.run(now, now, run.key);
      lanes.moved(run);
      hints.push({ kind: 'due' });
      tellThread(hints, run);
    },
    liveOfThread,
    activeOfThread: (of) => (of.thread === null ? undefined : liveOfThread(of).find((row) => row.status !== 'queued')),
    liveChildren: (id) => allRows<BriefRow>(children, id),
  };
}

export function tellThread(hints: Hint[], { id, thread, tenant }: Pick<Run, 'id' | 'thread' | 'tenant'>): void {
  if (thread !== null) hints.push({ kind: 'thread', thread, tenant, run: id });
}

function prepareInsert({ db, clock, hints }: OpenFile, lanes: Lanes): Runs['insert'] {
  const insert = db.prepare(
    `INSERT INTO runs (id, status, due_at, queue, workflow, version, thread, tenant, input_hash, parent_run, parent_key, supersedes, limits, created_at, updated_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const insertPayloads = db.prepare('INSERT INTO payloads (run, input, attributes) VALUES (?, ?, ?)');
  return (start, status) => {
    const run = createdRun(start, { now: clock.now(), status });
    const { lastInsertRowid } = insert.run(
      run.id,
      run.status,
      run.dueAt,
      run.queue,
      run.workflow,
      run.version,
      run.thread,
      run.tenant,
      run.inputHash,
      run.parent?.run ?? null,
      run.parent?.key ?? null,
      run.supersedes,
      run.limits.length === 0 ? null : JSON.stringify(run.limits),
      run.createdAt,
      run.updatedAt,
    );
    insertPayloads.run(lastInsertRowid, run.input, JSON.stringify(run.attributes));
    if (status === 'ready') {
      if (run.limits.length > 0) lanes.enter(Number(lastInsertRowid));
      hints.push({ kind: 'due' });
    }
    tellThread(hints, run);
    return run;
  };
}
