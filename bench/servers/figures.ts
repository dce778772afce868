/** What is measured on every store that is a server, in one process: a step, many runs at once, a first step, a hook, a stream. */

import type { Runtime, RuntimeOptions } from 'everturn';
import { inTurns, median, timed } from '../measure.ts';
import { toFigure } from '../report.ts';
import type { BenchContext, Figure, ServerName } from '../report.ts';
import { BURST, burstRate, measuredWorkflows, medianStep, startAll, toFirstStep, toHook } from '../rounds.ts';
import { withRuntime } from '../runtime.ts';
import { measureLatency, paced } from '../stream.ts';

const STEPS = 1_000;
const WRITES = 300;

/** The plain client on the same server. */
export interface Floor {
  /** As the table calls one write of 1 KB. */
  what: string;
  write: () => Promise<unknown>;
  /** As it calls many of them at once. */
  whatMany: string;
  writeMany: (count: number) => Promise<unknown>;
}

export interface Measurement {
  name: ServerName;
  store: RuntimeOptions['store'];
  floor: Floor;
  /** Stands behind each figure's name: `, synced everysec`. */
  suffix?: string;
  stepAtMost?: number;
}

export function measureServer(context: BenchContext, measurement: Measurement): Promise<Figure[]> {
  const options = { store: measurement.store, workflows: [...measuredWorkflows, paced] };
  return withRuntime(options, (runtime) => measure(context, runtime, measurement));
}

async function measure(
  context: BenchContext,
  runtime: Runtime,
  { name: store, floor, suffix = '', stepAtMost }: Measurement,
): Promise<Figure[]> {
  const rounds = context.quick ? 3 : 9;
  const samples = { rounds: context.quick ? 15 : 60, warmUp: 5, floor: () => timed(floor.write) };
  const step = await inTurns({ rounds, floor: () => medianWrite(floor), ours: () => medianStep(runtime, STEPS) });
  const burst = await inTurns({
    rounds,
    floor: async () => burstRate(await timed(() => floor.writeMany(BURST.runs * BURST.steps))),
    ours: async () => burstRate(await timed(() => startAll(runtime))),
  });
  const started = await inTurns({ ...samples, ours: () => toFirstStep(runtime) });
  const resumed = await inTurns({ ...samples, ours: () => toHook(runtime) });
  const streamed = await measureLatency(runtime, {
    store,
    count: context.quick ? 100 : 300,
    rounds: context.quick ? 2 : 5,
    insert: floor.write,
  });
  const options = { store, unit: 'ms', floor: floor.what };
  return [
    toFigure(`sequential step of 1 KB, n = 1,000${suffix}`, step, {
      ...options,
      ...(stepAtMost === undefined ? {} : { ratioAtMost: stepAtMost }),
    }),
    toFigure(`${BURST.runs} runs x ${BURST.steps} steps at once, per second${suffix}`, burst, {
      store,
      unit: 'steps/s',
      floor: floor.whatMany,
    }),
    toFigure(`start to first step${suffix}`, started, { ...options, atMost: 2 }),
    toFigure(`hook resume${suffix}`, resumed, { ...options, atMost: 2 }),
    ...streamed.map((figure) => ({ ...figure, what: `${figure.what}${suffix}` })),
  ];
}

async function medianWrite(floor: Floor): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < WRITES; i += 1) times.push(await timed(floor.write));
  return median(times);
}
