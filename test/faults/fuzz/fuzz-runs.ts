/** What the fuzz runs: workflows of steps, a timer, a child, a hook and writes, and agents with a tool. */
import { setTimeout as delay } from 'node:timers/promises';
import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import {
  child,
  createHook,
  DurableAgent,
  getStepMetadata,
  getToolMetadata,
  getWritable,
  sleep,
  step,
  workflow,
} from 'everturn';
import type { RuntimeOptions } from 'everturn';
import { z } from 'zod';
import { tellWitness } from '../../support/witness.ts';

export interface FuzzTask {
  store: string;
  modelUrl: string;
  witnessUrl: string;
  leaseMs: number;
  workMs: number;
}

/** What a step of a trip records; `nonce` is made anew by each attempt. */
export interface Stop {
  name: string;
  nonce: string;
}

export interface Trip {
  stops: Stop[];
  answer: unknown;
}

export function fuzzRuns(task: FuzzTask): Pick<RuntimeOptions, 'agents' | 'workflows'> {
  const act = async (name: string, of: { idempotencyKey: string; attempt: number }): Promise<Stop> => {
    const nonce = crypto.randomUUID();
    const { idempotencyKey: key, attempt } = of;
    const record = { key, attempt, tool: name, toolCallId: nonce, pid: process.pid, time: Date.now() };
    await tellWitness(task.witnessUrl, record);
    await delay(task.workMs * Math.random());
    return { name, nonce };
  };
  const visit = (name: string): Promise<Stop> => step(name, () => act(name, getStepMetadata()));
  const leg = workflow('leg', async (name: string): Promise<Stop> => visit(name));

  const trip = workflow('trip', async ({ id }: { id: string }): Promise<Trip> => {
    const log = getWritable<number>({ namespace: 'log' }).getWriter();
    const start = await visit('start');
    await log.write(0);
    const both = await Promise.all([visit('left'), visit('right')]);
    await log.write(1);
    await sleep(2 * task.workMs);
    const far = await child(leg, 'far');
    await log.write(2);
    const answer = await createHook({ token: `hook:${id}` });
    await log.write(3);
    const end = await visit('end');
    await log.write(4);
    return { stops: [start, ...both, far, end], answer };
  });

  const porter = new DurableAgent({
    model: createOpenAI({ baseURL: task.modelUrl, apiKey: 'local' })('gpt-5-mini'),
    tools: {
      carry: tool({
        description: 'Carries',
        inputSchema: z.object({}),
        execute: () => act('carry', getToolMetadata()),
      }),
    },
  });
  return { agents: { porter }, workflows: [trip, leg] };
}
