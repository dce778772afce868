/** How late the event loop is while 50 agents stream and a sync to disk takes 2 ms. */

import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runProcess } from './child.ts';
import type { EventLoopAnswer, EventLoopArgument } from './event-loop-process.ts';
import { inTurns } from './measure.ts';
import { toFigure } from './report.ts';
import type { Bench, BenchContext, Figure } from './report.ts';

const RUNS = 50;
const TOKENS_PER_SECOND = 60;
const AT_MOST_MS = 10;
const SLOWED_MS = 2;

export const eventLoop: Bench = {
  name: 'event-loop',
  leavesOut: 'readers; HTTP; the work of tools. The delay includes the millisecond of the timer that measures it',
  run: async (context) => {
    const shim = buildShim(context);
    if (shim === undefined) return [];
    return measure(context, shim);
  },
};

async function measure(context: BenchContext, shim: string): Promise<Figure[]> {
  const seconds = context.quick ? 2 : 6;
  const answers: EventLoopAnswer[] = [];
  const turns = await inTurns({
    rounds: context.quick ? 1 : 5,
    warmUp: 0,
    floor: async () => (await stream(context, { kind: 'plain', seconds, shim })).p99,
    ours: async () => {
      const answer = await stream(context, { kind: 'durable', seconds, shim });
      answers.push(answer);
      return answer.p99;
    },
  });
  const what = `event-loop delay, ${RUNS} runs streaming ${TOKENS_PER_SECOND} tokens/s, fsync + ${SLOWED_MS} ms`;
  const store = 'sqlite' as const;
  const p50 = { floor: [], ours: answers.map((answer) => answer.p50) };
  return [
    toFigure(`${what}, p99`, turns, { store, unit: 'ms', floor: 'plain agents, p99', atMost: AT_MOST_MS }),
    toFigure(`${what}, p50`, p50, { store, unit: 'ms' }),
  ];
}

async function stream(
  context: BenchContext,
  { kind, seconds, shim }: { kind: EventLoopArgument['kind']; seconds: number; shim: string },
): Promise<EventLoopAnswer> {
  const answer = await runProcess<EventLoopAnswer>(
    new URL('event-loop-process.ts', import.meta.url),
    {
      path: context.file('loop'),
      kind,
      runs: RUNS,
      tokensPerSecond: TOKENS_PER_SECOND,
      seconds,
    } satisfies EventLoopArgument,
    { env: { LD_PRELOAD: shim } },
  );
  if (answer.fsyncMs < SLOWED_MS) throw new Error(`The shim does not slow syncs: one takes ${answer.fsyncMs} ms.`);
  return answer;
}

function buildShim(context: BenchContext): string | undefined {
  const shim = join(dirname(context.file('shim')), 'slow-fsync.so');
  try {
    const source = fileURLToPath(new URL('slow-fsync.c', import.meta.url));
    execFileSync('gcc', ['-shared', '-fPIC', '-O2', '-o', shim, source, '-ldl'], { stdio: 'pipe' });
    return shim;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    context.note(`event-loop was not measured: gcc could not build the shim that slows fsync (${reason}).`);
    return undefined;
  }
}
