/** Runs and what they wait for, in the words of the tables. */

import type { RunInfo } from '../app/run-info.ts';
import type { Wait } from '../app/waits.ts';
import type { RunStatus } from '../runtime/store.ts';
import { relativeText } from './relative-time.ts';
import type { Cell, Format } from './table.ts';
import { briefValue } from './text.ts';

const FORMATS: Partial<Record<string, Format>> = {
  completed: 'green',
  approved: 'green',
  answered: 'green',
  running: 'cyan',
  waiting: 'yellow',
  pending: 'yellow',
  retrying: 'yellow',
  parked: 'red',
  failed: 'red',
  denied: 'red',
  cancelled: 'dim',
  closed: 'dim',
};

export const RUN_STATUSES: readonly RunStatus[] = [
  'queued',
  'ready',
  'running',
  'waiting',
  'parked',
  'completed',
  'failed',
  'cancelled',
];

export function statusCell(status: string): Cell {
  const format = FORMATS[status];
  return format === undefined ? status : { text: status, format };
}

/** What holds a run up, or how it came to its end; nothing where the status says it all. */
export function reasonOf(run: RunInfo, waits: readonly Wait[], now: number): string {
  if (run.parked !== null) return run.parked.code;
  if (run.status === 'failed') return failureText(run);
  if (run.cancelRequested && run.endedAt === null) return 'asked to stop';
  if (run.status === 'waiting' && run.waitsForWorker !== null) return dueText(run, now);
  if (waits.length > 0) return waits.map((wait) => waitText(wait, now)).join(', ');
  return dueText(run, now);
}

export function waitText(wait: Wait, now: number): string {
  switch (wait.kind) {
    case 'approval':
      if (wait.question === 'budget') return 'a word about its budget';
      return `${wait.question === 'in-doubt' ? 'in doubt:' : 'approval of'} ${wait.tool}`;
    case 'question':
      return `answer to ${JSON.stringify(wait.prompt)}`;
    case 'client-tool':
      return `client's ${wait.tool}`;
    case 'hook':
      return wait.key.startsWith('hook') ? wait.key : `hook ${wait.key}`;
    case 'sleep':
      return `sleep, due ${relativeText(wait.until, now)}`;
  }
}

/** The message; before it the code, where the code says more than that it failed. */
export function failureText({ error }: RunInfo): string {
  if (error === null) return '';
  const { code, message } = error;
  if (message === null) return code;
  return code === 'run_failed' ? message : `${code}: ${message}`;
}

/** What the due time means: `ready` runs wait for a worker, a `running` one whose lease ended has lost its own. */
export function dueText({ status, dueAt, blockedBy, waitsForWorker }: RunInfo, now: number): string {
  if (blockedBy !== null) return `blocked: the limit ${blockedBy} is full`;
  if (dueAt === null || dueAt > now) return '';
  const since = `${status === 'running' ? 'its worker is gone: the lease ended' : 'due'} ${relativeText(dueAt, now)}`;
  if (waitsForWorker !== null) return `${since}, and no worker that executes ${waitsForWorker} takes it`;
  return status === 'running' ? since : '';
}

/** What a run was started with: of an agent what the user said. */
export function inputText(input: unknown): string {
  const messages = (input as { messages?: unknown } | null)?.messages;
  if (!Array.isArray(messages)) return briefValue(input);
  const last: unknown = messages.findLast((message: { role?: unknown }) => message?.role === 'user');
  const content = (last as { content?: unknown } | undefined)?.content;
  return typeof content === 'string' ? briefValue(content) : briefValue(textParts(content) ?? input);
}

/** What a run answered: of an agent its last text. */
export function resultText(result: unknown): string {
  const { text, uiMessage } = (result ?? {}) as { text?: unknown; uiMessage?: unknown };
  return briefValue(uiMessage !== undefined && typeof text === 'string' ? text : result);
}

function textParts(content: unknown): string | undefined {
  if (!Array.isArray(content)) return undefined;
  const texts = content.flatMap((part: { type?: unknown; text?: unknown }) =>
    part.type === 'text' ? [part.text] : [],
  );
  return texts.length === 0 ? undefined : texts.join(' ');
}
