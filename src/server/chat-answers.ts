/** An assistant message of the waiting run: its decisions and outputs of client-side tools reach the run, nothing else of it does. */

import type { UIMessageChunk } from 'ai';
import type { Approval } from '../app/approval-record.ts';
import type { Runtime } from '../app/create-runtime.ts';
import { DurableError } from '../runtime/errors.ts';
import type { RunInfo } from '../app/run-info.ts';
import { decodeChunk } from '../runtime/chunk.ts';
import { DEFAULT_STREAM } from '../streams/wire.ts';
import type { Caller } from './access.ts';
import { notAccepted } from './chat-message.ts';
import type { AnsweredPart } from './chat-message.ts';
import type { Allow, Subject } from './row-access.ts';
import { readTail } from './stream-position.ts';

export interface AnswerOptions {
  run: RunInfo;
  parts: readonly AnsweredPart[];
  caller: Caller;
  /** Where the run belongs. */
  subject: Subject;
  allow: Allow;
}

/**
 * Delivers what was answered; the offset where the answer to it begins. A repeated request delivers nothing and gets the same
 * stream. Throws `history_not_accepted` if there is nothing to deliver, or an approval that is not this run's;
 * `approval_decided` if another decision holds.
 */
export async function deliverAnswers(runtime: Runtime, options: AnswerOptions): Promise<number> {
  const tail = await readTail(runtime, options.run.id);
  const decisions = await readDecisions(runtime, options);
  const outcomes: Outcome[] = [];
  for (const decision of decisions) outcomes.push(await decide(runtime, decision));
  for (const part of options.parts) outcomes.push(await bringOutput(runtime, part, options));
  const conflict = outcomes.find((outcome) => outcome.kind === 'conflict');
  if (conflict !== undefined) throw conflict.error;
  if (outcomes.some(({ kind }) => kind === 'delivered')) return tail;
  if (outcomes.some(({ kind }) => kind === 'repeated')) return findAnswer(runtime, options, tail);
  throw notAccepted('the assistant message answers nothing that its run waits for', { run: options.run.id });
}

type Outcome = { kind: 'delivered' } | { kind: 'repeated' } | { kind: 'none' } | { kind: 'conflict'; error: unknown };

interface Decision {
  approval: Approval;
  approved: boolean;
  reason: string | undefined;
  by: Caller;
}

/** All of them are looked up and asked for before one is delivered: a forged request changes nothing. */
function readDecisions(runtime: Runtime, { run, parts, subject, allow }: AnswerOptions): Promise<Decision[]> {
  const responded = parts.filter((part) => part.state === 'approval-responded');
  return Promise.all(
    responded.map(async ({ toolCallId, approval: given }) => {
      const approval = given === undefined ? null : await findApproval(runtime, given.id);
      if (given === undefined || approval?.run !== run.id || approval.toolCallId !== toolCallId) {
        throw notAccepted(`the call "${toolCallId}" has no such approval in the run "${run.id}"`, { toolCallId });
      }
      const by = await allow({ action: 'approval.decide', approvalId: given.id, ...subject });
      return { approval, approved: given.approved, reason: given.reason, by };
    }),
  );
}

async function findApproval(runtime: Runtime, id: string): Promise<Approval | null> {
  try {
    return await runtime.approvals.get(id);
  } catch (error) {
    if (DurableError.is(error, 'approval_not_found')) return null;
    throw error;
  }
}

async function decide(
  runtime: Runtime,
  { approval: { id, answers }, approved, reason, by }: Decision,
): Promise<Outcome> {
  const isRepeated = answers.some((answer) => answer.by === by.id && answer.approved === approved);
  try {
    const options = { by, from: 'chat', ...(reason === undefined ? {} : { reason }) };
    await (approved ? runtime.approvals.approve(id, options) : runtime.approvals.deny(id, options));
    return { kind: isRepeated ? 'repeated' : 'delivered' };
  } catch (error) {
    if (!DurableError.is(error, 'approval_decided')) throw error;
    // The same answer, by whomever: a request that is sent again must find its stream.
    const same =
      error.details['status'] === (approved ? 'approved' : 'denied') || error.details['approved'] === approved;
    return same ? { kind: 'repeated' } : { kind: 'conflict', error };
  }
}

/** Calls that wait for no output here are calls of the server's own tools: what a client says of them is not read. */
async function bringOutput(runtime: Runtime, part: AnsweredPart, { run, caller }: AnswerOptions): Promise<Outcome> {
  if (part.state === 'approval-responded') return { kind: 'none' };
  const { toolCallId, output, errorText } = part;
  const answer = part.state === 'output-error' ? { errorText: errorText ?? 'The tool failed.' } : { output };
  try {
    await runtime.addToolOutput(run.id, { toolCallId, by: caller.id, ...answer });
    return { kind: 'delivered' };
  } catch (error) {
    if (DurableError.is(error, 'hook_already_resumed')) return { kind: 'repeated' };
    if (DurableError.is(error, 'hook_not_found')) return { kind: 'none' };
    throw error;
  }
}

/** Where the stream says the first of these answers, or its tail if it has not said it yet. */
async function findAnswer(runtime: Runtime, { run, parts }: AnswerOptions, tail: number): Promise<number> {
  const approvals = new Set(parts.flatMap(({ approval }) => approval?.id ?? []));
  const calls = new Set(parts.map(({ toolCallId }) => toolCallId));
  for (let from = 0; from < tail;) {
    const page = await runtime.streams.page({ run: run.id, stream: DEFAULT_STREAM, from });
    if (page.chunks.length === 0) break;
    const found = page.chunks.findIndex((payload) => {
      const chunk = decodeChunk(payload) as UIMessageChunk;
      if (chunk.type === 'tool-approval-response') return approvals.has(chunk.approvalId);
      return (
        (chunk.type === 'tool-output-available' || chunk.type === 'tool-output-error') && calls.has(chunk.toolCallId)
      );
    });
    if (found >= 0) return from + found;
    from += page.chunks.length;
  }
  return tail;
}
