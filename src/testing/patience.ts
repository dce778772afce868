/** Waiting for a run in real time, with an end: a test that waits for something that cannot come should say why. */

import { AssertionError } from 'node:assert';
import { systemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { toRunInfo } from '../app/run-info.ts';
import type { Run, Store } from '../runtime/store.ts';
import { lastComplaints } from './logs.ts';
import type { LogLine } from './logs.ts';

/** What is waited for. */
export interface AwaitedRun {
  id: string;
  status: string;
}

export interface PatienceParts {
  store: Store;
  clock: Clock;
  logs: readonly LogLine[];
  /** Why nothing executes at the moment, if nothing does. */
  halted: string | undefined;
}

/** Settles as `promise` does; after `ms` of real time it rejects with what `explain` answers. */
export async function withPatience<T>(
  promise: Promise<T>,
  options: { ms: number; explain: () => Promise<Error> },
): Promise<T> {
  let cancel = (): void => {};
  const spent = new Promise<never>((_, reject) => {
    cancel = systemClock().schedule(() => void options.explain().then(reject, reject), options.ms);
  });
  try {
    return await Promise.race([promise, spent]);
  } finally {
    cancel();
  }
}

/** What a run does or waits for, and what would make it go on. */
export async function explainRun({ store, clock, logs, halted }: PatienceParts, awaited: AwaitedRun): Promise<Error> {
  const { id, status } = awaited;
  const run = await store.get(id);
  const facts =
    run === null ? ['There is no such run.'] : [`It is ${run.status}.`, ...(await factsOf(run, { store, clock }))];
  const complaints = lastComplaints(logs.filter((line) => line.run === undefined || line.run === id));
  const lines = [
    `The run "${id}" did not come to be ${status}.`,
    ...facts,
    ...(halted === undefined ? [] : [halted]),
    ...complaints,
  ];
  return new AssertionError({ message: lines.join('\n  ') });
}

async function factsOf(row: Run, { store, clock }: { store: Store; clock: Clock }): Promise<string[]> {
  const run = toRunInfo(row);
  const facts: string[] = [];
  if (run.parked !== null) facts.push(`Parked for ${run.parked.code}: ${JSON.stringify(run.parked.details)}.`);
  if (run.error !== null) facts.push(`Its error: ${run.error.code}: ${run.error.message}.`);
  if (run.status === 'waiting' && run.dueAt !== null) {
    facts.push(`A timer is due in ${run.dueAt - clock.now()} ms: call clock.advance(${run.dueAt - clock.now()}).`);
  }
  if (run.status === 'running')
    facts.push('Its code executes, or waits to try again: that takes clock.advance("1 minute").');
  const { items: hooks } = await store.listHooks({ run: run.id, status: ['open'] });
  return [
    ...facts,
    ...hooks.map(({ kind, key, tool }) => `Open ${kind}: "${key}"${tool === null ? '' : `, tool "${tool}"`}.`),
  ];
}
