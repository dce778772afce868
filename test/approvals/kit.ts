/** An agent with a tool that needs a person, and what came of its calls. */

import { tool } from 'ai';
import { DurableAgent } from 'everturn';
import type { DurableSettings, RunHandle } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime, TestRuntimeOptions } from 'everturn/testing';
import type { UIMessageChunk } from 'ai';
import { onTestFinished } from 'vitest';
import { z } from 'zod';

export const HOUR = 60 * 60_000;
export const DAY = 24 * HOUR;

const inputSchema = z.object({ order: z.number(), euros: z.number() });
type Input = z.infer<typeof inputSchema>;

export type RefundSettings = NonNullable<DurableSettings<'refund', { refund: Input }>['approvals']>['refund'];

export interface Desk {
  agent: DurableAgent<never, { refund: ReturnType<typeof refundTool> }>;
  runtime: TestRuntime;
  /** Inputs that the tool ran with. */
  refunds: Input[];
  /** What the model was asked, one text for each call. */
  prompts: string[];
}

export interface DeskOptions extends TestRuntimeOptions {
  approval?: NonNullable<RefundSettings>;
  onApprovalRequested?: DurableSettings['onApprovalRequested'];
  input?: Input;
  /** What the tool does besides. */
  onRefund?: () => void;
}

function refundTool(refunds: Input[], onRefund?: () => void) {
  return tool({
    inputSchema,
    needsApproval: true,
    execute: (input: Input) => {
      refunds.push(input);
      onRefund?.();
      return `refunded ${input.euros} EUR`;
    },
  });
}

/** The model asks for one refund per user message, and answers what came of it. */
export function createAgent(
  kept: Pick<Desk, 'refunds' | 'prompts'>,
  { approval, onApprovalRequested, onRefund, input = { order: 7, euros: 40 } }: DeskOptions = {},
): Desk['agent'] {
  return new DurableAgent({
    model: scriptedModel(({ prompt }) => {
      kept.prompts.push(JSON.stringify(prompt));
      return prompt.at(-1)?.role === 'user' ? { toolCalls: [{ toolName: 'refund', input }] } : 'That is all.';
    }),
    tools: { refund: refundTool(kept.refunds, onRefund) },
    durable: {
      ...(approval === undefined ? {} : { approvals: { refund: approval } }),
      ...(onApprovalRequested === undefined ? {} : { onApprovalRequested }),
    },
  });
}

export function openDesk(options: DeskOptions = {}): Desk {
  const kept = { refunds: [], prompts: [] };
  const { approval: _, onApprovalRequested: __, input: ___, onRefund: ____, ...runtimeOptions } = options;
  const agent = createAgent(kept, options);
  const runtime = createTestRuntime({ agents: { support: agent }, ...runtimeOptions });
  onTestFinished(() => runtime.close());
  return { agent, runtime, ...kept };
}

export async function chunksOf(run: RunHandle): Promise<UIMessageChunk[]> {
  const chunks: UIMessageChunk[] = [];
  for await (const chunk of run.stream<UIMessageChunk>()) chunks.push(chunk);
  return chunks;
}
