/** `everturn inspect runs` */

import type { Runtime } from '../app/create-runtime.ts';
import type { RunInfo } from '../app/run-info.ts';
import { runToJson } from '../app/run-json.ts';
import type { Wait } from '../app/waits.ts';
import type { RunQuery } from '../runtime/store.ts';
import { nextPage } from './next-page.ts';
import { relativeText } from './relative-time.ts';
import type { Layout, Report } from './report.ts';
import { reasonOf, statusCell } from './run-words.ts';
import { tableLines } from './table.ts';
import type { Column } from './table.ts';
import { shellWord } from './text.ts';

const COLUMNS: readonly Column[] = [
  { title: 'RUN', isWhole: true },
  { title: 'STATUS', isWhole: true },
  { title: 'WORKFLOW' },
  { title: 'THREAD' },
  { title: 'STARTED', isWhole: true },
  { title: 'WHY' },
];

export async function inspectRuns(runtime: Runtime, query: RunQuery): Promise<Report> {
  const { items, cursor } = await runtime.list(query);
  const rows = await Promise.all(
    items.map(async (run) => ({ run, waits: run.status === 'waiting' ? await runtime.getRun(run.id).waits() : [] })),
  );
  return {
    json: { items: rows.map(({ run, waits }) => ({ ...runToJson(run), waits })), cursor },
    lines: (layout) =>
      rows.length === 0
        ? ['No runs.']
        : [...runLines(rows, layout), ...nextPage(cursor, { command: 'inspect runs', layout })],
  };
}

export interface RunRow {
  run: RunInfo;
  waits: readonly Wait[];
}

export function runLines(rows: readonly RunRow[], layout: Layout): string[] {
  const cells = rows.map(({ run, waits }) => [
    shellWord(run.id),
    statusCell(run.status),
    run.workflow,
    run.thread ?? '',
    relativeText(run.createdAt, layout.now),
    reasonOf(run, waits, layout.now),
  ]);
  return tableLines(COLUMNS, cells, layout);
}
