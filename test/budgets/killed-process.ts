/**
 * `fork('killed-process.ts', [json])`: an agent under a budget, whose n-th model call here stops in mid-stream. Tells when what it has said is
 * stored, when a person is asked, and how the run ended.
 */
import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { createRuntime, DurableAgent } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { scriptedModel } from 'everturn/testing';
import { z } from 'zod';
import { PRICES } from './kit.ts';

export interface KilledOptions {
  file: string;
  run: string;
  /** From 1; 0: none stops. */
  stops: number;
}

export type KilledMessage = { kind: 'said' } | { kind: 'asked' } | { kind: 'ended'; text: string };

const { file, run: id, stops } = JSON.parse(process.argv[2] ?? '') as KilledOptions;
const tell = (message: KilledMessage): void => void process.send?.(message);
let calls = 0;

const agent = new DurableAgent({
  model: scriptedModel(
    ({ prompt }) => {
      calls += 1;
      if (calls === stops) return { text: 'Half of it.', hold: new Promise(() => undefined) };
      const turns = prompt.filter(({ role }) => role === 'assistant').length;
      return turns < 2 ? { toolCalls: [{ toolName: 'dig', input: {} }] } : 'All dug.';
    },
    { modelId: 'dear' },
  ),
  tools: { dig: tool({ inputSchema: z.object({}), execute: () => 'dug' }) },
  durable: { budget: { turns: 2 }, onApprovalRequested: () => tell({ kind: 'asked' }) },
});

const runtime = createRuntime({
  store: sqliteStore(file),
  agents: { agent },
  prices: PRICES,
  worker: { leaseMs: 500, pollMs: 50 },
});
const run = await runtime.start(agent, { id, prompt: 'dig' });
if (stops > 0) {
  for await (const chunk of run.stream<UIMessageChunk>()) if (chunk.type === 'text-delta') tell({ kind: 'said' });
}
const { text } = await run.result();
tell({ kind: 'ended', text });
await runtime.close();
process.disconnect();
