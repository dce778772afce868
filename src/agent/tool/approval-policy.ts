/** Approval decisions: made once per tool call, recorded, and the same on replay. */

import type { Tool, ToolApprovalStatus } from 'ai';
import { draftEvent } from '../../runtime/event.ts';
import type { CallState } from '../call/call-state.ts';
import { asksPerson } from './inner-approval.ts';

type NeedsApproval = Extract<NonNullable<Tool['needsApproval']>, (...args: never[]) => unknown>;
type AnyPolicy = (...args: unknown[]) => unknown;

/** `toolApproval` with its functions memoized; fixed statuses stay as they are. */
export function memoizedApproval(approval: unknown, call: CallState): unknown {
  if (typeof approval === 'function') {
    const decide = approval as AnyPolicy;
    return (options: { toolCall: { toolCallId: string; toolName: string; input: unknown } }) => {
      const { toolCallId, toolName, input } = options.toolCall;
      return memoized(call, toolCallId, async () =>
        unlessRemembered(await decide(options), call.remembers(toolName, input)),
      ).then((status) => toldToLoop(status, { name: toolName, call }));
    };
  }
  if (typeof approval !== 'object' || approval === null) return approval;
  return Object.fromEntries(
    Object.entries(approval as Record<string, unknown>).map(([name, status]) => [
      name,
      isDecidedAnew(status, { name, call }) ? single(status, { name, call }) : status,
    ]),
  );
}

function single(status: unknown, { name, call }: { name: string; call: CallState }): AnyPolicy {
  return (input, options) =>
    memoized(call, (options as { toolCallId: string }).toolCallId, async () => {
      const decided = typeof status === 'function' ? await (status as AnyPolicy)(input, options) : status;
      return unlessRemembered(decided, call.remembers(name, input));
    }).then((decided) => toldToLoop(decided, { name, call }));
}

function isDecidedAnew(status: unknown, { name, call }: { name: string; call: CallState }): boolean {
  return typeof status === 'function' || call.isAskedOnce(name) || (call.keepsFailures && asksPerson(status));
}

/** A call that waits where it runs needs nobody for the loop to go on (inner-approval I1). */
function toldToLoop(status: unknown, { name, call }: { name: string; call: CallState }): unknown {
  return asksPerson(status) && call.waitsInPlace(name) ? 'not-applicable' : status;
}

/** The `needsApproval` of a tool, as a function; undefined where it is fixed and stays as it is. */
export function memoizedNeedsApproval(
  needsApproval: Tool['needsApproval'],
  { name, call }: { name: string; call: CallState },
): NeedsApproval | undefined {
  const isDecided = typeof needsApproval !== 'function' && !call.isAskedOnce(name) && !call.keepsFailures;
  if (isDecided || needsApproval === undefined || needsApproval === false) return undefined;
  return ((input, options) =>
    memoized(call, options.toolCallId, async () => {
      const needs = typeof needsApproval === 'function' ? await needsApproval(input, options) : needsApproval;
      return needs && !call.remembers(name, input);
    }).then((needs) => needs === true && !call.waitsInPlace(name))) as NeedsApproval;
}

const REMEMBERED = { type: 'approved', reason: 'An equal call was approved before in this conversation.' };

function unlessRemembered(status: unknown, isRemembered: boolean): unknown {
  const type = typeof status === 'object' && status !== null && 'type' in status ? status.type : status;
  return type === 'user-approval' && isRemembered ? REMEMBERED : status;
}

/**
 * The recorded decision, or a new one. It is recorded with its turn while the turn's commit is still to be made; awaiting that commit
 * here would stop the stream that leads to it. Later decisions are committed before they take effect.
 */
async function memoized(call: CallState, toolCallId: string, decide: () => unknown): Promise<unknown> {
  const key = call.toolKey(toolCallId, 'policy');
  const recorded = call.context.facts(key).find((fact) => fact.type === 'policy_decided');
  if (recorded !== undefined) return recorded.value;
  const decision = await call.within(scopeName(call, key), decide);
  const header = {
    type: 'policy_decided',
    key,
    at: call.context.now(),
    meta: { decision: describe(decision) },
  } as const;
  const fact = draftEvent(header, { value: decision, what: `the approval decision of "${key}"` });
  if (call.turn !== undefined && !call.turn.sealed) call.turn.facts.push(fact);
  // crash here: the decision is made again, and nothing has come of it
  else await call.inFrame(() => call.context.append({ facts: [fact] }));
  return decision;
}

/** Beside the turn: what a policy records stands before its turn's commit, and does not go with an attempt that failed. */
function scopeName(call: CallState, key: string): string {
  return `policy:${key.slice(call.path.length + 1).replaceAll('/', ':')}`;
}

function describe(decision: unknown): string {
  if (typeof decision === 'boolean') return decision ? 'user-approval' : 'not-applicable';
  const status = decision as ToolApprovalStatus;
  return typeof status === 'object' ? status.type : (status ?? 'not-applicable');
}
