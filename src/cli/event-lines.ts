/** Events as lines: one for each, below one head. */

import type { JournalEvent } from '../runtime/event.ts';
import { spansOf } from './event-spans.ts';
import type { Span } from './event-spans.ts';
import { eventText } from './event-words.ts';
import { clockText, daysBetween, spanText } from './relative-time.ts';
import type { Layout } from './report.ts';
import { fit, printable, widthOf, wholeValue } from './text.ts';

export interface EventLinesOptions {
  startedAt: number;
  /** Whole values below each line. */
  isFull: boolean;
}

export interface EventLines {
  /** Lines of the events from `from` on, ahead of the first one the head. */
  add(events: readonly JournalEvent[], options: { from: number; layout: Layout }): string[];
}

const SEQ = 4;
const TIME = 12;
const ATTEMPT = 3;
const TOOK = 7;
const MOST_KEY = 26;
const LEAST_TEXT = 12;

/** Keeps the widths from one call to the next, so that lines that come later stand below the first ones. */
export function createEventLines({ startedAt, isFull }: EventLinesOptions): EventLines {
  const widths = { type: 'TYPE'.length, key: 'KEY'.length };
  return {
    add(events, { from, layout }) {
      const spans = spansOf(events, startedAt);
      for (const { type, key } of events.slice(from)) {
        widths.type = Math.max(widths.type, type.length);
        widths.key = Math.max(widths.key, Math.min(MOST_KEY, widthOf(printable(key))));
      }
      const first = events[0]?.at ?? startedAt;
      const lines = events.slice(from).flatMap((event, index) => {
        const seq = from + index;
        const line = lineOf(event, { seq, span: spans[seq], days: daysBetween(first, event.at), widths, layout });
        return isFull ? [line, ...wholeLines(event)] : [line];
      });
      return from === 0 && events.length > 0 ? [headOf(widths, layout), ...lines] : lines;
    },
  };
}

interface Widths {
  type: number;
  key: number;
}

function headOf(widths: Widths, { paint }: Layout): string {
  const titles = [
    'SEQ'.padStart(SEQ),
    'TIME'.padEnd(TIME),
    'TYPE'.padEnd(widths.type),
    'KEY'.padEnd(widths.key),
    'TRY'.padStart(ATTEMPT),
    'TOOK'.padStart(TOOK),
    'WHAT',
  ];
  return paint('dim', titles.join(' '));
}

interface Place {
  seq: number;
  span: Span | undefined;
  /** Since the first event. */
  days: number;
  widths: Widths;
  layout: Layout;
}

function lineOf(event: JournalEvent, { seq, span, days, widths, layout }: Place): string {
  const time = clockText(event.at) + (days === 0 ? '' : ` +${days}d`);
  const key = middle(printable(event.key), widths.key);
  const cells = [
    String(seq).padStart(SEQ),
    layout.paint('dim', time),
    event.type.padEnd(widths.type),
    key + ' '.repeat(Math.max(0, widths.key - widthOf(key))),
    (event.attempt === undefined ? '' : String(event.attempt)).padStart(ATTEMPT),
    (span === undefined ? '' : `${span.isExact ? '' : '+'}${spanText(span.ms)}`).padStart(TOOK),
  ];
  const used = SEQ + time.length + widths.type + widths.key + ATTEMPT + TOOK + cells.length;
  return `${cells.join(' ')} ${fit(eventText(event), Math.max(LEAST_TEXT, layout.width - used))}`.trimEnd();
}

/** Keys are told apart by their ends. */
function middle(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  const left = Math.floor((width - 1) / 3);
  return `${text.slice(0, left)}…${text.slice(text.length - (width - 1 - left))}`;
}

function wholeLines(event: JournalEvent): string[] {
  const parts = [
    ...(event.key === '' ? [] : [`key   ${printable(event.key)}`]),
    ...(event.meta === undefined ? [] : [`meta  ${wholeValue(event.meta)}`]),
    ...(event.hasValue ? [`value ${wholeValue(event.value)}`] : []),
  ];
  return parts.flatMap((part) => part.split('\n').map((line) => `       ${line}`));
}
