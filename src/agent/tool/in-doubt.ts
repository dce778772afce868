/**
 * Tools that were interrupted between their start record and their completion: did the effect happen?
 *
 *  I1 A tool is in doubt if a start of it is recorded, no completion, and its process did not leave it while it waited. A tool that
 *     waits inside (sleep, hook) is replayed from its top and is not in doubt, unless the process died after the wait had ended.
 *  I2 Each interruption is asked about once: the question is keyed by the number of starts.
 */

import type { RunContext } from '../../runtime/context.ts';
import { DurableError } from '../../runtime/errors.ts';
import type { JournalEvent } from '../../runtime/event.ts';

/** What a tool was when the process that ran it died. */
export interface InDoubtTool {
  /** The tool's key. */
  key: string;
  toolName: string;
  toolCallId: string;
  input: unknown;
  /** Store time of the last start. */
  startedAt: number;
  /** Starts so far. */
  attempt: number;
  idempotencyKey: string;
}

/** `again`: run it once more under the same idempotency key. `happened`: the effect is done, this is its result. */
export type InDoubtAnswer =
  | { kind: 'again' }
  | { kind: 'happened'; result: unknown }
  | { kind: 'fail'; reason?: string };

/** Durable: answers the same on replay. */
export type InDoubtAsk = (tool: InDoubtTool) => Promise<InDoubtAnswer>;

/** The doubt about a tool that is to run now, if there is one (I1). */
export function findDoubt(
  context: RunContext,
  tool: Pick<InDoubtTool, 'key' | 'toolName' | 'toolCallId' | 'input'>,
): InDoubtTool | undefined {
  const facts = context.facts(tool.key);
  const starts = facts.filter((fact) => fact.type === 'tool_started');
  const last = starts.at(-1);
  if (last === undefined || facts.at(-1)?.type === 'tool_retrying') return undefined;
  const all = context.journal('');
  const since = all.slice(all.lastIndexOf(last) + 1);
  const inside = since.filter((event) => event.key.startsWith(`${tool.key}/`));
  const crashed = context.run.attempts > 0 || since.some((event) => event.type === 'run_recovered');
  const suspended = crashed ? hasOpenWait(inside) : inside.some(isWait);
  if (suspended) return undefined;
  return { ...tool, startedAt: last.at, attempt: starts.length, idempotencyKey: `${context.run.id}/${tool.key}` };
}

function isWait({ type }: JournalEvent): boolean {
  return type === 'timer_started' || type === 'hook_created' || type === 'child_started';
}

/** A wait began under the tool and nothing came of it yet. */
function hasOpenWait(events: JournalEvent[]): boolean {
  const ended = new Set(
    events.filter(({ type }) => type === 'timer_fired' || type === 'message_received').map(({ key }) => key),
  );
  return events.some((event) => isWait(event) && !ended.has(event.key));
}

export interface DoubtOptions {
  tool: InDoubtTool;
  policy: 'retry' | 'fail' | 'ask';
  ask: InDoubtAsk | undefined;
  context: RunContext;
  /** Runs the tool. */
  start: () => unknown;
}

/** What the tool answers, or the error `tool_in_doubt`. */
export async function settleDoubt({ tool, policy, ask, context, start }: DoubtOptions): Promise<unknown> {
  if (policy === 'fail' || ask === undefined) throw inDoubtError(tool);
  const answer = await ask(tool);
  switch (answer.kind) {
    case 'happened':
      return answer.result;
    case 'fail':
      throw inDoubtError(tool, answer.reason);
    case 'again':
      // crash here: the start is recorded, so the next doubt is a new question (I2).
      await context.append({
        facts: [{ type: 'tool_started', key: tool.key, at: context.now(), attempt: tool.attempt + 1 }],
      });
      return start();
  }
}

export function inDoubtError(tool: InDoubtTool, reason?: string): DurableError {
  const when = new Date(tool.startedAt).toISOString();
  return new DurableError(
    'tool_in_doubt',
    `Cannot say whether the tool "${tool.toolName}" took effect: its call "${tool.key}" started at ${when} and its process ended before ` +
      `the result was recorded${reason === undefined ? '' : ` (${reason})`}. Look for the idempotency key "${tool.idempotencyKey}" where the effect would be.`,
    {
      details: {
        key: tool.key,
        toolCallId: tool.toolCallId,
        startedAt: tool.startedAt,
        attempt: tool.attempt,
        idempotencyKey: tool.idempotencyKey,
      },
    },
  );
}
