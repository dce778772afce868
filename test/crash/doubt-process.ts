/** `fork('doubt-process.ts', [json])`: an agent that pays back, and whose first attempt never ends. */
import { readFileSync } from 'node:fs';
import { tool } from 'ai';
import { ask, createRuntime, DurableAgent, getToolMetadata, step } from 'everturn';
import type { ToolMetadata } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { scriptedModel } from 'everturn/testing';
import { z } from 'zod';
import { tellWitness } from '../support/witness.ts';
import type { WitnessRecord } from '../support/witness.ts';

export interface DoubtOptions {
  file: string;
  witness: { url: string; file: string };
  run: string;
  /** Where the first attempt stops: before its effect, or after it. */
  stops: 'before' | 'after';
  /** Whether the tool looks at the witness for itself. */
  looks: boolean;
}

export type DoubtMessage = { kind: 'stopped' } | { kind: 'waiting' } | { kind: 'ended'; text: string };

const task = JSON.parse(process.argv[2] ?? '') as DoubtOptions;
const tell = (message: DoubtMessage): void => void process.send?.(message);

function stop(): Promise<never> {
  tell({ kind: 'stopped' });
  return new Promise(() => {});
}

async function payBack(euros: number, { idempotencyKey: key, attempt, toolCallId }: ToolMetadata): Promise<string> {
  if (attempt === 1 && task.stops === 'before') await stop();
  await tellWitness(task.witness.url, {
    key,
    attempt,
    tool: 'refund',
    toolCallId,
    pid: process.pid,
    time: Date.now(),
  });
  if (attempt === 1) await stop();
  return `paid ${euros}`;
}

function isPaid(idempotencyKey: string): boolean {
  const lines = readFileSync(task.witness.file, 'utf8').split('\n').filter(Boolean);
  return lines.some((line) => (JSON.parse(line) as WitnessRecord).key === idempotencyKey);
}

const support = new DurableAgent({
  model: scriptedModel(({ prompt, toolResults }) =>
    prompt.at(-1)?.role === 'tool'
      ? `Then: ${JSON.stringify(toolResults)}`
      : { toolCalls: [{ toolName: 'refund', input: { order: 7, euros: 40 } }] },
  ),
  tools: {
    refund: tool({
      inputSchema: z.object({ order: z.number(), euros: z.number() }),
      execute: async ({ euros }) => {
        const call = getToolMetadata();
        const paid = await step('pay', () => payBack(euros, call));
        const told = await ask({ prompt: 'Is the customer told?', options: ['yes', 'no'] });
        return `${paid}, told: ${told}`;
      },
    }),
  },
  durable: {
    tools: {
      refund: {
        onInDoubt: 'ask',
        describe: ({ order, euros }) => `refund of ${euros} EUR for order ${order}: did it happen?`,
        ...(task.looks
          ? {
              probe: (_: unknown, { idempotencyKey }: { idempotencyKey: string }) =>
                isPaid(idempotencyKey)
                  ? ({ happened: true, result: 'paid, says the bank' } as const)
                  : { happened: false },
            }
          : {}),
      },
    },
  },
});
const runtime = createRuntime({
  store: sqliteStore(task.file),
  agents: { support },
  logger: { debug() {}, info() {}, warn() {}, error() {} },
});
const run = await runtime.start(support, { id: task.run, prompt: 'Refund it.' });
const watching = setInterval(() => {
  void run.info().then(({ status }) => (status === 'waiting' ? tell({ kind: 'waiting' }) : undefined));
}, 20);
const { text } = await run.result();
clearInterval(watching);
tell({ kind: 'ended', text });
await runtime.close();
process.disconnect();
