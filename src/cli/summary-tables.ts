/** Turns, tools and steps of one run. The newest are shown; `--json` has all of them. */

import type { Wait } from '../app/waits.ts';
import type { StepSummary, ToolSummary, TurnSummary } from './journal-summary.ts';
import { spanText } from './relative-time.ts';
import type { Layout } from './report.ts';
import { statusCell } from './run-words.ts';
import { tableLines } from './table.ts';
import type { Cell, Column } from './table.ts';
import { briefValue } from './text.ts';

const MOST = 20;

const TURN_COLUMNS: readonly Column[] = [
  { title: 'TURN' },
  { title: 'STATUS', isWhole: true },
  { title: 'MODEL' },
  { title: 'ATTEMPTS', align: 'right' },
  { title: 'IN', align: 'right' },
  { title: 'OUT', align: 'right' },
  { title: 'SAID' },
];

export function turnLines(turns: readonly TurnSummary[], layout: Layout): string[] {
  return newest(turns, layout, { columns: TURN_COLUMNS, toCells: turnCells });
}

function turnCells({
  key,
  status,
  model,
  attempts,
  inputTokens,
  outputTokens,
  calls,
  text,
  error,
}: TurnSummary): Cell[] {
  const said = [...(calls.length === 0 ? [] : [`calls ${calls.join(', ')}`]), ...(text === '' ? [] : [`"${text}"`])];
  const numbers = [inputTokens, outputTokens].map((tokens) => (tokens === null ? '' : String(tokens)));
  return [key, statusCell(status), model, String(attempts), ...numbers, error ?? said.join(' ')];
}

const TOOL_COLUMNS: readonly Column[] = [
  { title: 'TOOL' },
  { title: 'STATUS', isWhole: true },
  { title: 'ATTEMPTS', align: 'right' },
  { title: 'TOOK', align: 'right', isWhole: true },
  { title: 'INPUT' },
  { title: 'OUTPUT' },
];

export function toolLines(tools: readonly ToolSummary[], layout: Layout & { waits: readonly Wait[] }): string[] {
  const waiting = new Set(layout.waits.map((wait) => ('toolCallId' in wait ? wait.toolCallId : undefined)));
  const toCells = (tool: ToolSummary): Cell[] =>
    toolCells({ ...tool, shown: waiting.has(tool.toolCallId ?? '') ? 'waiting' : tool.status });
  return newest(tools, layout, { columns: TOOL_COLUMNS, toCells });
}

function toolCells({
  tool,
  shown,
  attempts,
  tookMs,
  input,
  isEdited,
  output,
}: ToolSummary & { shown: string }): Cell[] {
  const took = tookMs === null ? '' : spanText(tookMs);
  const given = input === undefined ? '' : `${isEdited ? 'edited ' : ''}${briefValue(input)}`;
  return [
    tool,
    statusCell(shown),
    attempts === 0 ? '' : String(attempts),
    took,
    given,
    output === undefined ? '' : briefValue(output),
  ];
}

const STEP_COLUMNS: readonly Column[] = [
  { title: 'STEP' },
  { title: 'STATUS', isWhole: true },
  { title: 'ATTEMPTS', align: 'right' },
  { title: 'RESULT' },
];

export function stepLines(steps: readonly StepSummary[], layout: Layout): string[] {
  return newest(steps, layout, { columns: STEP_COLUMNS, toCells: stepCells });
}

function stepCells({ key, status, attempts, output }: StepSummary): Cell[] {
  return [key, statusCell(status), String(attempts), output === undefined ? '' : briefValue(output)];
}

function newest<T>(
  items: readonly T[],
  layout: Layout,
  { columns, toCells }: { columns: readonly Column[]; toCells: (item: T) => Cell[] },
): string[] {
  if (items.length === 0) return [];
  const left = items.length - MOST;
  return [
    ...tableLines(columns, items.slice(-MOST).map(toCells), layout),
    ...(left > 0 ? [layout.paint('dim', `${left} earlier ones are left out.`)] : []),
  ];
}
