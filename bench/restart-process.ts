/**
 * A worker that dies and one that comes after it. `fill`: runs that wait and runs whose steps are in flight, then it waits to
 * be killed. `recover`: says when the file was open, and when each run that was in flight has gone on.
 */

import { createHook, createRuntime, step, workflow } from 'everturn';
import { answer, readArgument } from './child.ts';
import { durableStore } from './runtime.ts';

export interface RestartArgument {
  path: string;
  role: 'fill' | 'recover';
  waiting: number;
  running: number;
}

export interface RecoverAnswer {
  /** From the start of the process's own code to a runtime that has claimed what is due. */
  bootMs: number;
  /** From the opening of the file until every run that was in flight runs again. */
  allGoOnMs: number;
}

const { path, role, waiting, running } = readArgument() as RestartArgument;
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let goingOn = 0;
let onAll: () => void = () => {};
const all = new Promise<void>((resolve) => (onAll = resolve));

const waits = workflow('waits', async () => {
  await step('before', () => 1);
  return createHook();
});
const runs = workflow('runs', async () => {
  for (let i = 0; i < 10; i += 1) await step('recorded', () => i);
  await step('in flight', () => {
    goingOn += 1;
    if (goingOn === running) onAll();
    return role === 'fill' ? new Promise<void>(() => {}) : undefined;
  });
});

const openedAt = performance.now();
const runtime = createRuntime({ store: durableStore(path).store, workflows: [waits, runs], logger: silent });
if (role === 'fill') await fill();
else await recover();

async function fill(): Promise<void> {
  const idle = await Promise.all(Array.from({ length: waiting }, () => runtime.start(waits)));
  for (const run of idle)
    while ((await run.status) !== 'waiting') await new Promise((resolve) => setTimeout(resolve, 5));
  await Promise.all(Array.from({ length: running }, () => runtime.start(runs)));
  if (running > 0) await all;
  await answer('filled');
}

async function recover(): Promise<void> {
  // Resolves when the worker is open: it has asked for what is due right before.
  await runtime.list({ limit: 1 });
  const bootMs = performance.now() - openedAt;
  if (running > 0) await all;
  await answer({ bootMs, allGoOnMs: performance.now() - openedAt } satisfies RecoverAnswer);
  await runtime.close({ graceMs: 100 });
  process.disconnect();
}
