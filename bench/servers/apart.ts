/** One store between two processes: a hook that one resumes and the other waits for, a stream that one writes and the other reads. */

import { createRuntime } from 'everturn';
import type { Runtime } from 'everturn';
import { openStore } from '../../test/support/open-store.ts';
import { startProcess } from '../child.ts';
import { inTurns, machineNow, median, timed } from '../measure.ts';
import { resumed, streamed } from './apart-workflows.ts';
import { toFigure } from '../report.ts';
import type { BenchContext, Figure, ServerName } from '../report.ts';
import type { Floor } from './figures.ts';

const AT_MOST_MS = 3;
const CHUNKS = 120;

export async function measureApart(
  context: BenchContext,
  { name, url, floor }: { name: ServerName; url: string; floor: Floor },
): Promise<Figure[]> {
  const other = startProcess(new URL('apart-process.ts', import.meta.url), { url });
  const runtime = createRuntime({
    store: openStore(url),
    workflows: [resumed, streamed],
    worker: false,
  });
  try {
    await other.answer();
    const options = { store: name, unit: 'ms', floor: floor.what, atMost: AT_MOST_MS };
    const write = (): Promise<number> => timed(floor.write);
    const hooks = await inTurns({
      rounds: context.quick ? 15 : 60,
      warmUp: 5,
      floor: write,
      ours: () => resumeThere(runtime),
    });
    const streams = await inTurns({
      rounds: context.quick ? 2 : 5,
      floor: write,
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
