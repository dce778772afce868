/** Long agents: many turns, each with a text of some hundred milliseconds and a tool. */
import { createOpenAI } from '@ai-sdk/openai';
import { stepCountIs, tool } from 'ai';
import { DurableAgent, getToolMetadata } from 'everturn';
import type { RuntimeOptions } from 'everturn';
import { z } from 'zod';
import type { Scenario } from '../../../examples/model-server/scenarios.ts';
import { tellWitness } from '../../support/witness.ts';

export interface SoakTask {
  store: string;
  modelUrl: string;
  witnessUrl: string;
  leaseMs: number;
}

export const TURNS = 24;
const TEXT =
  'I look at the next house of the street now, because one of them has a roof that has to be mended before the winter.';

export const patrolScenario: Scenario = {
  name: 'patrol',
  matches: /patrol/i,
  replies: [
    ...Array.from({ length: TURNS }, (_, house) => ({
      text: TEXT,
      toolCalls: [{ name: 'look', arguments: { house } }],
    })),
    { text: 'I have seen all houses.' },
  ],
};

export function soakRuns(task: SoakTask): Pick<RuntimeOptions, 'agents'> {
  const guard = new DurableAgent({
    model: createOpenAI({ baseURL: task.modelUrl, apiKey: 'local' })('gpt-5-mini'),
    stopWhen: stepCountIs(TURNS + 1),
    tools: {
      look: tool({
        description: 'Looks at a house',
        inputSchema: z.object({ house: z.number() }),
        execute: async ({ house }) => {
          const { idempotencyKey: key, attempt, toolCallId } = getToolMetadata();
          const record = { key, attempt, tool: 'look', toolCallId, pid: process.pid, time: Date.now() };
          await tellWitness(task.witnessUrl, record);
          return `House ${house} is well.`;
        },
      }),
    },
  });
  return { agents: { guard } };
}
