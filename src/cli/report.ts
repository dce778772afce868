/** What a command answers, and how it reaches the terminal: as text for people, or as one JSON document. */

import { toJsonText } from './json.ts';
import type { Paint } from './table.ts';

/** How text is laid out. */
export interface Layout {
  /** Columns that a line may take. */
  width: number;
  /** Milliseconds since the epoch: relative times are seen from here. */
  now: number;
  paint: Paint;
}

export interface Report {
  json: unknown;
  lines: (layout: Layout) => string[];
}

/** Where a command meets the world. */
export interface Terminal {
  out: (text: string) => void;
  err: (text: string) => void;
  layout: () => Layout;
  env: Readonly<Record<string, string | undefined>>;
  /** Who sits there; undefined if the system does not say. */
  user: () => string | undefined;
}

export function print(report: Report, terminal: Terminal, isJson: boolean): void {
  const text = isJson ? toJsonText(report.json, 2) : report.lines(terminal.layout()).join('\n');
  terminal.out(`${text}\n`);
}
