/** The plain workflows that are measured on every store, and one round of each. A figure is in milliseconds. */

import { createHook, step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { kilobyte } from './floors.ts';
import { median } from './measure.ts';

/** What `startAll` starts. */
export const BURST = { runs: 200, steps: 10 };

let marks: number[] = [];
let reached = 0;
let isWaiting: (token: string) => void = () => {};

const sequence = workflow('sequence', async ({ n }: { n: number }) => {
  for (let i = 0; i < n; i += 1) {
    await step('work', () => {
      marks.push(performance.now());
      return kilobyte(i);
    });
  }
  await step('mark', () => void marks.push(performance.now()));
});

const short = workflow('short', async () => {
  for (let i = 1; i < BURST.steps; i += 1) await step('work', () => kilobyte(i));
  await step('mark', () => true);
});

const first = workflow('first', () => step('first', () => void (reached = performance.now())));

const hooked = workflow('hooked', async () => {
  const hook = createHook<{ ok: boolean }>();
  isWaiting(hook.token);
  await hook;
  reached = performance.now();
});

export const measuredWorkflows = [sequence, short, first, hooked];

/** The starts of `n` steps of 1 KB, one after the other, and the end of the last. */
export async function marksOf(runtime: Runtime, n: number): Promise<number[]> {
  marks = [];
  await (await runtime.start(sequence, { input: { n } })).result();
  return marks;
}

export async function medianStep(runtime: Runtime, n: number): Promise<number> {
  const starts = await marksOf(runtime, n);
  return median(starts.slice(1).map((mark, index) => mark - (starts[index] ?? 0)));
}

/** Many short runs, started together. */
export async function startAll(runtime: Runtime): Promise<void> {
  const runs = await Promise.all(Array.from({ length: BURST.runs }, () => runtime.start(short)));
  await Promise.all(runs.map((run) => run.result()));
}

/** Steps a second of a `startAll` that took so long. */
export function burstRate(ms: number): number {
  return (BURST.runs * BURST.steps * 1_000) / ms;
}

export async function toFirstStep(runtime: Runtime): Promise<number> {
  const startedAt = performance.now();
  await (await runtime.start(first)).result();
  return reached - startedAt;
}

/** From the payload's call to the code behind the hook, of a run that is a row. */
export async function toHook(runtime: Runtime): Promise<number> {
  const token = new Promise<string>((resolve) => (isWaiting = resolve));
  const run = await runtime.start(hooked);
  const resolved = await token;
  while ((await run.status) !== 'waiting') await new Promise((resolve) => setImmediate(resolve));
  const startedAt = performance.now();
  await runtime.resumeHook(resolved, { ok: true });
  await run.result();
  return reached - startedAt;
}
