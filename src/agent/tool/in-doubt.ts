/**
 * Tools that were interrupted between their start record and their completion: did the effect happen?
 *
 *  I1 A tool is in doubt if a start of it is recorded, no completion, and its process did not leave it while it waited. A tool that
 *     waits inside (sleep, hook) is replayed from its top and is not in doubt, unless the process died after the wait had ended.
 *  I2 Each interruption is looked into and asked about once: probe and question are keyed by the number of starts.
 *  I3 What is asked, and looked up, about a call is no part of it: a question that is still open leaves the call in doubt.
 *  I4 Once a doubt is settled in favour of another attempt, this one and its retries are as any: each has its start recorded.
 *  I5 Whatever is recorded of probes and questions of a call is asked for when the call is entered again, whatever has become of the doubt:
 *     replay goes no further than a completion that nobody asks for.
 */

import { COMPLETIONS } from '../../runtime/context.ts';
import type { RunContext } from '../../runtime/context.ts';
import { DurableError } from '../../runtime/errors.ts';
import { durationMs } from '../../runtime/duration.ts';
import type { JournalEvent } from '../../runtime/event.ts';
import { hookOf } from '../../runtime/hook-closing.ts';
import type { DurableToolSettings, ProbeAnswer } from '../durable-settings.ts';

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
  /** What may have happened, in the words of the tool's settings; null if they have none. */
  prompt: () => string | null;
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
  tool: Pick<InDoubtTool, 'key' | 'toolName' | 'toolCallId' | 'input' | 'prompt'>,
): InDoubtTool | undefined {
  const facts = context.facts(tool.key);
  const starts = facts.filter((fact) => fact.type === 'tool_started');
  const last = starts.at(-1);
  if (last === undefined || facts.at(-1)?.type === 'tool_retrying') return undefined;
  const all = context.journal('');
  const since = all.slice(all.lastIndexOf(last) + 1);
  const inside = since.filter((event) => event.key.startsWith(`${tool.key}/`) && !isAboutDoubt(event, tool.key));
  const crashed = context.run.attempts > 0 || since.some((event) => event.type === 'run_recovered');
  const suspended = crashed ? hasOpenWait(inside) : inside.some(isWait);
  if (suspended) return undefined;
  return { ...tool, startedAt: last.at, attempt: starts.length, idempotencyKey: `${context.run.id}/${tool.key}` };
}

/** I3 */
function isAboutDoubt(event: JournalEvent, key: string): boolean {
  return event.key.startsWith(questionKey({ key })) || event.key.startsWith(probeKey({ key }));
}

/** I2 */
export function questionKey({ key, attempt = '' }: { key: string; attempt?: number | '' }): string {
  return `${key}/in-doubt:${attempt}`;
}

function probeKey({ key, attempt = '' }: { key: string; attempt?: number | '' }): string {
  return `${key}/probe:${attempt}`;
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
  settings: Pick<DurableToolSettings, 'onInDoubt' | 'probe' | 'timeout'>;
  ask: InDoubtAsk;
  context: RunContext;
}

/** Whether the call is to run once more, or what it answers instead. Throws `tool_in_doubt`. */
export async function settleDoubt(
  options: DoubtOptions,
): Promise<{ kind: 'again' } | { kind: 'happened'; result: unknown }> {
  const { tool, settings, ask } = options;
  const found = await probe(options);
  if (found !== undefined) return found;
  const { onInDoubt = 'retry' } = settings;
  if (onInDoubt === 'retry') return { kind: 'again' };
  if (onInDoubt === 'fail') throw inDoubtError(tool);
  const answer = await ask(tool);
  if (answer.kind === 'fail') throw inDoubtError(tool, answer.reason);
  return answer;
}

/** I4 */
export async function recordStartAgain(
  context: RunContext,
  { key, attempt }: { key: string; attempt: number },
): Promise<void> {
  // crash here: the start is recorded, so the next doubt is a new question (I2).
  await context.append({ facts: [{ type: 'tool_started', key, at: context.now(), attempt }] });
}

/** I5. In journal order. */
export function knownOfDoubts(context: RunContext, key: string): JournalEvent[] {
  return context.journal(`${key}/`).filter((event) => isAboutDoubt(event, key) && COMPLETIONS.has(event.type));
}

/** I5. What they say is asked for once more where it matters. */
export async function replayDoubts(context: RunContext, known: readonly JournalEvent[]): Promise<void> {
  for (const event of known) {
    try {
      await replayed(context, event);
    } catch (error) {
      if (DurableError.is(error, 'cancelled')) throw error;
    }
  }
}

async function replayed(context: RunContext, event: JournalEvent): Promise<void> {
  const { key, type } = event;
  if (type === 'timer_fired') await context.sleep(key, 0);
  else if (type === 'hook_closed') await context.closeHook(key, hookOf(event));
  else if (type !== 'message_received') await context.perform({ key, kind: 'step', body: () => 'unknown' });
}

/** What the tool itself finds out; undefined if it cannot tell. */
async function probe({
  tool,
  settings,
  context,
}: DoubtOptions): Promise<Awaited<ReturnType<typeof settleDoubt>> | undefined> {
  const { probe: look, timeout } = settings;
  if (look === undefined) return undefined;
  const { input, idempotencyKey, startedAt } = tool;
  try {
    // Without retries: their timers would be waits of the tool (I1).
    const found = await context.perform({
      key: probeKey(tool),
      kind: 'step',
      body: async ({ signal }) =>
        checkProbe(tool, await look(input, { idempotencyKey, startedAt: new Date(startedAt), signal })),
      ...(timeout === undefined ? {} : { timeoutMs: durationMs(timeout, `durable.tools.${tool.toolName}.timeout`) }),
    });
    if (found === 'unknown') return undefined;
    return found.happened ? { kind: 'happened', result: found.result } : { kind: 'again' };
  } catch (error) {
    if (DurableError.is(error, 'cancelled')) throw error;
    const code = DurableError.is(error) ? error.code : 'step_failed';
    context.logger.warn({ code, step: probeKey(tool), err: error }, 'a probe failed, and its call stays in doubt');
    return undefined;
  }
}

function checkProbe({ toolName }: InDoubtTool, answer: ProbeAnswer): ProbeAnswer {
  if (answer === 'unknown' || typeof (answer as { happened?: unknown } | null)?.happened === 'boolean') return answer;
  throw new DurableError(
    'invalid_argument',
    `Cannot read what durable.tools.${toolName}.probe answered. Answer { happened: true, result }, { happened: false } or 'unknown'.`,
  );
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
