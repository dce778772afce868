/** `everturn inspect run <id>` */

import type { Approval } from '../app/approval-record.ts';
import type { Runtime } from '../app/create-runtime.ts';
import type { RunInfo } from '../app/run-info.ts';
import { runToJson } from '../app/run-json.ts';
import type { Wait } from '../app/waits.ts';
import { DurableError } from '../runtime/errors.ts';
import { approvalLines } from './inspect-approvals.ts';
import { runLines } from './inspect-runs.ts';
import { summarizeJournal } from './journal-summary.ts';
import type { JournalSummary } from './journal-summary.ts';
import type { Layout, Report } from './report.ts';
import { factLines } from './run-facts.ts';
import { stepLines, toolLines, turnLines } from './summary-tables.ts';
import { shellWord, wholeValue } from './text.ts';

/** What the page shows of a journal that cannot be read. */
type Journal = { summary: JournalSummary } | { error: DurableError };

export interface InspectedRun {
  run: RunInfo;
  waits: readonly Wait[];
  journal: Journal;
  approvals: readonly Approval[];
  children: readonly RunInfo[];
}

const MOST = 500;

export async function inspectRun(runtime: Runtime, id: string, { isFull }: { isFull: boolean }): Promise<Report> {
  const handle = runtime.getRun(id);
  const run = await handle.info();
  const [waits, journal, approvals, children] = await Promise.all([
    handle.waits(),
    readJournal(runtime, run),
    runtime.approvals.list({ run: id, status: 'all', limit: MOST }),
    runtime.list({ parent: id, limit: MOST }),
  ]);
  const found = { run, waits, journal, approvals: approvals.items, children: children.items };
  return {
    json: toJson(found),
    lines: (layout) => [...pageOf(found, layout), ...(isFull ? wholeLines(run, layout) : [])],
  };
}

/** A run that is parked because its journal is damaged is what one looks at here. */
async function readJournal(runtime: Runtime, run: RunInfo): Promise<Journal> {
  try {
    return { summary: summarizeJournal(await runtime.getRun(run.id).events(), run.createdAt) };
  } catch (error) {
    if (DurableError.is(error, 'value_corrupt')) return { error };
    throw error;
  }
}

function toJson({ run, waits, journal, approvals, children }: InspectedRun): unknown {
  return {
    ...runToJson(run),
    waits,
    input: run.input ?? null,
    result: run.result ?? null,
    journal:
      'summary' in journal ? journal.summary : { error: { code: journal.error.code, message: journal.error.message } },
    approvals,
    children: children.map(runToJson),
  };
}

function pageOf({ run, waits, journal, approvals, children }: InspectedRun, layout: Layout): string[] {
  const section = (title: string, lines: string[]): string[] =>
    lines.length === 0 ? [] : ['', layout.paint('bold', title), ...lines];
  const summary = 'summary' in journal ? journal.summary : undefined;
  const word = shellWord(run.id);
  return [
    ...factLines({ run, waits, journal }, layout),
    ...section('Turns', summary === undefined ? [] : turnLines(summary.turns, layout)),
    ...section('Tools', summary === undefined ? [] : toolLines(summary.tools, { ...layout, waits })),
    ...section('Steps', summary === undefined ? [] : stepLines(summary.steps, layout)),
    ...section('Approvals', approvals.length === 0 ? [] : approvalLines(approvals, { ...layout, isOfOneRun: true })),
    ...section(
      'Children',
      children.length === 0
        ? []
        : runLines(
            children.map((child) => ({ run: child, waits: [] })),
            layout,
          ),
    ),
    '',
    layout.paint('dim', `Every event: everturn inspect events ${word}`),
  ];
}

function wholeLines(run: RunInfo, layout: Layout): string[] {
  const parts = [
    ['Input', run.input],
    ['Result', run.result],
    ['Error', run.error?.cause],
    ['Parked', run.parked?.details],
  ] as const;
  return parts.flatMap(([title, value]) => (value == null ? [] : ['', layout.paint('bold', title), wholeValue(value)]));
}
