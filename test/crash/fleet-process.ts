/** `fork('fleet-process.ts', [json])`: many runs of agents and workflows at once. SIGTERM closes the runtime, as a host would have it. */
import { setTimeout as delay } from 'node:timers/promises';
import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import { createRuntime, DurableAgent, getStepMetadata, getToolMetadata, sleep, step, workflow } from 'everturn';
import type { Logger, Store } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { z } from 'zod';
import { tellWitness } from '../support/witness.ts';

export interface FleetOptions {
  file: string;
  modelUrl: string;
  witnessUrl: string;
  /** Runs to start; the rest is there. */
  runs: number;
  concurrency?: number;
  leaseMs?: number;
  graceMs?: number;
  /** How long each step and tool takes. */
  workMs: number;
}

export type FleetMessage =
  | { kind: 'open'; processAt: number; at: number }
  /** All runs are stored. */
  | { kind: 'started' }
  /** A run was claimed, or wrote something. */
  | { kind: 'claimed' | 'wrote'; run: string; at: number }
  | { kind: 'warning'; code: unknown; message: string; run: unknown }
  | { kind: 'closed'; tookMs: number };

const task = JSON.parse(process.argv[2] ?? '') as FleetOptions;
const tell = (message: FleetMessage): void => void process.send?.(message);

interface Work {
  idempotencyKey: string;
  attempt: number;
  toolCallId?: string;
  /** Heeded, if given: the work ends when its run leaves the process. */
  signal?: AbortSignal;
}

async function work(name: string, { idempotencyKey: key, attempt, toolCallId = '', signal }: Work): Promise<void> {
  await tellWitness(task.witnessUrl, { key, attempt, tool: name, toolCallId, pid: process.pid, time: Date.now() });
  await delay(task.workMs, undefined, signal === undefined ? {} : { signal });
}

const workStep = (name: string): Promise<void> =>
  step(name, () => {
    const { idempotencyKey, attempt } = getStepMetadata();
    return work(name, { idempotencyKey, attempt });
  });

const errand = workflow('errand', async (n: number) => {
  await workStep('go');
  await sleep(2 * task.workMs);
  await Promise.all([workStep('buy'), workStep('chat')]);
  await workStep('return');
  return n;
});

const porter = new DurableAgent({
  model: createOpenAI({ baseURL: task.modelUrl, apiKey: 'local' })('gpt-5-mini'),
  tools: {
    carry: tool({
      description: 'Carries',
      inputSchema: z.object({}),
      execute: async () => {
        await work('carry', getToolMetadata());
        return 'Carried it.';
      },
    }),
  },
});

const { concurrency, leaseMs } = task;
const runtime = createRuntime({
  store: told(sqliteStore(task.file)),
  agents: { porter },
  workflows: [errand],
  worker: { ...(concurrency === undefined ? {} : { concurrency }), ...(leaseMs === undefined ? {} : { leaseMs }) },
  logger: warnings(),
});
tell({ kind: 'open', processAt: performance.timeOrigin, at: Date.now() });
process.once('SIGTERM', () => void close());
for (let n = 0; n < task.runs; n += 1) {
  if (n % 2 === 0) await runtime.start(errand, { id: `run-${n}`, input: n });
  else await runtime.start(porter, { id: `run-${n}`, prompt: `Please carry number ${n}.` });
}

tell({ kind: 'started' });

async function close(): Promise<void> {
  const from = performance.now();
  await runtime.close(task.graceMs === undefined ? {} : { graceMs: task.graceMs });
  tell({ kind: 'closed', tookMs: performance.now() - from });
  process.disconnect();
}

function told(inner: Store): Store {
  return {
    ...inner,
    claim: async (request) => {
      const answer = await inner.claim(request);
      for (const { run } of answer.claims) tell({ kind: 'claimed', run: run.id, at: Date.now() });
      return answer;
    },
    commit: async (batch) => {
      const answers = await inner.commit(batch);
      for (const [index, { kind }] of answers.entries()) {
        const commit = batch[index];
        if (kind === 'applied' && commit !== undefined && commit.events.length + commit.chunks.length > 0)
          tell({ kind: 'wrote', run: commit.run, at: Date.now() });
      }
      return answers;
    },
  };
}

function warnings(): Logger {
  const keep: Logger['warn'] = ({ code, run }, message) => tell({ kind: 'warning', code, message, run });
  return { debug() {}, info() {}, warn: keep, error: keep };
}
