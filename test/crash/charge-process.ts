/** `fork('charge-process.ts', [json])`: an agent that charges a card and, beside it, does something that takes six seconds. */
import { setTimeout as delay } from 'node:timers/promises';
import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import { createRuntime, DurableAgent, getToolMetadata } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { z } from 'zod';
import { tellWitness } from '../support/witness.ts';

export interface ChargeOptions {
  file: string;
  modelUrl: string;
  witnessUrl: string;
  /** From this attempt on the slow tool is fast. */
  fastFrom: number;
}

/** `processAt`: when this process began; `at`: when its code was loaded. Milliseconds since the epoch. */
export type ChargeMessage =
  | { kind: 'started'; processAt: number; at: number }
  | { kind: 'charged' }
  | { kind: 'ended'; text: string };

const { file, modelUrl, witnessUrl, fastFrom } = JSON.parse(process.argv[2] ?? '') as ChargeOptions;
const SLOW_MS = 6_000;

const tell = (message: ChargeMessage): void => void process.send?.(message);
tell({ kind: 'started', processAt: performance.timeOrigin, at: Date.now() });

async function act(name: string): Promise<number> {
  const { idempotencyKey: key, attempt, toolCallId } = getToolMetadata();
  await tellWitness(witnessUrl, { key, attempt, tool: name, toolCallId, pid: process.pid, time: Date.now() });
  return attempt;
}

const agent = new DurableAgent({
  model: createOpenAI({ baseURL: modelUrl, apiKey: 'local' })('gpt-5-mini'),
  tools: {
    charge: tool({
      description: 'Charges the card',
      inputSchema: z.object({ amount: z.number() }),
      execute: async ({ amount }) => {
        await act('charge');
        return `Charged ${amount}.`;
      },
    }),
    pack: tool({
      description: 'Packs the goods',
      inputSchema: z.object({}),
      execute: async () => {
        const attempt = await act('pack');
        if (attempt < fastFrom) await delay(SLOW_MS);
        return 'Packed.';
      },
    }),
  },
});
const runtime = createRuntime({
  store: sqliteStore(file),
  agents: { shop: agent },
  logger: { debug() {}, info() {}, warn() {}, error() {} },
});
const run = await runtime.start(agent, { id: 'order', prompt: 'Sell it.' });
await Promise.all([tellWhenCharged(), run.result()]);
const { text } = await run.result();
tell({ kind: 'ended', text });
await runtime.close();
process.disconnect();

async function tellWhenCharged(): Promise<void> {
  for (;;) {
    const events = await run.events();
    if (events.some(({ type, meta }) => type === 'tool_completed' && meta?.['tool'] === 'charge'))
      return tell({ kind: 'charged' });
    await delay(5);
  }
}
