/** Approvals of an agent's run: hook rows that a person answers, what stands in them, and what an answer carries. */

import { asSchema } from 'ai';
import type { ToolSet } from 'ai';
import { decodeValue, encodeValue } from '../../runtime/codec.ts';
import type { Payload } from '../../runtime/codec.ts';
import { sha256Hex } from '../../runtime/signature.ts';
import type { NewHook } from '../../runtime/store.ts';

/** What the row of an approval holds beyond its columns. */
export interface ApprovalDetails {
  id: string;
  /** `in-doubt`: the call was interrupted; may it run again? */
  question: 'execute' | 'in-doubt';
  tool: string;
  toolCallId: string;
  input: unknown;
  /** JSON Schema of the input, where the tool has one. */
  inputSchema: unknown;
  /** Why the policy asks, or what is known of an interrupted call. */
  reason: string | null;
  /** Model turns of the run so far. */
  turn: number;
  requestedAt: number;
  /** Who may answer; null: the application decides. */
  approvers: string[] | null;
}

/** What an answer carries to the run. */
export interface Decision {
  approved: boolean;
  by: string;
  reason?: string;
  /** The tool runs with this input in place of the model's. */
  input?: unknown;
  /** Of an approval in doubt: the effect happened, and this is the call's result. */
  result?: unknown;
}

/** How an approval is found by its id, which is its token: who may answer is the application's question. */
export function approvalTokenHash(id: string): string {
  return sha256Hex(id);
}

export function approvalHook(key: string, options: { details: ApprovalDetails; needed: number }): NewHook {
  const { details, needed } = options;
  return {
    tokenHash: approvalTokenHash(details.id),
    key,
    kind: 'approval',
    once: true,
    needed,
    tool: details.tool,
    details: encodeValue(details, `the approval of tool "${details.tool}"`),
  };
}

export function readApprovalDetails(payload: Payload): ApprovalDetails {
  return decodeValue(payload) as ApprovalDetails;
}

/** The tool's input as JSON Schema; null if the tool is unknown here or has none. */
export async function inputSchemaOf(tools: ToolSet, name: string): Promise<unknown> {
  const tool = Object.hasOwn(tools, name) ? tools[name] : undefined;
  if (tool === undefined) return null;
  return (await asSchema(tool.inputSchema).jsonSchema) ?? null;
}
