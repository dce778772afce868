/**
 * `fork('traveller-process.ts', [json])`: runs travellers to their end, or to this process's. Approves what they ask. Of each run it tells what
 * the store held before, and what it holds at the end.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { UIMessage, UIMessageChunk } from 'ai';
import { createRuntime, DurableError } from 'everturn';
import type { JournalEvent, LogFields, Logger, Runtime } from 'everturn';
import { deadlyStore } from '../support/deadly-store.ts';
import type { Death } from '../support/deadly-store.ts';
import { openStore } from '../support/open-store.ts';
import { createTraveller } from './traveller.ts';
import type { Surroundings } from './traveller.ts';

export interface TravellerOptions {
  at: Surroundings;
  trips: Trip[];
}

export interface Trip {
  /** Of the run. */
  id: string;
  /** Of its own, for what it leaves behind. */
  directory: string;
  /** Of its own, so that it knows no other run; see `openStore`. */
  store: string;
  death?: Death;
}

export interface TripReport {
  id: string;
  pid: number;
  before: Recorded;
  after: Recorded;
  /** What a reader that came at the tail of `before` got, until the end. */
  resumed: UIMessageChunk[];
  result: { text: string; turns: number; messages: unknown[]; uiMessage: UIMessage };
  warnings: string[];
  /** Of the ledger: turn and outcome of each model attempt. */
  attempts: Array<{ turn: string; outcome: string }>;
}

/** What a store holds of a run. */
export interface Recorded {
  events: Array<Pick<JournalEvent, 'type' | 'key'>>;
  chunks: UIMessageChunk[];
}

const { at, trips } = JSON.parse(process.argv[2] ?? '') as TravellerOptions;
await Promise.all(trips.map(travel));
process.disconnect();

async function travel({ id, directory, store: url, death }: Trip): Promise<void> {
  const before = await recorded(url, id);
  const warnings: string[] = [];
  const agent = createTraveller(at);
  const store = deadlyStore(openStore(url), { death, log: join(directory, 'writes.txt') });
  const runtime = createRuntime({
    store,
    agents: { traveller: agent },
    worker: workerOf(url),
    logger: warningsOnly(warnings),
  });
  const run = await runtime.start(agent, { id, prompt: `Travel, says ${id}.` });
  const resumed = readAll(run.stream<UIMessageChunk>({ from: before.chunks.length }));
  const [result] = await Promise.all([run.result(), approveUntilEnded(runtime, id)]);
  const chunks = await resumed;
  const rows = (await runtime.ledger({ run: id })).items.map(({ key, outcome }) => ({ turn: key, outcome }));
  await runtime.close();
  const report: TripReport = {
    pid: process.pid,
    id,
    before,
    after: await recorded(url, id),
    resumed: chunks,
    result,
    warnings,
    attempts: rows,
  };
  process.send?.(report);
}

/** A process that opens a file knows that all others are dead; elsewhere their leases have to end, but not while a busy machine lets it wait. */
function workerOf(url: string): { leaseMs?: number } {
  return url.startsWith('sqlite:') ? {} : { leaseMs: 6_000 };
}

async function recorded(url: string, id: string): Promise<Recorded> {
  const reader = createRuntime({ store: openStore(url), worker: false });
  try {
    const run = reader.getRun(id);
    const events = await run.events();
    const chunks = await readAll(run.stream<UIMessageChunk>({ follow: false }));
    return { events: events.map(({ type, key }) => ({ type, key })), chunks };
  } catch (error) {
    if (DurableError.is(error, 'run_not_found')) return { events: [], chunks: [] };
    throw error;
  } finally {
    await reader.close();
  }
}

async function readAll<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of stream) all.push(item);
  return all;
}

async function approveUntilEnded(runtime: Runtime, id: string): Promise<void> {
  for (;;) {
    const status = await runtime.getRun(id).status;
    if (status === 'completed' || status === 'failed' || status === 'parked') return;
    const open = await runtime.approvals.list({ run: id });
    for (const approval of open.items) await runtime.approvals.approve(approval.id, { by: 'kim' });
    await delay(5);
  }
}

function warningsOnly(lines: string[]): Logger {
  const keep = ({ code, err }: LogFields, message: string): void => {
    lines.push([code, message, err instanceof Error ? err.message : ''].filter(Boolean).join(': '));
  };
  return { debug: () => {}, info: () => {}, warn: keep, error: keep };
}
