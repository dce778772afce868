/** The head of a run's page. */

import { isUnreadable } from '../app/run-info.ts';
import type { RunInfo } from '../app/run-info.ts';
import type { Wait } from '../app/waits.ts';
import type { DurableError } from '../runtime/errors.ts';
import type { JournalSummary } from './journal-summary.ts';
import { dateText, relativeText, spanText } from './relative-time.ts';
import type { Layout } from './report.ts';
import { dueText, failureText, inputText, resultText, statusCell, waitText } from './run-words.ts';
import type { Paint } from './table.ts';
import { briefValue, fit, printable, shellWord, wrapped } from './text.ts';

interface Facts {
  run: RunInfo;
  waits: readonly Wait[];
  journal: { summary: JournalSummary } | { error: DurableError };
}

const LABEL = 11;
const CUT: ReadonlySet<string> = new Set(['input', 'result']);

/** Empty values are left out. */
type Fact = readonly [label: string, value: string];

export function factLines(facts: Facts, layout: Layout): string[] {
  const { run } = facts;
  const status = statusCell(run.status);
  const shown = typeof status === 'string' ? status : layout.paint(status.format, status.text);
  const rows = [
    ...rowFacts(run, layout),
    ...whyFacts(facts, layout),
    ...valueFacts(run),
    ...journalFacts(facts.journal),
  ];
  const room = layout.width - LABEL - 2;
  return [
    `${layout.paint('bold', printable(run.id))}  ${shown}`,
    ...rows
      .filter(([, value]) => value !== '')
      .flatMap(([label, value]) => factText(label, { value, room, paint: layout.paint })),
  ];
}

/** Input and result are cut, the rest is shown as a whole; commands stay on their line, to be pasted. */
function factText(label: string, { value, room, paint }: { value: string; room: number; paint: Paint }): string[] {
  const text = printable(value);
  const lines = CUT.has(label) ? [fit(text, room)] : text.includes('everturn ') ? [text] : wrapped(text, room);
  return lines.map((line, index) => `  ${paint('dim', (index === 0 ? label : '').padEnd(LABEL))}${line}`);
}

function rowFacts(run: RunInfo, { now }: Layout): Fact[] {
  const moment = (at: number): string => `${relativeText(at, now)} (${dateText(at)})`;
  const attributes = Object.entries(run.attributes).map(([name, value]) => `${name}=${value}`);
  return [
    ['workflow', `${run.workflow}, version ${run.version}${run.queue.endsWith('@*') ? ', follows the newest' : ''}`],
    ['thread', run.thread ?? ''],
    ['tenant', run.tenant ?? ''],
    ['attributes', attributes.join(' ')],
    ['parent', run.parent === null ? '' : run.parent.run],
    ['supersedes', run.supersedes ?? ''],
    ['started', moment(run.createdAt)],
    run.endedAt === null
      ? ['changed', moment(run.updatedAt)]
      : ['ended', `${moment(run.endedAt)}, after ${spanText(run.endedAt - run.createdAt)}`],
  ];
}

/** Why it stands where it stands, and what to do about it. */
function whyFacts({ run, waits }: Facts, { now }: Layout): Fact[] {
  return [
    ...(run.cancelRequested && run.endedAt === null ? [['cancel', 'asked to stop'] as const] : []),
    ...waits.flatMap((wait, index) => waitFacts(wait, { now, isFirst: index === 0 })),
    ['why', dueText(run, now)],
    ...(run.status === 'running' && run.dueAt !== null && run.dueAt > now
      ? [['lease', `until ${relativeText(run.dueAt, now)}, epoch ${run.epoch}`] as const]
      : []),
    ['attempts', run.attempts > 1 ? `${run.attempts} claims without progress` : ''],
    ['suspects', run.suspects?.join(', ') ?? ''],
    ...parkedFacts(run),
    ['error', run.status === 'failed' ? failureText(run) : ''],
  ];
}

function parkedFacts({ id, parked }: RunInfo): Fact[] {
  if (parked === null) return [];
  const { details } = parked;
  const known = isUnreadable(details) ? [['details', details.message]] : Object.entries(details ?? {});
  return [
    ['parked', parked.code],
    ...known.map(([name, value]): Fact => ['', `${name}: ${typeof value === 'string' ? value : briefValue(value)}`]),
    ['', `after a fix: everturn resume ${shellWord(id)}`],
  ];
}

function waitFacts(wait: Wait, { now, isFirst }: { now: number; isFirst: boolean }): Fact[] {
  const label = isFirst ? 'waits for' : '';
  if (wait.kind === 'question') {
    const example = JSON.stringify(wait.options?.[0]?.value ?? '...');
    return [
      [label, waitText(wait, now)],
      ['', `everturn answer ${shellWord(wait.questionId)} ${shellWord(example)}`],
    ];
  }
  if (wait.kind !== 'approval') return [[label, waitText(wait, now)]];
  const missing = wait.needed > 1 ? `, ${wait.answers.length} of ${wait.needed} answers` : '';
  return [
    [label, `${waitText(wait, now)} ${briefValue(wait.input)}${missing}`],
    ['', `everturn approve ${shellWord(wait.approvalId)}`],
  ];
}

/** Workflows may have no argument or no result. */
function valueFacts({ input, result }: RunInfo): Fact[] {
  return [
    ['input', input == null ? '' : inputText(input)],
    ['result', result == null ? '' : resultText(result)],
  ];
}

function journalFacts(journal: Facts['journal']): Fact[] {
  if ('error' in journal) return [['journal', journal.error.message]];
  const { events, turns, tools, steps, tokens, failedAttempts, recoveries } = journal.summary;
  const did = [
    count(turns.length, 'turn'),
    count(tools.length, 'tool call'),
    count(steps.length, 'step'),
    count(failedAttempts, 'failed attempt'),
    count(recoveries, 'recovery', 'recoveries'),
  ].filter((text) => !text.startsWith('0 '));
  const used = tokens.input + tokens.output === 0 ? '' : `${group(tokens.input)} in, ${group(tokens.output)} out`;
  return [
    ['journal', [count(events, 'event'), ...did].join(', ')],
    ['tokens', used],
  ];
}

function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${group(number)} ${number === 1 ? noun : plural}`;
}

function group(number: number): string {
  return number.toLocaleString('en-US');
}
