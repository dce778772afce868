/** What a segment that ended adds to the run: messages, open calls, usage. */

import type { FinishReason, LanguageModelUsage, ModelMessage, ToolSet, TypedToolCall } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import type { NewHook } from '../../runtime/store.ts';
import { encodeValue } from '../../runtime/codec.ts';
import { sha256Hex } from '../../runtime/signature.ts';
import { approvalHook, schemaOf } from '../tool/approval.ts';
import type { ApprovalDetails } from '../tool/approval.ts';
import { descentOf } from '../tool/approval-origin.ts';
import { keyPart } from '../../runtime/key-part.ts';
import type { Pending, PendingApproval, PendingClientTool } from './agent-state.ts';
import type { DurableApprovalSettings } from '../approval-settings.ts';
import { termsOf } from '../tool/approval-terms.ts';
import { STOPPED_BY_BUDGET } from '../turn/stopped-turn.ts';
import { interruptedResult } from '../history/valid-history.ts';
import type { AgentCallEnd, PreparedCall } from '../call/agent-call.ts';
import type { EndedCall } from './segment.ts';

export interface SegmentOutcome {
  messages: ModelMessage[];
  pending: Pending[];
  usage: LanguageModelUsage;
  turns: number;
  finishReason: FinishReason;
  text: string;
  output?: { value: unknown };
}

type Step = AgentCallEnd['steps'][number];
type Call = TypedToolCall<ToolSet>;

interface Origin {
  /** The agent has an `output` specification. */
  hasOutput: boolean;
  prepared: PreparedCall;
  context: RunContext;
  /** The segment's path. */
  path: string;
  /** Turns of the run before the segment. */
  turns: number;
  /** Who started the run. */
  requestedBy: string | null;
  /** Who has spoken to it since. */
  senders: string[];
}

export async function readOutcome({ result, end }: EndedCall, options: Origin): Promise<SegmentOutcome> {
  const told = end() ?? (await readEnd(result));
  const { steps, finishReason } = told;
  const last = steps.at(-1);
  const isStopped = last?.rawFinishReason === STOPPED_BY_BUDGET;
  const turns = isStopped ? steps.length - 1 : steps.length;
  const pending =
    last === undefined
      ? []
      : [
          ...(await pendingApprovals(last, { ...options, turns: options.turns + steps.length })),
          ...pendingClientTools(last, options),
        ];
  const ended = pending.length === 0 && finishReason !== 'error' && !isStopped;
  return {
    messages: [...messagesOf(told), ...lostAnswers(last, pending)],
    pending,
    usage: told.totalUsage,
    turns,
    finishReason,
    text: steps[turns - 1]?.text ?? '',
    ...(options.hasOutput && ended ? { output: { value: await result.output } } : {}),
  };
}

async function readEnd(result: EndedCall['result']): Promise<AgentCallEnd> {
  const [steps, totalUsage, finishReason, responseMessages] = await Promise.all([
    result.steps,
    result.totalUsage,
    result.finishReason,
    result.responseMessages,
  ]);
  return { steps, totalUsage, finishReason, responseMessages };
}

/** Responses in order, each turn after the messages that were steered in before it. */
function messagesOf({ steps, responseMessages: all }: AgentCallEnd): ModelMessage[] {
  const ofSteps = steps.flatMap((step) => step.response.messages).length;
  const beforeFirstTurn = all.slice(0, all.length - ofSteps);
  return [
    ...beforeFirstTurn,
    ...steps.flatMap((step): ModelMessage[] => [
      ...(step.experimental_steeringMessages ?? []),
      ...step.response.messages,
    ]),
  ];
}

function pendingApprovals(step: Step, origin: Origin): Promise<PendingApproval[]> {
  const requests = step.content.flatMap((part) =>
    part.type !== 'tool-approval-request' || part.isAutomatic === true ? [] : [part],
  );
  return Promise.all(requests.map((request) => toPending(request, origin)));
}

type Request = Extract<Step['content'][number], { type: 'tool-approval-request' }>;

async function toPending({ toolCall, approvalId, reason }: Request, origin: Origin): Promise<PendingApproval> {
  const { context, prepared } = origin;
  const { toolCallId, toolName: tool, input } = toolCall;
  const { requestedBy, senders } = origin;
  const descent = await descentOf(context, { key: '', tool, own: { requestedBy, senders } });
  return {
    kind: 'approval',
    key: `${origin.path}/approval:${approvalId}`,
    tokenHash: sha256Hex(approvalId),
    approvalId,
    toolCallId,
    tool,
    input,
    providerExecuted: toolCall.providerExecuted === true,
    reason: reason ?? null,
    terms: await termsOf(policyOf(prepared, tool), {
      tool,
      input,
      turn: origin.turns,
      now: context.now(),
      ...descent,
      logger: context.logger,
      isTold: prepared.durable.onApprovalRequested !== undefined,
    }),
    ...(descent.origin === null ? {} : { inputSchema: await schemaOf(prepared.tools, { tool, of: 'inputSchema' }) }),
  };
}

/** Calls of tools without `execute`: a client answers them. */
function pendingClientTools(step: Step, { prepared: { tools }, context, path }: Origin): PendingClientTool[] {
  return openCalls(step)
    .filter((call) => isClientTool(tools, call.toolName))
    .map((call) => {
      const key = `${path}/client-tool:${keyPart(call.toolCallId)}`;
      const tokenHash = sha256Hex(context.sign(`client-tool\n${context.run.id}\n${key}`));
      return {
        kind: 'client-tool',
        key,
        tokenHash,
        toolCallId: call.toolCallId,
        tool: call.toolName,
        input: call.input,
      };
    });
}

function isClientTool(tools: ToolSet, name: string): boolean {
  return Object.hasOwn(tools, name) && tools[name]?.execute === undefined;
}

/** Calls that have neither a result nor a request for an approval. */
function openCalls(step: Step): Call[] {
  const settled = new Set<string>();
  for (const part of step.content) {
    if (part.type === 'tool-result' || part.type === 'tool-error') settled.add(part.toolCallId);
    else if (part.type === 'tool-approval-request') settled.add(part.toolCall.toolCallId);
  }
  return step.toolCalls.filter(
    (call) => call.providerExecuted !== true && call.invalid !== true && !settled.has(call.toolCallId),
  );
}

/** Calls that nobody will answer (a length limit cut the response off) get a result, so that the conversation can go on. */
function lostAnswers(last: Step | undefined, pending: readonly Pending[]): ModelMessage[] {
  if (last === undefined) return [];
  const waiting = new Set(pending.map((call) => call.toolCallId));
  const lost = openCalls(last).filter((call) => !waiting.has(call.toolCallId));
  return lost.length === 0 ? [] : [{ role: 'tool', content: lost.map(interruptedResult) }];
}

/** The rows that let people and clients answer. */
export async function hooksOf(pending: readonly Pending[], tools: ToolSet): Promise<NewHook[]> {
  return Promise.all(
    pending.map(async (call) => (call.kind === 'approval' ? toApprovalHook(call, tools) : toClientToolHook(call))),
  );
}

async function toApprovalHook(call: PendingApproval, tools: ToolSet): Promise<NewHook> {
  const { requestedAt, requestedBy, prompt, expiresAt, turn, approvers, rules, origin, needed } = call.terms;
  const details: ApprovalDetails = {
    id: call.approvalId,
    question: 'execute',
    tool: call.tool,
    toolCallId: call.toolCallId,
    input: call.input,
    inputSchema: await schemaOf(tools, { tool: call.tool, of: 'inputSchema' }),
    outputSchema: null,
    reason: call.reason,
    prompt,
    turn,
    requestedAt,
    requestedBy,
    expiresAt,
    approvers,
    rules,
    origin,
  };
  return approvalHook(call.key, { details, needed });
}

function policyOf({ durable: { approvals = {} } }: PreparedCall, tool: string): DurableApprovalSettings {
  return (Object.hasOwn(approvals, tool) ? approvals[tool] : undefined) ?? {};
}

/** What the row of a client-side tool's call holds beyond its columns. */
export interface ClientToolDetails {
  question: 'client-tool';
  tool: string;
  toolCallId: string;
  input: unknown;
}

function toClientToolHook({ key, tokenHash, tool, toolCallId, input }: PendingClientTool): NewHook {
  const details: ClientToolDetails = { question: 'client-tool', tool, toolCallId, input };
  return {
    tokenHash,
    key,
    kind: 'hook',
    once: true,
    needed: 1,
    tool,
    details: encodeValue(details, `the call of the tool "${tool}"`),
  };
}
