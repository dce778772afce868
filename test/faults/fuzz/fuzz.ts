/**
 * A wall-clock fuzz of processes on one store: workers are killed, and stopped past their leases and continued, while clients answer hooks and
 * repeat themselves. What must hold for each run is looked up afterwards, in its journal, its streams and the log of a witness.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { UIMessageChunk } from 'ai';
import { createRuntime, DurableError } from 'everturn';
import type { Runtime } from 'everturn';
import { startModelServer } from '../../../examples/model-server/server.ts';
import type { Store } from '../../../src/runtime/store.ts';
import { startChild } from '../../support/child.ts';
import type { Child } from '../../support/child.ts';
import { collect } from '../../support/collect.ts';
import { openStore } from '../../support/open-store.ts';
import { startWitness } from '../../support/witness.ts';
import type { WitnessRecord } from '../../support/witness.ts';
import type { FuzzMessage } from './fuzz-process.ts';
import { fuzzRuns } from './fuzz-runs.ts';
import type { FuzzTask, Trip } from './fuzz-runs.ts';

export interface FuzzOptions {
  /** See `openStore`. */
  store: string;
  runs: number;
  seed: number;
  workers?: number;
  leaseMs?: number;
  /** Stops a worker where that does not stop the store itself. */
  stop?: (child: Child<FuzzMessage>) => Promise<void>;
}

export interface FuzzReport {
  violations: string[];
  kills: number;
  stops: number;
  /** Runs that were parked as a crash loop. */
  resumed: number;
  /** Effects that happened more than once: their process died or was stopped before the record. */
  repeated: number;
  effects: number;
  tookMs: number;
}

const STOPS = ['start', 'left', 'right', 'far', 'end'];
const LOG = [0, 1, 2, 3, 4];
/** An event's time is the store's as its holder knows it: as late as an answer of the store may be on a machine that is busy. */
const CLOCKS_MS = 1_000;
/** Whatever has not ended by then hangs. */
const PATIENCE_MS = 240_000;

export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const { runs, seed, workers = 4, leaseMs = 1_500 } = options;
  const [witness, model] = await Promise.all([startWitness(), startModelServer({ pacingMs: 4 })]);
  const store = openStore(options.store);
  const task: FuzzTask = {
    store: options.store,
    modelUrl: model.baseURL,
    witnessUrl: witness.url,
    leaseMs,
    workMs: 40,
  };
  const runtime = createRuntime({ store, worker: false, ...fuzzRuns(task) });
  const live = (): Child<FuzzMessage> => startChild(new URL('fuzz-process.ts', import.meta.url), task);
  const crew = Array.from({ length: workers }, live);
  const stopped = new Set<number>();
  const from = performance.now();
  const state = { over: false };
  let chaos: Promise<{ kills: number; stops: number }> | undefined;
  try {
    await Promise.all(crew.map((worker) => worker.message(({ kind }) => kind === 'open')));
    const ids = await startRuns(runtime, runs);
    const trips = ids.filter((_, index) => index % 2 === 0);
    const answered = Promise.all(trips.map((id) => answerHook(runtime, { id, state })));
    const readers = ids
      .filter((_, index) => index % 5 < 2)
      .map(async (id) => ({ id, seen: await readOn(runtime, { id, state }) }));
    chaos = disturb({ crew, live, leaseMs, seed, stopped, state, stop: options.stop });
    const resumed: string[] = [];
    const patience = delay(PATIENCE_MS, 'late' as const, { ref: false });
    const ended = await Promise.all(
      ids.map(async (id) => {
        const outcome = await Promise.race([settled(runtime, { id, resumed, state }), patience]);
        return outcome === 'late' ? describeLate(store, id) : outcome;
      }),
    );
    const tookMs = performance.now() - from;
    state.over = true;
    const { kills, stops } = await chaos;
    await answered;
    const records = witness.records();
    const byKey = Map.groupBy(records, ({ key }) => key);
    const late = ended.filter((problem) => problem !== '');
    const seen = late.length > 0 ? [] : await Promise.all(readers);
    const found = await Promise.all([
      ...trips.map((id) => checkTrip(runtime, { id, byKey })),
      ...ids.map((id) => checkJournal(runtime, { id, store })),
      checkEffects(runtime, { ids, byKey, stopped }),
      ...seen.map((of) => compare(runtime, of)),
    ]);
    const repeated = [...byKey.values()].filter((of) => of.length > 1).length;
    return {
      violations: [...late, ...found.flat()],
      kills,
      stops,
      resumed: resumed.length,
      repeated,
      effects: byKey.size,
      tookMs,
    };
  } finally {
    state.over = true;
    await chaos;
    for (const worker of crew) worker.kill('SIGKILL');
    await Promise.all(crew.map((worker) => worker.ended));
    await runtime.close();
    await Promise.all([witness.close(), model.close()]);
  }
}

/** Every second one is a trip, the others are agents. */
async function startRuns(runtime: Runtime, runs: number): Promise<string[]> {
  const ids = Array.from({ length: runs }, (_, index) => `run-${index}`);
  for (const [index, id] of ids.entries()) {
    if (index % 2 === 0) await runtime.start('trip', { id, input: { id } });
    else await runtime.start('porter', { id, prompt: `Please carry number ${index}.` });
  }
  return ids;
}

/** A client that repeats its payload until it was taken, and then once more, each time with the same id. */
async function answerHook(runtime: Runtime, { id, state }: { id: string; state: { over: boolean } }): Promise<void> {
  const send = (): Promise<void> => runtime.resumeHook(`hook:${id}`, { for: id }, { id: `answer:${id}` });
  while (!state.over) {
    const taken = await send().then(
      () => true,
      (error: { code?: string }) => {
        if (error.code === 'hook_not_found' || error.code === 'store_unavailable') return false;
        throw error;
      },
    );
    await delay(50);
    if (taken) return send().catch(() => {});
  }
}

async function describeLate(store: Store, id: string): Promise<string> {
  const run = await store.get(id);
  const { status, dueAt, head, epoch, attempts, inboxHead, seen, updatedAt } = run ?? {};
  return `${id} has not ended: ${JSON.stringify({ status, dueAt, head, epoch, attempts, inboxHead, seen, updatedAt, now: Date.now() })}`;
}

/** A run whose processes died five times before it made any progress is parked, as it should be: somebody lets it go on. */
async function settled(
  runtime: Runtime,
  of: { id: string; resumed: string[]; state: { over: boolean } },
): Promise<string> {
  const { id, resumed, state } = of;
  try {
    await runtime.getRun(id).result();
    return '';
  } catch (error) {
    const { code, details } = error as { code?: string; details?: { parked?: { code: string } } };
    if (state.over) return '';
    if (code === 'store_unavailable') return delay(50).then(() => settled(runtime, of));
    if (details?.parked?.code !== 'crash_loop') return `${id} did not complete: ${String(error)}`;
    resumed.push(id);
    await runtime.resume(id);
    return settled(runtime, of);
  }
}

interface Chaos {
  crew: Array<Child<FuzzMessage>>;
  live: () => Child<FuzzMessage>;
  leaseMs: number;
  seed: number;
  stopped: Set<number>;
  state: { over: boolean };
  stop: FuzzOptions['stop'];
}

async function disturb({
  crew,
  live,
  leaseMs,
  seed,
  stopped,
  state,
  stop,
}: Chaos): Promise<{ kills: number; stops: number }> {
  const next = randomFrom(seed);
  let kills = 0;
  let stops = 0;
  const continuing: Array<Promise<void>> = [];
  const asleep = new Set<Child<FuzzMessage>>();
  while (!state.over) {
    await delay(300 + 500 * next());
    const index = Math.floor(next() * crew.length);
    const worker = crew[index];
    if (worker === undefined || asleep.has(worker)) continue;
    // On a machine that is busy none would live long enough to do anything.
    if (!worker.messages.some(({ kind }) => kind === 'open')) continue;
    if (next() < 0.6) {
      kills += 1;
      worker.kill('SIGKILL');
      crew[index] = live();
      continue;
    }
    stops += 1;
    stopped.add(worker.pid);
    asleep.add(worker);
    if (stop === undefined) worker.kill('SIGSTOP');
    else await stop(worker);
    continuing.push(
      delay(leaseMs * (1.2 + next())).then(() => {
        worker.kill('SIGCONT');
        asleep.delete(worker);
      }),
    );
  }
  await Promise.all(continuing);
  return { kills, stops };
}

type ByKey = ReadonlyMap<string, WitnessRecord[]>;

/** The result is made of what the journal recorded, each value by one attempt that the witness saw; what was written is there once, in order. */
async function checkTrip(runtime: Runtime, { id, byKey }: { id: string; byKey: ByKey }): Promise<string[]> {
  const run = runtime.getRun(id);
  if ((await run.status) !== 'completed') return [];
  const { stops, answer } = (await run.result()) as Trip;
  const problems: string[] = [];
  if (stops.map(({ name }) => name).join() !== STOPS.join())
    problems.push(`${id}: its stops are ${JSON.stringify(stops)}`);
  const nonces = new Set([...byKey.values()].flat().map(({ toolCallId }) => toolCallId));
  for (const { name, nonce } of stops) if (!nonces.has(nonce)) problems.push(`${id}: nobody saw ${name} (${nonce})`);
  if ((answer as { for?: string } | null)?.for !== id) problems.push(`${id}: its answer is ${JSON.stringify(answer)}`);
  const log = await collect(run.stream<number>({ namespace: 'log' }));
  if (log.join() !== LOG.join()) problems.push(`${id}: its log is ${log.join()}`);
  return problems;
}

/** Each completion and each message is recorded once; the journal is whole. */
async function checkJournal(runtime: Runtime, { id, store }: { id: string; store: Store }): Promise<string[]> {
  const events = await runtime.getRun(id).events();
  const head = (await store.get(id))?.head;
  const problems = events.length === head ? [] : [`${id}: ${events.length} events of ${head}`];
  const once = events.filter(({ type }) =>
    ['step_completed', 'tool_completed', 'turn_completed', 'timer_fired', 'message_received'].includes(type),
  );
  const seen = Map.groupBy(once, ({ type, key }) => `${type} ${key}`);
  for (const [what, of] of seen) if (of.length > 1) problems.push(`${id}: ${of.length} times ${what}`);
  return problems;
}

/** What is recorded does not happen again, but for workers that were stopped in the moment before it. */
async function checkEffects(
  runtime: Runtime,
  { ids, byKey, stopped }: { ids: string[]; byKey: ByKey; stopped: ReadonlySet<number> },
): Promise<string[]> {
  const problems: string[] = [];
  for (const id of ids) {
    for (const { type, key, at, value } of await runtime.getRun(id).events()) {
      if (type !== 'step_completed' && type !== 'tool_completed') continue;
      const effects = byKey.get(`${id}/${key}`) ?? [];
      const recorded = effects.find(({ toolCallId }) => JSON.stringify(value).includes(toolCallId));
      if (recorded === undefined) {
        problems.push(`${id}: nobody saw what was recorded of ${key}`);
        continue;
      }
      const after = Math.max(at, recorded.time);
      for (const { time, pid, attempt } of effects)
        if (time > after + CLOCKS_MS && !stopped.has(pid))
          problems.push(`${id}: attempt ${attempt} of ${key} began ${time - after} ms after it was recorded`);
    }
  }
  return problems;
}

type Chunk = UIMessageChunk | number;

function readFrom(runtime: Runtime, { id, from }: { id: string; from: number }): AsyncIterable<Chunk> {
  const namespace = Number(id.slice('run-'.length)) % 2 === 0 ? { namespace: 'log' } : {};
  return runtime.getRun(id).stream<Chunk>({ ...namespace, from });
}

/** A reader whose store does not answer goes on where it was. */
async function readOn(runtime: Runtime, { id, state }: { id: string; state?: { over: boolean } }): Promise<Chunk[]> {
  const seen: Chunk[] = [];
  for (;;) {
    try {
      for await (const chunk of readFrom(runtime, { id, from: seen.length })) seen.push(chunk);
      return seen;
    } catch (error) {
      if (!DurableError.is(error, 'store_unavailable')) throw error;
      if (state?.over === true) return seen;
      await delay(50);
    }
  }
}

/** A reader that was there all the time has what one who comes later gets. */
async function compare(runtime: Runtime, { id, seen }: { id: string; seen: unknown[] }): Promise<string[]> {
  const again = await readOn(runtime, { id });
  return JSON.stringify(seen) === JSON.stringify(again)
    ? []
    : [`${id}: its live reader saw ${seen.length} chunks, a later one ${again.length}`];
}

/** The same sequence for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
