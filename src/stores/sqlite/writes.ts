/**
 * The way of every write into the file.
 *
 *  W1 What was asked for in one macrotask is one transaction, with one sync to disk.
 *  W2 A promise resolves after COMMIT, watchers hear of it after COMMIT.
 *  W3 If the transaction fails, each part is tried in one of its own, so that a part that cannot be written stops no other.
 *  W4 What is put aside has a macrotask and a transaction of its own, so that watchers hear first of what came first, and no sync: the next
 *     one's sync takes it along. Until then a loss of power takes it back, and nothing else.
 */

import type { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../runtime/clock.ts';

export interface Writes {
  /** Runs parts that write, in order, in the next transaction; answers what they answered. */
  submit<T>(parts: Array<() => T>): Promise<T[]>;
  /** Runs a part that nobody waits for and that may be taken back (W4). */
  putAside<T>(part: () => T): Promise<T>;
  /** Writes at once what waits. */
  flush(): void;
}

interface Job {
  parts: Array<() => unknown>;
  resolve: (answers: unknown[]) => void;
  reject: (error: unknown) => void;
}

interface WritesOptions {
  clock: Clock;
  onBegin: () => void;
  beforeCommit: () => void;
  /** After a COMMIT. */
  onCommit: () => void;
  onRollback: () => void;
  /** Makes an error one of the store's. */
  translate: (error: unknown) => unknown;
}

/** SQLite's level of `synchronous` at which a COMMIT of the log is not synced. */
const NORMAL = 1;

export function prepareWrites(db: DatabaseSync, options: WritesOptions): Writes {
  const transact = prepareTransaction(db, options);
  const { translate } = options;
  const unsynced = withoutSync(db, transact);
  const gathered = prepareQueue(options, (jobs) => settle(jobs, { transact, translate }));
  const aside = prepareQueue(options, (jobs) => {
    for (const job of jobs) settle([job], { transact: unsynced, translate });
  });
  return {
    submit: (parts) =>
      new Promise((resolve, reject) => gathered.add({ parts, resolve: resolve as Job['resolve'], reject })),
    putAside: <T>(part: () => T) =>
      new Promise<T>((resolve, reject) =>
        aside.add({ parts: [part], resolve: ([answer]) => resolve(answer as T), reject }),
      ),
    flush() {
      gathered.flush();
      aside.flush();
    },
  };
}

interface Queue {
  add(job: Job): void;
  flush(): void;
}

/** What is added in one macrotask is written at its end, in a macrotask that ends before other queues are written. */
function prepareQueue({ clock }: WritesOptions, write: (jobs: Job[]) => void): Queue {
  let waiting: Job[] = [];
  const flush = (): void => {
    const jobs = waiting;
    waiting = [];
    if (jobs.length > 0) write(jobs);
  };
  return {
    add(job) {
      waiting.push(job);
      if (waiting.length === 1) clock.defer(flush);
    },
    flush,
  };
}

type Transact = <T>(run: () => T) => T;

function prepareTransaction(db: DatabaseSync, options: WritesOptions): Transact {
  const begin = db.prepare('BEGIN IMMEDIATE');
  const commit = db.prepare('COMMIT');
  return (run) => {
    begin.run();
    options.onBegin();
    let answer;
    try {
      answer = run();
      options.beforeCommit();
      commit.run();
    } catch (error) {
      rollBack(db);
      options.onRollback();
      throw error;
    }
    options.onCommit();
    return answer;
  };
}

/** W4: the log is read up to its first gap, so a sync of later frames is one of these. */
function withoutSync(db: DatabaseSync, transact: Transact): Transact {
  const level = Number(db.prepare('PRAGMA synchronous').get()?.['synchronous']);
  if (level <= NORMAL) return transact;
  return (run) => {
    db.exec(`PRAGMA synchronous = ${NORMAL}`);
    try {
      return transact(run);
    } finally {
      db.exec(`PRAGMA synchronous = ${level}`);
    }
  };
}

/** SQLite has rolled back by itself after some errors (a full disk, for one); then there is no transaction to end. */
function rollBack(db: DatabaseSync): void {
  try {
    db.exec('ROLLBACK');
  } catch (error) {
    if (!(error instanceof Error && error.message.includes('no transaction is active'))) throw error;
  }
}

interface Settling {
  transact: Transact;
  translate: (error: unknown) => unknown;
}

function settle(jobs: Job[], settling: Settling): void {
  try {
    const answers = settling.transact(() => jobs.map((job) => job.parts.map((part) => part())));
    for (const [index, job] of jobs.entries()) job.resolve(answers[index] ?? []);
  } catch (error) {
    const isSingle = jobs.length === 1 && jobs[0]?.parts.length === 1;
    if (isSingle) jobs[0]?.reject(settling.translate(error));
    else for (const job of jobs) settleSingly(job, settling);
  }
}

/** W3 */
function settleSingly(job: Job, { transact, translate }: Settling): void {
  const answers: unknown[] = [];
  let failure: { error: unknown } | undefined;
  for (const part of job.parts) {
    try {
      answers.push(transact(part));
    } catch (error) {
      failure ??= { error };
    }
  }
  if (failure === undefined) job.resolve(answers);
  else job.reject(translate(failure.error));
}
