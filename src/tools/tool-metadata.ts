/** What a tool's `execute` can know of its own call. */

import { currentFrame } from '../runtime/context.ts';
import type { OperationMetadata, Scope } from '../runtime/context.ts';
import { DurableError } from '../runtime/errors.ts';

export interface ToolMetadata {
  toolCallId: string;
  /** The same for each attempt of this call, in whichever process: hand it to what the tool acts on. */
  idempotencyKey: string;
  /**
   * Who asked for it: the `by` that the agent's run was started with, whoever has approved the call. Null if nobody said so, and of agents that
   * a workflow calls.
   */
  requestedBy: string | null;
  /** From 1. More than 1: an earlier attempt failed, or its process died. */
  attempt: number;
  /** Store time at which this attempt started. */
  startedAt: number;
  /** Aborted by cancel, timeout, a lost lease and the runtime's close. */
  signal: AbortSignal;
}

/**
 * The metadata of the tool call that executes now; in a step inside a tool, the tool's. Throws `outside_run` where no tool of a
 * durable agent executes, which includes an agent called outside of a run.
 */
export function getToolMetadata(): ToolMetadata {
  const scope = currentFrame.getStore()?.scope;
  const metadata = callOf(scope ?? null);
  if (metadata?.toolCallId === undefined) {
    throw new DurableError(
      'outside_run',
      "Cannot call getToolMetadata() here: no tool of a durable agent's run executes. Call it in a tool's execute, and start the agent by runtime.start " +
        'or from a workflow.',
    );
  }
  const { toolCallId, idempotencyKey, attempt, startedAt, signal } = metadata;
  return { toolCallId, idempotencyKey, requestedBy: scope?.requestedBy ?? null, attempt, startedAt, signal };
}

/** The idempotency key of the tool call whose `execute` runs now, if it is the one with this id: steps inside have keys of their own. */
export function idempotencyKeyOf(toolCallId: string): string | undefined {
  let scope = currentFrame.getStore()?.scope ?? null;
  while (scope !== null && scope.metadata === undefined) scope = scope.parent;
  return scope?.metadata?.toolCallId === toolCallId ? scope.metadata.idempotencyKey : undefined;
}

function callOf(scope: Scope | null): OperationMetadata | undefined {
  for (let at = scope; at !== null; at = at.parent) if (at.metadata?.toolCallId !== undefined) return at.metadata;
  return undefined;
}
