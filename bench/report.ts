/** What a bench answers, and the table of it. */

import { measured, ratios } from './measure.ts';
import type { Measured, Turns } from './measure.ts';

export type StoreName = 'sqlite' | 'memory';
export type ServerName = 'postgres' | 'redis';

/** One row of the table. */
export interface Figure {
  what: string;
  store: StoreName | ServerName | 'none';
  value: Measured;
  unit: string;
  /** The floor of the same run, in the same unit. */
  floor?: { what: string; value: Measured };
  /** Ours over the floor, taken round by round. */
  ratio?: Measured;
  target?: Target;
}

export interface Target {
  /** As it is printed: `<= 2 x`. */
  text: string;
  met: boolean;
}

export interface BenchContext {
  /** A new path for a database of this name; the folder is removed at the end. */
  file: (name: string) => string;
  /** Fewer rounds: for a look, not for figures. */
  quick: boolean;
  /** Something that the reader of the table has to know. */
  note: (line: string) => void;
}

export interface Bench {
  name: string;
  /** What it does not measure, for the reader of its figures. */
  leavesOut: string;
  run: (context: BenchContext) => Promise<Figure[]>;
}

export interface FigureOptions {
  store: Figure['store'];
  unit: string;
  floor?: string;
  /** The most that the ratio to the floor may be. */
  ratioAtMost?: number;
  /** The most that the value itself may be. */
  atMost?: number;
}

/** A figure with the floor that was measured in turns with it. */
export function toFigure(what: string, turns: Turns, options: FigureOptions): Figure {
  const value = measured(turns.ours);
  const ratio = options.floor === undefined ? undefined : measured(ratios(turns));
  const target = targetOf(options, { value, ratio });
  return {
    what,
    store: options.store,
    unit: options.unit,
    value,
    ...(options.floor === undefined ? {} : { floor: { what: options.floor, value: measured(turns.floor) } }),
    ...(ratio === undefined ? {} : { ratio }),
    ...(target === undefined ? {} : { target }),
  };
}

/** A figure that has no floor. */
export function toPlainFigure(what: string, samples: number[], options: FigureOptions): Figure {
  return toFigure(what, { ours: samples, floor: [] }, options);
}

function targetOf(
  { ratioAtMost, atMost, unit }: FigureOptions,
  { value, ratio }: { value: Measured; ratio: Measured | undefined },
): Target | undefined {
  if (ratioAtMost !== undefined && ratio !== undefined)
    return { text: `<= ${ratioAtMost} x`, met: ratio.median <= ratioAtMost };
  if (atMost !== undefined) return { text: `<= ${atMost} ${unit}`, met: value.median <= atMost };
  return undefined;
}

const HEADINGS = ['what', 'store', 'median', 'spread', 'floor', 'ratio', 'spread of ratio', 'target', ''];

export function toTable(figures: Figure[]): string {
  const rows = [HEADINGS, ...figures.map(toCells)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}

function toCells({ what, store, value, unit, floor, ratio, target }: Figure): string[] {
  return [
    what,
    store === 'none' ? '' : store,
    `${toText(value.median)} ${unit}`,
    spreadOf(value),
    floor === undefined ? '' : `${toText(floor.value.median)} (${floor.what})`,
    ratio === undefined ? '' : `${toText(ratio.median)} x`,
    ratio === undefined ? '' : spreadOf(ratio),
    target?.text ?? '',
    target === undefined ? '' : target.met ? 'met' : 'MISSED',
  ];
}

function spreadOf({ least, most }: Measured): string {
  return least === most ? '' : `${toText(least)} to ${toText(most)}`;
}

/** Three digits that matter. */
export function toText(value: number): string {
  const size = Math.abs(value);
  if (size >= 1_000) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
