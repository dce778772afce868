/** Runs against servers that are as strict about a history as OpenAI and Anthropic. */
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import type { LanguageModel } from 'ai';
import { expect } from 'vitest';
import { z } from 'zod';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer, ModelServerOptions } from '../../examples/model-server/server.ts';
import type { AgentInput } from '../../src/agent/agent-input.ts';
import type { CallableAgent } from '../../src/agent/call/agent-call.ts';
import type { AgentResult } from '../../src/agent/run/agent-state.ts';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import type { RunHandle } from '../../src/app/run-handle.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import type { Registrable } from '../../src/runtime/registrable.ts';
import type { Store } from '../../src/runtime/store.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { startAnthropicServer } from '../support/anthropic-server.ts';
import { startRuntime, until } from './run-kit.ts';

const scenarios: ModelServerOptions['scenarios'] = [
  // First: the server of Anthropic's kind gets messages that nothing stands between as one.
  { name: 'after', matches: /and now/, replies: [{ text: 'Here I am.' }] },
  {
    name: 'work',
    matches: /work/,
    replies: [
      {
        text: 'I look at it and then I pay.',
        reasoning: 'Two tools.',
        toolCalls: [
          { name: 'look', arguments: {} },
          { name: 'pay', arguments: { amount: 5 } },
        ],
      },
      { text: 'One more look.', reasoning: 'To be sure.', toolCalls: [{ name: 'look', arguments: {} }] },
      { text: 'All of it is done now.' },
    ],
  },
];

/** Time-outs of the agent. */
export interface Limits {
  toolMs?: number;
  wholeMs?: number;
}

export interface Provider {
  name: string;
  start: (options: { pacingMs: number }) => Promise<ModelServer>;
  model: (baseURL: string) => LanguageModel;
}

export const providers: Provider[] = [
  {
    name: 'OpenAI',
    start: (options) => startModelServer({ ...options, scenarios }),
    model: (baseURL) => createOpenAI({ baseURL, apiKey: 'local' })('gpt-5'),
  },
  {
    name: 'Anthropic',
    start: (options) => startAnthropicServer({ ...options, scenarios }),
    model: (baseURL) => createAnthropic({ baseURL, apiKey: 'local' })('claude-sonnet-4-5'),
  },
];

export interface Process {
  agent: Registrable<AgentInput<never>, AgentResult> & CallableAgent;
  runtime: Runtime;
  store: Store;
}

export interface ProcessOptions {
  store?: Store;
  /** What the tool `look` does. */
  look?: () => unknown;
  limits?: Limits;
}

/** An agent whose tool `pay` needs an approval. */
export function startWorker(
  model: LanguageModel,
  { store = memoryStore(), look = () => 'seen', limits = {} }: ProcessOptions = {},
): Process {
  const tools = {
    look: tool({ description: 'look', inputSchema: z.object({}), execute: async () => look() }),
    pay: tool({ description: 'pay', inputSchema: z.object({ amount: z.number() }), execute: () => 'paid' }),
  };
  const agent = new DurableAgent({
    model,
    tools,
    toolApproval: { pay: 'user-approval' },
    ...(limits.wholeMs === undefined ? {} : { timeout: { totalMs: limits.wholeMs } }),
    ...(limits.toolMs === undefined ? {} : { durable: { tools: { look: { timeout: limits.toolMs } } } }),
  });
  const runtime = startRuntime({
    store,
    agents: { worker: agent },
    worker: { leaseMs: 500, pollMs: 20, storeTimeoutMs: 400 },
  });
  return { agent, runtime, store };
}

export function begin({ agent, runtime }: Process): Promise<RunHandle<AgentResult>> {
  return runtime.start(agent, { prompt: 'work', thread: 't' });
}

/** The next message: it is answered. */
export async function goOn({ agent, runtime }: Process, whenBusy?: 'interrupt'): Promise<AgentResult> {
  const busy = whenBusy === undefined ? {} : { whenBusy };
  const run = await runtime.start(agent, { prompt: 'and now?', thread: 't', ...busy });
  const result = await run.result();
  expect(result.text).toContain('Here');
  return result;
}

export async function chunksSeen(runtime: Runtime, run: string, count: number): Promise<void> {
  let seen = 0;
  for await (const _ of runtime.getRun(run).stream()) if ((seen += 1) >= count) return;
}

/** A run that was stopped has no result. */
export async function settled(run: RunHandle<AgentResult>): Promise<void> {
  await run.result().catch((error: unknown) => expect(error).toMatchObject({ code: 'cancelled' }));
}

export function approvalOf(runtime: Runtime) {
  return until(async () => (await runtime.approvals.list()).items[0]);
}

/** Says yes to what the run asks, until it has ended. */
export async function approveAll({ runtime }: Process, id: string): Promise<void> {
  const run = runtime.getRun(id);
  await until(async () => {
    if (['completed', 'failed', 'cancelled'].includes(await run.status)) return true;
    const [approval] = (await runtime.approvals.list()).items;
    // It may have been withdrawn in the meantime.
    if (approval !== undefined)
      await runtime.approvals
        .approve(approval.id, { by: 'a' })
        .catch((error: unknown) => expect(error).toMatchObject({ code: expect.stringMatching(/^approval_|^hook_/) }));
    return false;
  });
}
