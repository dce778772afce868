/** Fifty agents that stream at 60 tokens a second, durable or plain, and how late the event loop is meanwhile. */

import { closeSync, fsyncSync, openSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { ToolLoopAgent } from 'ai';
import { createRuntime, DurableAgent } from 'everturn';
import { answer, readArgument } from './child.ts';
import { median } from './measure.ts';
import { mockModel, promptFor } from './mock-model.ts';
import { durableStore } from './runtime.ts';

export interface EventLoopArgument {
  path: string;
  kind: 'durable' | 'plain';
  runs: number;
  tokensPerSecond: number;
  seconds: number;
}

export interface EventLoopAnswer {
  p50: number;
  p99: number;
  most: number;
  /** What a sync to disk takes in this process. */
  fsyncMs: number;
  chunks: number;
  seconds: number;
}

const { path, kind, runs, tokensPerSecond, seconds } = readArgument() as EventLoopArgument;
/** Before the measurement: modules load, code compiles. */
const WARM_UP_MS = 1_500;
const prompt = promptFor({ turns: 0, chunks: Math.round((seconds + WARM_UP_MS / 1_000) * tokensPerSecond) });
const model = mockModel(() => delay(1_000 / tokensPerSecond));

const histogram = monitorEventLoopDelay({ resolution: 1 });
const work = kind === 'durable' ? runDurable() : runPlain();
await delay(WARM_UP_MS);
histogram.enable();
const startedAt = performance.now();
const chunks = await work;
histogram.disable();
await answer({
  p50: histogram.percentile(50) / 1e6,
  p99: histogram.percentile(99) / 1e6,
  most: histogram.max / 1e6,
  fsyncMs: timeFsync(),
  chunks,
  seconds: (performance.now() - startedAt) / 1_000,
} satisfies EventLoopAnswer);
process.disconnect();

async function runDurable(): Promise<number> {
  const agent = new DurableAgent({ model });
  const runtime = createRuntime({ store: durableStore(path).store, agents: { bench: agent } });
  const started = await Promise.all(Array.from({ length: runs }, () => runtime.start(agent, { prompt })));
  await Promise.all(started.map((run) => run.result()));
  let count = 0;
  for (const run of started) for await (const chunk of run.stream({ follow: false })) count += chunk === null ? 0 : 1;
  await runtime.close();
  return count;
}

async function runPlain(): Promise<number> {
  const agent = new ToolLoopAgent({ model });
  const counts = await Promise.all(
    Array.from({ length: runs }, async () => {
      let count = 0;
      const result = await agent.stream({ prompt });
      for await (const chunk of result.toUIMessageStream()) count += chunk.type === 'error' ? Number.NaN : 1;
      return count;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

function timeFsync(): number {
  const file = openSync(`${path}.probe`, 'w');
  const times = Array.from({ length: 20 }, () => {
    const before = performance.now();
    fsyncSync(file);
    return performance.now() - before;
  });
  closeSync(file);
  return median(times);
}
