/** What happened, counted where it left traces: the journal, the shop's tables, the model server's log. */
import type { LogEntry } from '../model-server/request-log.ts';
import type { Shop } from '../support-agent/database.ts';
import type { FromWorker, Unit } from './messages.ts';
import type { Screen } from './screen.ts';

/** One process of the demo. */
export interface Life {
  /** Keys of the units that the journal held when it started. */
  recorded: string[];
  end: 'killed' | 'waiting' | 'exited';
}

export interface ReportInput {
  screen: Screen;
  lives: readonly Life[];
  ended: Extract<FromWorker, { kind: 'ended' }>;
  shop: Shop;
  /** Unknown for a real model. */
  requests: readonly LogEntry[] | undefined;
}

/** Prints the table and the checks. False if something happened too often or not at all. */
export function printReport(input: ReportInput): boolean {
  const { screen, lives, ended } = input;
  screen.note('');
  screen.note('What ran where', 'bold');
  const rows = ended.units.map((unit, index) => [
    unit.name,
    ...lives.map((_, life) => cell(input, { index, life })),
    effect(input, unit),
  ]);
  printTable(screen, [['', ...lives.map((_, index) => `process ${index + 1}`), 'outside'], ...rows]);
  screen.note('');
  const checks = checksOf(input);
  for (const [text, right] of checks) screen.note(`${right ? '✓' : '✗'} ${text}`, right ? 'green' : 'red');
  return checks.every(([, right]) => right);
}

function cell({ lives, ended }: ReportInput, { index, life }: { index: number; life: number }): string {
  const unit = ended.units[index];
  const has = (at: number): boolean => at >= lives.length || lives[at]?.recorded.includes(unit?.key ?? '') === true;
  if (has(life)) return 'record';
  if (has(life + 1)) return 'ran';
  const next = ended.units.findIndex(({ key }) => lives[life + 1]?.recorded.includes(key) === false);
  if (next !== index) return '';
  return lives[life]?.end === 'killed' ? 'killed' : 'waited';
}

function effect({ shop, requests }: ReportInput, unit: Unit): string {
  if (unit.kind === 'tool')
    return `ran ${times(shop.toolCalls().filter((call) => call.key.endsWith(unit.key)).length)}`;
  const asked = requests?.filter((request) => `turn ${request.turn + 1}` === unit.name);
  if (asked === undefined) return '';
  return asked.length === 1 ? 'asked once' : `asked ${times(asked.length)}, all but the last cut off`;
}

function checksOf({ shop, ended, lives, requests }: ReportInput): [text: string, right: boolean][] {
  const calls = shop.toolCalls();
  const keys = new Set(calls.map((call) => call.key));
  const [refunds, messages] = [shop.refunds(), shop.outbox()];
  const refundCalls = calls.filter((call) => call.tool === 'refund').length;
  const turns = ended.units.filter((unit) => unit.kind === 'turn').length;
  const kills = lives.filter((life) => life.end === 'killed').length;
  const amounts = refunds.map(({ amount }) => `${amount.toFixed(2)} EUR`).join(', ');
  const checks: [string, boolean][] = [
    [
      `the run ${ended.status}, with ${ended.events} events in its journal, over ${lives.length} processes, ${kills} of them killed`,
      ended.status === 'completed',
    ],
    [`${keys.size} tool calls, each ran once`, calls.length === keys.size],
    [
      refunds.length === 0 ? 'no refund' : `refunds: ${refunds.length} (${amounts})`,
      refunds.length === refundCalls && refunds.length <= 1,
    ],
    [`messages in the outbox: ${messages.length}`, messages.length === refunds.length],
  ];
  if (requests === undefined) return checks;
  const again = requests.length - turns;
  return [
    ...checks,
    [
      `model requests: ${requests.length} for ${turns} turns; asked again after a kill: ${again}`,
      again >= 0 && again <= kills,
    ],
  ];
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

function printTable(screen: Screen, rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const [index, row] of rows.entries()) {
    const line = row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('   ');
    screen.note(line.trimEnd(), index === 0 ? 'dim' : 'reset');
  }
}
