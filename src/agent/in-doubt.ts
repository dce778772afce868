/** Tools that were interrupted between their start record and their completion: did the effect happen? */

import { DurableError } from '../runtime/errors.ts';

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
export type InDoubtAnswer = { kind: 'again' } | { kind: 'happened'; result: unknown } | { kind: 'fail'; reason?: string };

/** Durable: answers the same on replay. */
export type InDoubtAsk = (tool: InDoubtTool) => Promise<InDoubtAnswer>;

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
