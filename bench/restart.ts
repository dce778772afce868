/** kill -9 with 1,000 waiting and 50 running runs in the file: how soon the next process has all 50 going, and boots at all. */

import { runProcess, startProcess } from './child.ts';
import { inTurns } from './measure.ts';
import { toFigure, toPlainFigure } from './report.ts';
import type { Bench, BenchContext, Figure } from './report.ts';
import type { RecoverAnswer, RestartArgument } from './restart-process.ts';

const WAITING = 1_000;
const RUNNING = 50;
const AT_MOST_MS = 1_000;
/** A boot that takes this much longer than with an empty file would be slower; below it is noise. */
const SLACK = 1.25;

const PROCESS = new URL('restart-process.ts', import.meta.url);

export const restart: Bench = {
  name: 'restart',
  leavesOut:
    'starting Node and loading modules (the same with an empty file); long journals; a takeover by another process, which waits for the lease',
  run: async (context) => {
    const goOn: number[] = [];
    const boots = await inTurns({
      rounds: context.quick ? 1 : 5,
      warmUp: 0,
      floor: async () => {
        const empty = { path: context.file('empty'), waiting: 0, running: 0 };
        await recover(empty); // makes the file
        return (await recover(empty)).bootMs;
      },
      ours: async () => {
        goOn.push((await killed(context, RUNNING)).allGoOnMs);
        return (await killed(context, 0)).bootMs;
      },
    });
    return figures(boots, goOn);
  },
};

function figures(boots: { ours: number[]; floor: number[] }, goOn: number[]): Figure[] {
  const store = 'sqlite' as const;
  const beside = `${WAITING} waiting`;
  return [
    toPlainFigure(`${RUNNING} runs go on after kill -9, beside ${beside}`, goOn, {
      store,
      unit: 'ms',
      atMost: AT_MOST_MS,
    }),
    toFigure(`boot with ${beside} runs`, boots, {
      store,
      unit: 'ms',
      floor: 'boot with an empty file',
      ratioAtMost: SLACK,
    }),
  ];
}

async function killed(context: BenchContext, running: number): Promise<RecoverAnswer> {
  const path = context.file('restart');
  const filler = startProcess(PROCESS, {
    path,
    role: 'fill',
    waiting: WAITING,
    running,
  } satisfies RestartArgument);
  await filler.answer();
  filler.process.kill('SIGKILL');
  await filler.ended;
  return recover({ path, waiting: WAITING, running });
}

function recover(file: Omit<RestartArgument, 'role'>): Promise<RecoverAnswer> {
  return runProcess<RecoverAnswer>(PROCESS, { ...file, role: 'recover' } satisfies RestartArgument);
}
