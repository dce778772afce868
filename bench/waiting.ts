/** A thousand runs that wait on a hook, after the warm time: heap per run, and open handles and timers. */

import { runProcess } from './child.ts';
import { toPlainFigure } from './report.ts';
import type { Bench } from './report.ts';
import type { WaitingAnswer, WaitingArgument } from './waiting-process.ts';

const RUNS = 1_000;
const AT_MOST_BYTES = 1_024;

export const waiting: Bench = {
  name: 'waiting',
  leavesOut: 'the page cache of SQLite, which is not on the heap and does not grow with the number of runs',
  run: async (context) => {
    const answers: WaitingAnswer[] = [];
    for (let round = 0; round < (context.quick ? 1 : 3); round += 1) {
      answers.push(
        await runProcess<WaitingAnswer>(
          new URL('waiting-process.ts', import.meta.url),
          { path: context.file('waiting'), runs: RUNS } satisfies WaitingArgument,
          { execArgv: ['--expose-gc'] },
        ),
      );
    }
    const heap = answers.map((answer) => answer.heapPerRun);
    const handles = answers.map((answer) => answer.after.length - answer.before.length);
    const store = 'sqlite' as const;
    return [
      toPlainFigure(`heap per waiting run, of ${RUNS}`, heap, { store, unit: 'bytes', atMost: AT_MOST_BYTES }),
      toPlainFigure(`timers and handles that ${RUNS} waiting runs add`, handles, { store, unit: '', atMost: 0 }),
    ];
  },
};
