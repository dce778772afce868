/**
 * Who may use what an id of a request means.
 *
 *  W1 `authorize` is asked with what the request says before anything is read, and again with the run and the thread that the row says
 *     before anything of it is shown or changed. So whoever judges by threads judges every way in.
 *  W2 What belongs to another tenant throws as what does not exist.
 */

import type { Runtime } from '../app/create-runtime.ts';
import type { RunInfo } from '../app/run-info.ts';
import { DurableError } from '../runtime/errors.ts';
import type { AccessRequest, Caller } from './access.ts';

export type Allow = (access: AccessRequest) => Promise<Caller>;

/** A run, or what belongs to one. */
export interface Row {
  id: string;
  run?: string;
  thread: string | null;
  tenant: string | null;
  parent?: RunInfo['parent'];
}

/** Where a row belongs, as `authorize` is told. */
export type Subject = Pick<AccessRequest, 'runId' | 'threadId'>;

export interface RowRequest<ROW extends Row> {
  allow: Allow;
  /** What the request says. */
  access: AccessRequest;
  /** Throws `missing` for what does not exist. */
  read(): Promise<ROW>;
  missing(): DurableError;
}

export interface AllowedRow<ROW extends Row> {
  row: ROW;
  caller: Caller;
  subject: Subject;
}

/** W1, W2. Throws what `read` does, `missing`, and the response of `authorize`. */
export async function allowRow<ROW extends Row>(
  runtime: Runtime,
  { allow, access, read, missing }: RowRequest<ROW>,
): Promise<AllowedRow<ROW>> {
  const asking = await allow(access);
  const row = await read();
  if (row.tenant !== asking.tenant) throw missing();
  const subject = await subjectOf(runtime, row);
  const caller = addsTo(access, subject) ? await allow({ ...access, ...subject }) : asking;
  if (row.tenant !== caller.tenant) throw missing();
  return { row, caller, subject };
}

/** Of a list of what one run has: runs that do not exist, and those of other tenants, have nothing. */
export async function allowList(
  runtime: Runtime,
  { allow, access }: { allow: Allow; access: AccessRequest },
): Promise<Caller> {
  const caller = await allow(access);
  const run = access.runId === undefined ? null : await findRunRow(runtime, access.runId);
  if (run === null || run.tenant !== caller.tenant) return caller;
  const subject = await subjectOf(runtime, run);
  return addsTo(access, subject) ? allow({ ...access, ...subject }) : caller;
}

/** The thread is that of its run, or of the run that started this one. */
export async function subjectOf(runtime: Runtime, row: Row): Promise<Subject> {
  const threadId = await threadOf(runtime, row);
  return { runId: row.run ?? row.id, ...(threadId === undefined ? {} : { threadId }) };
}

function addsTo(access: AccessRequest, subject: Subject): boolean {
  return subject.runId !== access.runId || (subject.threadId ?? access.threadId) !== access.threadId;
}

async function threadOf(runtime: Runtime, row: Row): Promise<string | undefined> {
  let at: Row | null = row;
  while (at !== null) {
    if (at.thread !== null) return at.thread;
    const above: string | undefined = at.run ?? at.parent?.run;
    at = above === undefined ? null : await findRunRow(runtime, above);
  }
  return undefined;
}

async function findRunRow(runtime: Runtime, id: string): Promise<RunInfo | null> {
  try {
    return await runtime.getRun(id).info();
  } catch (error) {
    if (DurableError.is(error, 'run_not_found')) return null;
    throw error;
  }
}
