/** Approvals of an agent's run: hook rows that a person answers, what stands in them, and what an answer carries. */

import { asSchema } from 'ai';
import type { ToolSet } from 'ai';
import { decodeValue, encodeValue } from '../../runtime/codec.ts';
import type { Payload } from '../../runtime/codec.ts';
import { sha256Hex } from '../../runtime/signature.ts';
import type { NewHook } from '../../runtime/store.ts';
import type { BudgetQuestion } from '../budget-answer.ts';
import type { ApprovalOrigin } from './approval-origin.ts';

/** What the row of an approval holds beyond its columns. */
export interface ApprovalDetails {
  id: string;
  /** `in-doubt`: the call was interrupted; may it run again? `budget`: a budget is used up; how to go on? */
  question: 'execute' | 'in-doubt' | 'budget';
  tool: string;
  toolCallId: string;
  input: unknown;
  /** JSON Schema of the input, where the tool has one. */
  inputSchema: unknown;
  /** Of a call in doubt: JSON Schema of what the tool answers, where it has one. */
  outputSchema: unknown;
  /** Why the policy asks, or what is known of an interrupted call. */
  reason: string | null;
  /** Model turns of the run so far. */
  turn: number;
  requestedAt: number;
  /** Who may answer; null: the application, or a function of it, decides. */
  approvers: string[] | null;
  /** The question in words. */
  prompt: string | null;
  /** Who started the run; null if that is not known. */
  requestedBy: string | null;
  /** Until when it can be answered; those whom it is escalated to have longer. */
  expiresAt: number | null;
  /** What else is asked of whoever answers. */
  rules: ApprovalRules;
  /** Of a budget: what is used up, and what can be chosen. */
  budget?: BudgetQuestion;
  /** Of an agent below another one; null: it is asked by the agent of a run that nobody started as a child. */
  origin: ApprovalOrigin | null;
}

export interface ApprovalRules {
  /** The agent's `approvers` is a function. */
  asksApprovers: boolean;
  /** Counts for whoever started the run, and for those who have spoken to it since. */
  requesterMayAnswer: boolean;
  senders: string[];
  /** Who may answer besides once it is escalated. Null: it is not; `function`: the agent's `escalateTo` decides. */
  escalateTo: string[] | 'function' | null;
  /** Of a budget: the functions are those of the runtime, not of the agent. */
  asksRuntime?: boolean;
}

/** An approval as the application's functions see it. */
export interface RequestedApproval extends Omit<ApprovalDetails, 'inputSchema' | 'outputSchema' | 'rules' | 'origin'> {
  /** The run whose call it is. */
  run: string;
  /** The run at the top: the one that nobody started as a child; `run` itself, if it is none. */
  root: string;
  /** From the run at the top over the agents below it to the tool: `["support", "research", "shell"]`. */
  path: string[];
  /** The agent's name; of one that a tool or a workflow calls, its id. */
  agent: string;
  /** That of the run at the top. */
  thread: string | null;
  tenant: string | null;
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

/** Rows of before there were rules have none. */
const NO_RULES: ApprovalRules = { asksApprovers: false, requesterMayAnswer: true, senders: [], escalateTo: null };

export function readApprovalDetails(payload: Payload): ApprovalDetails {
  const details = decodeValue(payload) as ApprovalDetails;
  return { ...UNASKED, ...details };
}

/** What approvals have that nobody limited. */
export const UNASKED: Pick<
  ApprovalDetails,
  'outputSchema' | 'prompt' | 'requestedBy' | 'expiresAt' | 'rules' | 'origin'
> = {
  outputSchema: null,
  prompt: null,
  requestedBy: null,
  expiresAt: null,
  rules: NO_RULES,
  origin: null,
};

/** What is told to the model, and shown, of a call that nobody decided about in time. */
export const APPROVAL_EXPIRED =
  'This tool call was not executed: its approval was not given in time, and the request for it has expired. Nobody refused it.';

/** What a tool takes or answers as JSON Schema; null if the tool is unknown here or has none. */
export async function schemaOf(
  tools: ToolSet,
  { tool: name, of }: { tool: string; of: 'inputSchema' | 'outputSchema' },
): Promise<unknown> {
  const schema = Object.hasOwn(tools, name) ? tools[name]?.[of] : undefined;
  return schema === undefined ? null : ((await asSchema<unknown>(schema).jsonSchema) ?? null);
}
