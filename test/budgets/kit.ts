/** An agent that works as long as it is let: each turn asks for tools, the last one answers. */

import { tool } from 'ai';
import type { LanguageModel } from 'ai';
import { DurableAgent } from 'everturn';
import type { DurableSettings, Prices } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime, TestRuntimeOptions } from 'everturn/testing';
import { onTestFinished } from 'vitest';
import { z } from 'zod';

/** What each turn of the scripted models uses. */
export const TURN = { inputTokens: 100, outputTokens: 10, tokens: 110 };
/** A turn of "dear" costs 0.002 dollars, one of "cheap" a tenth. */
export const PRICES: Prices = {
  dear: { inputPerMillion: 10, outputPerMillion: 100 },
  cheap: { inputPerMillion: 1, outputPerMillion: 10 },
};
export const DEAR = 0.002;

export interface Worker {
  agent: DurableAgent<never, { dig: ReturnType<typeof digTool> }>;
  /** Ids of models, one per attempt that reached one. */
  asked: string[];
  /** What the tool was called with, oldest first. */
  dug: number[];
}

export interface WorkerOptions {
  id?: string;
  /** How many tools each turn asks for; after them a turn that answers. */
  turns: number[];
  durable: DurableSettings<'dig'>;
  modelId?: string;
  dig?: (n: number) => unknown;
  needsApproval?: boolean;
}

function digTool(dig: (n: number) => unknown, needsApproval = false) {
  return tool({
    inputSchema: z.object({ n: z.number() }),
    needsApproval,
    execute: async ({ n }) => (await dig(n)) ?? `dug ${n}`,
  });
}

const USAGE = { inputTokens: TURN.inputTokens, outputTokens: TURN.outputTokens };

export function createWorker({
  id,
  turns,
  durable,
  modelId = 'dear',
  dig = () => undefined,
  needsApproval,
}: WorkerOptions): Worker {
  const asked: string[] = [];
  const dug: number[] = [];
  return {
    agent: new DurableAgent({
      ...(id === undefined ? {} : { id }),
      model: scripted(turns, { modelId, asked }),
      tools: {
        dig: digTool((n) => {
          dug.push(n);
          return dig(n);
        }, needsApproval),
      },
      durable,
    }),
    asked,
    dug,
  };
}

/** The n-th answer of a conversation asks for so many tools as the list says. */
export function scripted(turns: number[], { modelId, asked }: { modelId: string; asked: string[] }): LanguageModel {
  return scriptedModel(
    ({ prompt }) => {
      asked.push(modelId);
      const user = prompt.findLastIndex(({ role }) => role === 'user');
      const n = prompt.slice(user).filter(({ role }) => role === 'assistant').length;
      const calls = turns[n] ?? 0;
      const first = turns.slice(0, n).reduce((sum, each) => sum + each, 0);
      const toolCalls = Array.from({ length: calls }, (_, i) => ({ toolName: 'dig', input: { n: first + i } }));
      return calls === 0 ? { text: 'All dug.', usage: USAGE } : { toolCalls, usage: USAGE };
    },
    { modelId },
  );
}

export function start(worker: Worker, options: TestRuntimeOptions = {}): TestRuntime {
  const runtime = createTestRuntime({
    agents: { worker: worker.agent },
    prices: PRICES,
    patienceMs: 15_000,
    ...options,
  });
  onTestFinished(() => runtime.close());
  return runtime;
}
