/** `fork('poison-process.ts', [json])`: healthy runs beside one whose tool kills the process. Ends when all but that one have ended. */
import { setTimeout as delay } from 'node:timers/promises';
import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import { createRuntime, DurableAgent, DurableError, getToolMetadata, step, workflow } from 'everturn';
import type { LogFields, Logger } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { z } from 'zod';
import { tellWitness } from '../support/witness.ts';

export interface PoisonOptions {
  file: string;
  modelUrl: string;
  witnessUrl: string;
  healthy: number;
  /** Resume the parked run once; its tool is harmless now. */
  cured: boolean;
}

export interface PoisonMessage {
  healthy: unknown[];
  poisoned:
    | { status: 'completed'; text: string }
    | { status: 'parked'; message: string; parked: unknown; logged: LogFields[] };
}

const { file, modelUrl, witnessUrl, healthy, cured } = JSON.parse(process.argv[2] ?? '') as PoisonOptions;
const errors: LogFields[] = [];
const logger: Logger = { debug() {}, info() {}, warn() {}, error: (fields) => void errors.push(fields) };

const model = createOpenAI({ baseURL: modelUrl, apiKey: 'local' })('gpt-5-mini');
const helper = new DurableAgent({
  model,
  tools: {
    look: tool({
      description: 'Looks',
      inputSchema: z.object({}),
      execute: async () => (await delay(20), 'All is well.'),
    }),
  },
});
const bomber = new DurableAgent({
  model,
  tools: {
    explode: tool({
      description: 'Explodes',
      inputSchema: z.object({}),
      execute: async () => {
        const { idempotencyKey: key, attempt, toolCallId } = getToolMetadata();
        await tellWitness(witnessUrl, {
          key,
          attempt,
          tool: 'explode',
          toolCallId,
          pid: process.pid,
          time: Date.now(),
        });
        if (cured) return 'It did not go off.';
        process.kill(process.pid, 'SIGKILL');
        return delay(60_000, 'never');
      },
    }),
  },
});
const chores = workflow('chores', async (n: number) => {
  let sum = 0;
  for (let i = 1; i <= 3; i += 1) sum += await step(`part-${i}`, async () => (await delay(20), i * n));
  return sum;
});

const runtime = createRuntime({ store: sqliteStore(file), agents: { helper, bomber }, workflows: [chores], logger });
const poisoned = await runtime.start(bomber, { id: 'poisoned', prompt: 'Let it explode.' });
if (cured) await runtime.resume('poisoned');
const runs = await Promise.all(
  Array.from({ length: healthy }, (_, n) =>
    n % 2 === 0
      ? runtime.start(chores, { id: `healthy-${n}`, input: n })
      : runtime.start(helper, { id: `healthy-${n}`, prompt: `Have a look, ${n}.` }),
  ),
);
const results = await Promise.all(runs.map((run) => run.result()));
const message: PoisonMessage = {
  healthy: results.map((result) => (typeof result === 'number' ? result : (result as { text: string }).text)),
  poisoned: await end(),
};
process.send?.(message);
await runtime.close();
process.disconnect();

async function end(): Promise<PoisonMessage['poisoned']> {
  try {
    return { status: 'completed', text: (await poisoned.result()).text };
  } catch (error) {
    if (!DurableError.is(error, 'run_parked')) throw error;
    return { status: 'parked', message: error.message, parked: error.details['parked'], logged: errors };
  }
}
