/** Approvals of an agent's run: hook rows that a person answers, what stands in them, and what an answer carries. */

import { asSchema } from 'ai';
import type { ToolSet } from 'ai';
import { decodeValue, encodeValue } from '../../runtime/codec.ts';
import type { Payload } from '../../runtime/codec.ts';
import { DurableError } from '../../runtime/errors.ts';
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

/**
 * Checks an edited input against its tool's schema; answers the value that the schema makes of it. A tool that is not known here
 * is not checked. Throws `payload_invalid`, which names the field.
 */
export async function checkEditedInput(
  tools: ToolSet,
  { tool: name, input }: { tool: string; input: unknown },
): Promise<unknown> {
  const tool = Object.hasOwn(tools, name) ? tools[name] : undefined;
  const checked = tool === undefined ? undefined : await asSchema<unknown>(tool.inputSchema).validate?.(input);
  if (checked === undefined) return input;
  if (checked.success) return checked.value;
  const issues = issuesOf(checked.error);
  const first = issues[0];
  throw new DurableError(
    'payload_invalid',
    `Cannot approve the call of "${name}" with this input: ${first === undefined ? checked.error.message : `${first.path}: ${first.message}`}. ` +
      'Send an input that fits the schema of the tool.',
    { cause: checked.error, details: { tool: name, issues } },
  );
}

interface Issue {
  path: string;
  message: string;
}

/** Issues of Standard Schema libraries and of zod have the same form: a path and a message. */
function issuesOf(error: unknown): Issue[] {
  const holder = [error, (error as { cause?: unknown }).cause].find(
    (each): each is { issues: unknown[] } =>
      typeof each === 'object' && each !== null && 'issues' in each && Array.isArray(each.issues),
  );
  return (holder?.issues ?? []).map((issue) => {
    const { path, message } = issue as { path?: unknown; message?: unknown };
    return { path: pathOf(path), message: String(message) };
  });
}

function pathOf(path: unknown): string {
  if (!Array.isArray(path) || path.length === 0) return '(root)';
  return path
    .map((segment: unknown) =>
      String(typeof segment === 'object' && segment !== null && 'key' in segment ? segment.key : segment),
    )
    .join('.');
}
