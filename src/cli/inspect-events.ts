/** `everturn inspect events <id>`: the journal of a run; with `--follow` as it grows. */

import type { Runtime } from '../app/create-runtime.ts';
import { isEnded } from '../runtime/store.ts';
import type { RunInfo } from '../app/run-info.ts';
import { eventToJson } from '../app/run-json.ts';
import type { Clock } from '../runtime/clock.ts';
import { createEventLines } from './event-lines.ts';
import { toJsonText } from './json.ts';
import { dateText } from './relative-time.ts';
import type { Layout, Report, Terminal } from './report.ts';
import { printable } from './text.ts';

export interface EventsOptions {
  /** Whole values. */
  isFull: boolean;
}

export async function inspectEvents(runtime: Runtime, id: string, { isFull }: EventsOptions): Promise<Report> {
  const handle = runtime.getRun(id);
  const run = await handle.info();
  const events = await handle.events();
  return {
    json: { run: run.id, items: events.map((event, seq) => eventToJson(event, { seq, withValue: isFull })) },
    lines: (layout) => {
      const lines = createEventLines({ startedAt: run.createdAt, isFull }).add(events, { from: 0, layout });
      return [headOf(run, layout), ...(lines.length === 0 ? ['Nothing is recorded yet.'] : lines)];
    },
  };
}

export interface FollowOptions extends EventsOptions {
  terminal: Terminal;
  isJson: boolean;
  clock: Clock;
}

/** Prints events as they are recorded until the run has ended; JSON as one document per line. */
export async function followEvents(runtime: Runtime, id: string, options: FollowOptions): Promise<void> {
  const handle = runtime.getRun(id);
  const doorbell = createDoorbell(runtime, options.clock);
  try {
    let run = await handle.info();
    const show = printer(run, options);
    for (let printed = 0; ; run = await handle.info()) {
      if (run.head > printed) printed = show(await handle.events(), printed);
      if (isEnded(run.status) && printed >= run.head) return;
      await doorbell.rung();
    }
  } finally {
    doorbell.close();
  }
}

type Events = Awaited<ReturnType<ReturnType<Runtime['getRun']>['events']>>;

/** Prints the events from a position on; answers how many there are. */
function printer(run: RunInfo, { terminal, isJson, isFull }: FollowOptions): (events: Events, from: number) => number {
  const lines = createEventLines({ startedAt: run.createdAt, isFull });
  if (!isJson) terminal.out(`${headOf(run, terminal.layout())}\n`);
  return (events, from) => {
    const shown = isJson
      ? events
          .slice(from)
          .map((event, index) => toJsonText(eventToJson(event, { seq: from + index, withValue: isFull })))
      : lines.add(events, { from, layout: terminal.layout() });
    terminal.out(shown.map((line) => `${line}\n`).join(''));
    return events.length;
  };
}

const POLL_MS = 1_000;

interface Doorbell {
  /** When something may have changed since the last time, at the latest after a second: hints may be lost. */
  rung(): Promise<void>;
  close(): void;
}

function createDoorbell(runtime: Runtime, clock: Clock): Doorbell {
  let isRung = false;
  let wake = (): void => {};
  const close = runtime.watch(() => {
    isRung = true;
    wake();
  });
  return {
    async rung() {
      if (!isRung) {
        await new Promise<void>((resolve) => {
          const cancel = clock.schedule(resolve, POLL_MS);
          wake = () => {
            cancel();
            resolve();
          };
        });
      }
      isRung = false;
    },
    close,
  };
}

function headOf(run: RunInfo, { paint }: Layout): string {
  return `${paint('bold', printable(run.id))}  ${printable(run.workflow)}, ${run.status}, started ${dateText(run.createdAt)}`;
}
