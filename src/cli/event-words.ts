/** What an event says, in a few words. */

import type { Decision } from '../agent/tool/approval.ts';
import type { EventType, JournalEvent } from '../runtime/event.ts';
import { dateText } from './relative-time.ts';
import { briefValue, printable } from './text.ts';
import { readTurn } from './turn-content.ts';

/** Small facts, as the runtime and the agent write them. */
interface Facts {
  model?: string;
  outcome?: string;
  error?: string;
  tool?: string;
  decision?: string;
  workflow?: string;
  run?: string;
  kind?: string;
  status?: string;
  by?: string;
  turns?: number;
  open?: number;
  usage?: { inputTokens?: number; outputTokens?: number };
}

const WORDS: Partial<Record<EventType, (event: JournalEvent, facts: Facts) => string>> = {
  timer_started: ({ dueAt }) => (dueAt === undefined ? '' : `until ${dateText(dueAt)}`),
  step_retrying: retryText,
  tool_retrying: retryText,
  message_received: messageText,
  turn_completed: turnText,
  turn_failed: (_, { model, outcome, error }) => words([model, outcome, error]),
  tool_completed: (event, { tool }) => words([tool, valueText(event)]),
  policy_decided: (_, { decision }) => words([decision]),
  child_started: (_, { workflow, run }) => words([workflow, run]),
  hook_created: (_, { kind }) => words([kind]),
  segment_completed: (_, { turns, open }) => `${turns ?? 0} turns so far, ${open ?? 0} open`,
};

export function eventText(event: JournalEvent): string {
  const { type, meta = {} } = event;
  const text = WORDS[type]?.(event, meta);
  if (text !== undefined) return printable(text);
  if (event.hasValue) return valueText(event);
  return Object.keys(meta).length === 0 ? '' : briefValue(meta);
}

function words(parts: ReadonlyArray<string | undefined>): string {
  return parts.filter((part) => part !== undefined && part !== '').join(' ');
}

function retryText(event: JournalEvent): string {
  return valueText(event) + (event.dueAt === undefined ? '' : `, again ${dateText(event.dueAt)}`);
}

function valueText(event: JournalEvent): string {
  return event.hasValue ? briefValue(event.value) : '';
}

function turnText(event: JournalEvent, { model, usage }: Facts): string {
  const { text, calls } = readTurn(event);
  const tokens = usage === undefined ? undefined : `${usage.inputTokens ?? '?'}+${usage.outputTokens ?? '?'} tokens`;
  const called = calls.map(({ tool, input }) => `${tool}(${briefValue(input)})`);
  return words([...called, text === '' ? undefined : briefValue(text), tokens, model]);
}

function messageText(event: JournalEvent, { kind, status, by }: Facts): string {
  const from = by === undefined ? '' : ` by ${by}`;
  if (kind === 'decision') return decisionText(event.value as Decision, from);
  return words([kind, status, from.trim(), valueText(event)]);
}

function decisionText({ approved, reason, input, result }: Decision, from: string): string {
  const edited = input === undefined ? '' : ` with ${briefValue(input)}`;
  const happened = result === undefined ? '' : `: it happened, ${briefValue(result)}`;
  return `${approved ? 'approved' : 'denied'}${from}${edited}${happened}${reason === undefined ? '' : `: ${reason}`}`;
}
