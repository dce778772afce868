/** Aligned columns. */

import { fit, printable, widthOf } from './text.ts';

export interface Column {
  title: string;
  align?: 'right';
  /** Never cut, as ids, which are there to be pasted: the table grows past its width if it must. */
  isWhole?: boolean;
}

/** Names a style of the terminal. */
export type Format = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

export type Cell = string | { text: string; format: Format };

export type Paint = (format: Format, text: string) => string;

export interface TableOptions {
  width: number;
  paint: Paint;
  /** Lines that stand below a row, by its index. */
  below?: (row: number) => string[];
}

const GAP = '  ';
const LEAST = 7;

/** Lines of a table; columns that are empty in every row are left out. */
export function tableLines(columns: readonly Column[], rows: readonly Cell[][], options: TableOptions): string[] {
  const texts = rows.map((row) => row.map((cell) => printable(textOf(cell))));
  const shown = columns.map((_, index) => index).filter((index) => texts.some((row) => row[index] !== ''));
  const widths = fittedWidths(
    shown.map((index) => {
      const { title = '', isWhole = false } = columns[index] ?? {};
      const natural = Math.max(widthOf(title), ...texts.map((row) => widthOf(row[index] ?? '')));
      return { natural, least: isWhole ? natural : Math.min(natural, Math.max(LEAST, widthOf(title))) };
    }),
    options.width,
  );
  const line = (cells: ReadonlyArray<{ text: string; format?: Format }>): string =>
    shown
      .map((index, place) => {
        const { text = '', format } = cells[index] ?? {};
        const isLast = place === shown.length - 1;
        return aligned(
          { text, format },
          { width: widths[place] ?? 0, column: columns[index], isLast, paint: options.paint },
        );
      })
      .join(GAP)
      .trimEnd();
  const head = line(columns.map(({ title }) => ({ text: title, format: 'dim' })));
  const body = rows.flatMap((row, index) => [
    line(row.map((cell, place) => ({ text: texts[index]?.[place] ?? '', ...formatOf(cell) }))),
    ...(options.below?.(index) ?? []),
  ]);
  return [head, ...body];
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text;
}

function formatOf(cell: Cell): { format?: Format } {
  return typeof cell === 'string' ? {} : { format: cell.format };
}

function aligned(
  { text, format }: { text: string; format: Format | undefined },
  options: { width: number; column: Column | undefined; isLast: boolean; paint: Paint },
): string {
  const cut = fit(text, options.width);
  const shown = format === undefined || cut === '' ? cut : options.paint(format, cut);
  const padding = ' '.repeat(Math.max(0, options.width - widthOf(cut)));
  if (options.column?.align === 'right') return padding + shown;
  return options.isLast ? shown : shown + padding;
}

/** Takes from the widest column, one by one, until the line fits or nothing can be taken. */
function fittedWidths(columns: ReadonlyArray<{ natural: number; least: number }>, width: number): number[] {
  const widths = columns.map(({ natural }) => natural);
  let excess = widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1)) - width;
  for (; excess > 0; excess -= 1) {
    const widest = widths.reduce(
      (best, each, index) => (each > (columns[index]?.least ?? 0) && each > (widths[best] ?? 0) ? index : best),
      -1,
    );
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}
