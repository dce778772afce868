/** The end of a run and its consequences, and the controls that people have. */

import { isEnded } from '../../runtime/store.ts';
import type { Control, ControlResult } from '../../runtime/store.ts';
import { CANCELLED_BY_STORE, childPayload, handedOver, TERMINATED } from '../rules.ts';
import type { Ending } from '../rules.ts';
import type { Hooks } from './hooks.ts';
import type { Inbox } from './inbox.ts';
import type { Lanes } from './lanes.ts';
import { allRows, toMessage } from './rows.ts';
import type { BriefRow, Row } from './rows.ts';
import { tellThread } from './runs.ts';
import type { Runs } from './runs.ts';
import type { OpenFile } from './open-file.ts';

export interface Endings {
  /** S18 */
  end(run: BriefRow, ending: Ending): void;
  /** S22. Nothing happens to a run that has ended. */
  cancel(run: BriefRow): void;
  control(id: string, control: Control): ControlResult;
}

interface Parts {
  runs: Runs;
  inbox: Inbox;
  hooks: Hooks;
  lanes: Lanes;
}

export function prepareEndings(file: OpenFile, parts: Parts): Endings {
  const end = prepareEnd(file, parts);
  const cancel = prepareCancel(file, { ...parts, end });
  const resume = prepareResume(file, parts);
  const terminate = prepareTerminate(file, { ...parts, end, cancel });
  const apply = (run: BriefRow, control: Control): boolean => {
    switch (control) {
      case 'cancel':
        cancel(run);
        return true;
      case 'resume':
        return resume(run);
      case 'terminate':
        terminate(run);
        return true;
    }
  };
  return {
    end,
    cancel,
    control(id, control) {
      const row = parts.runs.brief(id);
      const done = row !== undefined && !isEnded(row.status) && apply(row, control);
      const run = parts.runs.full(id);
      return run === null ? { kind: 'not_found' } : { kind: done ? 'ok' : 'refused', run };
    },
  };
}

function prepareEnd(file: OpenFile, parts: Parts): Endings['end'] {
  const { db, clock, hints } = file;
  const { runs, hooks, lanes } = parts;
  const end = db.prepare(
    'UPDATE runs SET status = ?, due_at = NULL, error_code = ?, updated_at = ?, ended_at = ? WHERE key = ?',
  );
  const setPayloads = db.prepare(
    'UPDATE payloads SET result = ?, error = ?, park_code = NULL, park_details = NULL WHERE run = ?',
  );
  const openStreams = db.prepare('SELECT name FROM streams WHERE run = ? AND closed = 0');
  return (run, ending) => {
    const now = clock.now();
    end.run(ending.status, ending.errorCode, now, now, run.key);
    setPayloads.run(ending.result, ending.error, run.key);
    lanes.moved(run);
    hints.push({ kind: 'run', run: run.id });
    // Its streams are closed because it has ended; no row says so.
    for (const { name } of allRows<{ name: string }>(openStreams, run.key))
      hints.push({ kind: 'stream', run: run.id, stream: name });
    hooks.closeAll(run.key);
    tellThread(hints, run);
    if (run.thread !== null) promoteQueued(runs, run);
    tellParent(parts, { run, ending });
  };
}

function promoteQueued(runs: Runs, of: BriefRow): void {
  const live = runs.liveOfThread(of);
  const next = live[0];
  if (next !== undefined && live.every((run) => run.status === 'queued')) runs.makeReady(next);
}

function tellParent({ runs, inbox }: Parts, { run, ending }: { run: BriefRow; ending: Ending }): void {
  if (run.parent_run === null) return;
  const parent = runs.brief(run.parent_run);
  if (parent === undefined || isEnded(parent.status) || inbox.has(parent.key, run.id)) return;
  inbox.append(parent, {
    id: run.id,
    kind: 'child',
    key: run.parent_key,
    payload: childPayload(ending),
    status: ending.status,
    inputHash: null,
    by: null,
  });
}

function prepareCancel(
  { db, clock, hints }: OpenFile,
  { runs, end }: Parts & { end: Endings['end'] },
): Endings['cancel'] {
  const setFlag = db.prepare('UPDATE runs SET cancel = 1, updated_at = ? WHERE key = ?');
  const cancel = (run: BriefRow): void => {
    if (isEnded(run.status)) return;
    setFlag.run(clock.now(), run.key);
    if (run.status === 'queued' || run.status === 'parked') {
      end(run, CANCELLED_BY_STORE);
      cancelChildren(runs, { run, cancel });
      return;
    }
    hints.push({ kind: 'run', run: run.id });
    if (run.status === 'waiting') runs.makeReady(run);
  };
  return cancel;
}

/** Each is read again: the end of one may have changed the next. */
function cancelChildren(runs: Runs, { run, cancel }: { run: BriefRow; cancel: Endings['cancel'] }): void {
  for (const { id } of runs.liveChildren(run.id)) {
    const child = runs.brief(id);
    if (child !== undefined) cancel(child);
  }
}

function prepareResume({ db }: OpenFile, { runs }: Parts): (run: BriefRow) => boolean {
  const reset = db.prepare("UPDATE runs SET attempts = 0, suspects = NULL, origin = 'yield' WHERE key = ?");
  const unpark = db.prepare('UPDATE payloads SET park_code = NULL, park_details = NULL WHERE run = ?');
  return (run) => {
    if (run.status !== 'parked') return false;
    reset.run(run.key);
    unpark.run(run.key);
    runs.makeReady(run);
    return true;
  };
}

function prepareTerminate({ db }: OpenFile, parts: Parts & Pick<Endings, 'end' | 'cancel'>): (run: BriefRow) => void {
  const { runs, end, cancel } = parts;
  const unread = db.prepare("SELECT * FROM messages WHERE run = ? AND seq >= ? AND kind = 'user' ORDER BY seq");
  return (row) => {
    const messages = allRows<Row>(unread, row.key, row.seen).map(toMessage);
    const run = messages.length === 0 ? null : runs.full(row.id);
    for (const message of messages) {
      if (run === null || runs.brief(message.id) !== undefined) continue;
      runs.insert(handedOver(run, message), row.thread === null ? 'ready' : 'queued');
    }
    end(row, TERMINATED);
    cancelChildren(runs, { run: row, cancel });
  };
}
