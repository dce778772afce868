/** Postgres between two processes: a hook that one resumes and the other waits for, a stream that one writes and the other reads. */

import { createRuntime } from 'everturn';
import type { Runtime } from 'everturn';
import { postgresStore } from 'everturn/postgres';
import { startProcess } from './child.ts';
import { inTurns, machineNow, median } from './measure.ts';
import { resumed, streamed } from './postgres-workflows.ts';
import { toFigure } from './report.ts';
import type { BenchContext, Figure } from './report.ts';

const AT_MOST_MS = 3;
const CHUNKS = 120;

/** `insert`: how long the floor takes, once. */
export async function measureApart(
  context: BenchContext,
  { url, insert }: { url: string; insert: () => Promise<number> },
): Promise<Figure[]> {
  const other = startProcess(new URL('postgres-process.ts', import.meta.url), { url });
  const runtime = createRuntime({
    store: postgresStore({ connectionString: url }),
    workflows: [resumed, streamed],
    worker: false,
  });
  try {
    await other.answer();
    const options = { store: 'postgres', unit: 'ms', floor: 'insert and commit', atMost: AT_MOST_MS } as const;
    const hooks = await inTurns({
      rounds: context.quick ? 15 : 60,
      warmUp: 5,
      floor: insert,
      ours: () => resumeThere(runtime),
    });
    const streams = await inTurns({
      rounds: context.quick ? 2 : 5,
      floor: insert,
      ours: () => readFromThere(runtime),
    });
    return [
      toFigure('hook resume across two processes', hooks, options),
      toFigure('write to reader across two processes, p50', streams, options),
    ];
  } finally {
    await runtime.close();
    other.process.disconnect();
    await other.ended;
  }
}

async function resumeThere(runtime: Runtime): Promise<number> {
  const token = `token-${machineNow()}`;
  const run = await runtime.start(resumed, { input: { token } });
  while ((await run.status) !== 'waiting') await new Promise((resolve) => setImmediate(resolve));
  const startedAt = machineNow();
  await runtime.resumeHook(token, { ok: true });
  return (await run.result()) - startedAt;
}

async function readFromThere(runtime: Runtime): Promise<number> {
  const run = await runtime.start(streamed, { input: { count: CHUNKS } });
  const latencies: number[] = [];
  for await (const at of run.stream<number>()) latencies.push(machineNow() - at);
  await run.result();
  if (latencies.length !== CHUNKS) throw new Error(`${latencies.length} of ${CHUNKS} chunks came.`);
  return median(latencies);
}
