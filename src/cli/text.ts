/** Text for a terminal: what comes out of a store may have been written by a model or by strangers. */

import { inspect } from 'node:util';

/** Control characters and those that turn the direction of writing: they could make a line say what it does not. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;
const WIDE =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;
const SHELL_SAFE = /^[\w@%+=:,./-]+$/;
const NAMED: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** One line, with whatever a terminal would act upon shown as an escape. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped);
}

/** The same, with its line breaks. */
export function printableLines(text: string): string {
  return text.replace(UNSAFE, (found) => (found === '\n' ? found : escaped(found)));
}

function escaped(found: string): string {
  const code = found.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  return NAMED[found] ?? (code < 0x100 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`);
}

/** Columns that a printable text takes. */
export function widthOf(text: string): number {
  return /^[\x20-\x7e…]*$/.test(text) ? text.length : graphemes(text).reduce((sum, each) => sum + cellsOf(each), 0);
}

/** Cuts a printable text to so many columns, the last of them an ellipsis. */
export function fit(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let used = 0;
  let kept = '';
  for (const each of graphemes(text)) {
    used += cellsOf(each);
    if (used > width - 1) break;
    kept += each;
  }
  return `${kept}…`;
}

/** A printable text as a whole, on as many lines as it takes. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (let rest = text; rest !== '';) {
    const cut = fit(rest, width);
    const taken = cut === rest ? rest : untilSpace(cut.slice(0, -1), rest);
    lines.push(taken.trimEnd());
    rest = rest.slice(taken.length);
  }
  return lines;
}

/** Breaks a line between two words if there is a place for it in its second half. */
function untilSpace(line: string, rest: string): string {
  if (rest[line.length] === ' ') return `${line} `;
  const end = line.lastIndexOf(' ') + 1;
  return end > line.length / 2 ? line.slice(0, end) : line;
}

/** A word that a shell takes as it is. */
export function shellWord(text: string): string {
  return SHELL_SAFE.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** A value in one line, as JSON, which can be pasted; what JSON cannot hold is shown as Node shows it. */
export function briefValue(value: unknown): string {
  if (value instanceof Error) return printable(`${value.name}: ${value.message}`);
  const json = isPlain(value) ? JSON.stringify(value) : undefined;
  return printable(json ?? inspect(value, { depth: 4, compact: true, breakLength: Infinity }));
}

/** A value with all that belongs to it, on as many lines as it takes. */
export function wholeValue(value: unknown): string {
  const options = { depth: Infinity, maxArrayLength: null, maxStringLength: null, breakLength: 96 };
  return printableLines(typeof value === 'string' ? value : inspect(value, options));
}

/** Whether JSON keeps it. */
function isPlain(value: unknown): boolean {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return true;
  if (Array.isArray(value)) return value.every(isPlain);
  if (typeof value !== 'object') return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return (prototype === Object.prototype || prototype === null) && Object.values(value).every(isPlain);
}

function graphemes(text: string): string[] {
  return Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}

function cellsOf(grapheme: string): number {
  return WIDE.test(grapheme) ? 2 : 1;
}
