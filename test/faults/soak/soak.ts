/** Long agents on several workers for minutes, while workers come and go; a reader of each run measures how long it is silent. */

import { setTimeout as delay } from 'node:timers/promises';
import { createRuntime } from 'everturn';
import type { Runtime } from 'everturn';
import { startModelServer } from '../../../examples/model-server/server.ts';
import { startChild } from '../../support/child.ts';
import type { Child } from '../../support/child.ts';
import { openStore } from '../../support/open-store.ts';
import { startWitness } from '../../support/witness.ts';
import type { WitnessRecord } from '../../support/witness.ts';
import type { SoakMessage } from './soak-process.ts';
import { patrolScenario, soakRuns, TURNS } from './soak-runs.ts';
import type { SoakTask } from './soak-runs.ts';

export interface SoakOptions {
  /** See `openStore`. */
  store: string;
  seconds: number;
  /** How many runs go on at each moment. */
  runs: number;
  workers?: number;
  leaseMs?: number;
  /** Each so many milliseconds one worker ends, in turn, and another takes its place; `how` it ends. */
  replace: { everyMs: number; how: 'SIGTERM' | 'SIGKILL'; workers: number };
  /** Of all processes to the store's server. */
  connections?: () => Promise<number>;
}

export interface SoakReport {
  violations: string[];
  runs: number;
  replaced: number;
  /** Longest time in which a run that had not ended showed nothing. */
  silentMs: number;
  /** 99 of 100 silences were shorter. */
  silentP99Ms: number;
  repeated: number;
  effects: number;
  /** Heap of the workers that lived from start to end, in MB: in the second third, and in the last. */
  heap: [number, number];
  connections: [number, number];
}

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { workers = 4, leaseMs = 3_000, replace } = options;
  const [witness, model] = await Promise.all([
    startWitness(),
    startModelServer({ pacingMs: 12, scenarios: [patrolScenario] }),
  ]);
  const task: SoakTask = { store: options.store, modelUrl: model.baseURL, witnessUrl: witness.url, leaseMs };
  const live = (): Child<SoakMessage> =>
    startChild(new URL('soak-process.ts', import.meta.url), task, { execArgv: ['--expose-gc'] });
  const crew = Array.from({ length: workers }, live);
  const first = [...crew];
  const runtime = createRuntime({ store: openStore(task.store), worker: false, ...soakRuns(task) });
  const state = { over: false };
  try {
    await Promise.all(crew.map((worker) => worker.message(({ kind }) => kind === 'open')));
    const replacing = replaceInTurn({ crew, live, replace, state });
    const counting = countConnections(options.connections, state);
    const until = performance.now() + options.seconds * 1_000;
    const lanes = await Promise.all(
      Array.from({ length: options.runs }, (_, lane) => runLane(runtime, { lane, until })),
    );
    state.over = true;
    const replaced = await replacing;
    const patrols = lanes.flat();
    const silences = patrols.flatMap(({ gaps }) => gaps).toSorted((a, b) => a - b);
    const byKey = Map.groupBy(witness.records(), ({ key }) => key);
    return {
      violations: (await Promise.all(patrols.map(({ id }) => checkPatrol(runtime, { id, byKey })))).flat(),
      runs: patrols.length,
      replaced,
      silentMs: Math.round(silences.at(-1) ?? 0),
      silentP99Ms: Math.round(silences[Math.floor(silences.length * 0.99)] ?? 0),
      repeated: [...byKey.values()].filter((of) => of.length > 1).length,
      effects: byKey.size,
      heap: thirdsOf(first.filter((worker) => crew.includes(worker)).map(heapsOf)),
      connections: thirdsOf([await counting]),
    };
  } finally {
    for (const worker of crew) worker.kill('SIGKILL');
    await Promise.all(crew.map((worker) => worker.ended));
    await runtime.close();
    await Promise.all([witness.close(), model.close()]);
  }
}

interface Patrol {
  id: string;
  /** Between one chunk and the next, in milliseconds; the first since the start. */
  gaps: number[];
}

/** One run after the other, until the time is over. */
async function runLane(runtime: Runtime, { lane, until }: { lane: number; until: number }): Promise<Patrol[]> {
  const patrols: Patrol[] = [];
  while (performance.now() < until) {
    const id = `patrol-${lane}-${patrols.length}`;
    const gaps: number[] = [];
    let last = performance.now();
    const run = await runtime.start('guard', { id, prompt: 'Please patrol the street.' });
    const reader = run.stream().getReader();
    while (!(await reader.read()).done) {
      const now = performance.now();
      gaps.push(now - last);
      last = now;
    }
    patrols.push({ id, gaps });
  }
  return patrols;
}

interface Replacing {
  crew: Array<Child<SoakMessage>>;
  live: () => Child<SoakMessage>;
  replace: SoakOptions['replace'];
  state: { over: boolean };
}

async function replaceInTurn({ crew, live, replace, state }: Replacing): Promise<number> {
  let count = 0;
  while (!state.over) {
    await delay(replace.everyMs);
    const index = count % replace.workers;
    const leaving = crew[index];
    const next = live();
    await next.message(({ kind }) => kind === 'open');
    leaving?.kill(replace.how);
    await leaving?.ended;
    crew[index] = next;
    count += 1;
  }
  return count;
}

async function countConnections(connections: SoakOptions['connections'], state: { over: boolean }): Promise<number[]> {
  const counts: number[] = [];
  if (connections === undefined) return counts;
  while (!state.over) {
    counts.push(await connections());
    await delay(2_000);
  }
  return counts;
}

/** It completed, every house was looked at, and no turn or tool is recorded twice. */
async function checkPatrol(
  runtime: Runtime,
  { id, byKey }: { id: string; byKey: ReadonlyMap<string, WitnessRecord[]> },
): Promise<string[]> {
  const run = runtime.getRun(id);
  const problems: string[] = [];
  const { status } = await run.info();
  if (status !== 'completed') problems.push(`${id} is ${status}`);
  const events = await run.events();
  for (const type of ['turn_completed', 'tool_completed'] as const) {
    const keys = events.filter((event) => event.type === type).map(({ key }) => key);
    const expected = type === 'turn_completed' ? TURNS + 1 : TURNS;
    if (keys.length !== expected || new Set(keys).size !== expected)
      problems.push(`${id}: ${keys.length} ${type}, ${new Set(keys).size} of them different`);
    if (type === 'tool_completed')
      for (const key of keys) if (!byKey.has(`${id}/${key}`)) problems.push(`${id}: nobody saw ${key}`);
  }
  return problems;
}

function heapsOf(worker: Child<SoakMessage>): number[] {
  return worker.messages.flatMap((message) => (message.kind === 'memory' ? [message.heap / 2 ** 20] : []));
}

/** The means of the second and of the last third. */
function thirdsOf(series: number[][]): [number, number] {
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const third = (of: number[], n: number): number =>
    mean(of.slice(Math.floor((of.length * n) / 3), Math.floor((of.length * (n + 1)) / 3)));
  const round = (value: number): number => Math.round(value * 10) / 10;
  return [round(mean(series.map((of) => third(of, 1)))), round(mean(series.map((of) => third(of, 2))))];
}
