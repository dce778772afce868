/** How long what an event records took, as far as the journal tells. Pure. */

import type { JournalEvent } from '../runtime/event.ts';

export interface Span {
  ms: number;
  /** The start is on record. Otherwise it is the time since the event before, whoever caused that. */
  isExact: boolean;
}

/** One for each event, in order. */
export function spansOf(events: readonly JournalEvent[], startedAt: number): Span[] {
  const starts = new Map<string, number>();
  let before = startedAt;
  return events.map((event) => {
    const start = startOf(event, starts);
    const span = { ms: event.at - (start ?? before), isExact: start !== undefined };
    note(event, starts);
    if (!isFromOutside(event)) before = event.at;
    return span;
  });
}

const APPROVED = '/init';

function startOf({ type, key }: JournalEvent, starts: ReadonlyMap<string, number>): number | undefined {
  switch (type) {
    case 'timer_fired':
      return starts.get(key);
    case 'tool_completed':
    case 'tool_failed':
    case 'tool_retrying':
      return starts.get(key) ?? starts.get(key.slice(0, key.lastIndexOf('/tool:')));
    case 'message_received':
      // Approvals and client-side tools are asked for by the end of a segment.
      return key === '' ? undefined : (starts.get(key) ?? starts.get(key.slice(0, key.lastIndexOf('/'))));
    default:
      return undefined;
  }
}

function note({ type, key, at, meta }: JournalEvent, starts: Map<string, number>): void {
  switch (type) {
    case 'timer_started':
    case 'hook_created':
    case 'child_started':
    case 'tool_started':
    case 'turn_completed':
    case 'segment_completed':
      starts.set(key, at);
      break;
    case 'message_received':
      // What was approved runs when the last answer is there, in the segment after the one that asked.
      if (meta?.['kind'] === 'decision') starts.set(`${nextSegment(key)}${APPROVED}`, at);
      break;
    default:
      break;
  }
}

function nextSegment(key: string): string {
  const number = /^agent#(\d+)\//.exec(key)?.[1];
  return number === undefined ? key : `agent#${Number(number) + 1}`;
}

function isFromOutside({ type }: JournalEvent): boolean {
  return type === 'message_received' || type === 'cancel_requested';
}
